"""The HTTP facades of minicloud: enough of Keystone, Nova, Cinder, Glance, Neutron and Swift for their real clients.

Facades (``compute.py``: routes, checks, views) call the domain modules (``servers.py``: what happens), these call
the store and the host. Nothing here touches the machine: that is what ``minicloud.host`` is for.
"""
