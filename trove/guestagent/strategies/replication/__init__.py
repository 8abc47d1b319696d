"""How a server follows another."""
