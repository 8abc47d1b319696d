"""Instances: database servers of a tenant."""
