"""Clusters of all tenants, for administrators."""
