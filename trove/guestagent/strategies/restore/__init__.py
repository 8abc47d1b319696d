"""How a server's data is made from backups."""
