"""Backups inside a guest: programs and pipes, encryption, and what the agent reports."""
