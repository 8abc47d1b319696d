"""Datastores and their versions: what kinds of database there are."""
