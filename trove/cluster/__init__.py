"""Clusters: several instances of a tenant that are one database. Their strategies come with the engines."""
