"""Tenants that have instances, for administrators."""
