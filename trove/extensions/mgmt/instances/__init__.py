"""Instances of all tenants, for administrators."""
