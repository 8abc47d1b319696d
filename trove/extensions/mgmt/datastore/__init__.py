"""Datastores and their versions as administrators make and change them."""
