"""The limits resource: quotas and rates of a tenant."""
