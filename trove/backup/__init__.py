"""Backups: rows, rules, and their objects in the object store."""
