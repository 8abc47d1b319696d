"""Percona Server in a guest."""
