"""Modules: files that tenants and administrators keep here for the agents of their instances."""
