"""What the servers of the MySQL family have in common in a guest."""
