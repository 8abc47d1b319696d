"""Quotas: how much a tenant may have, and the check that it does not get more."""
