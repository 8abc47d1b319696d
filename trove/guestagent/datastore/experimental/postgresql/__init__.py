"""PostgreSQL in a guest."""
