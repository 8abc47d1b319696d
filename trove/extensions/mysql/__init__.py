"""Databases, users and grants of an instance."""
