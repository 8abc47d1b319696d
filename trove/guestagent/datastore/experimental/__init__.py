"""Datastores that have not been used for long."""
