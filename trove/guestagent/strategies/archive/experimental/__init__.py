"""Strategies of datastores that are experimental."""
