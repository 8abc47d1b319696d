"""minicloud: an OpenStack-compatible cloud on one Linux machine.

Two processes: `minicloud.api` (HTTP facades) asks `minicloud.host` (the root helper) for guests and volumes.
"""
