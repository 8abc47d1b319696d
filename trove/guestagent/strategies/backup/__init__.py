"""How a backup is taken from a server."""
