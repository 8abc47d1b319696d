"""MySQL in a guest."""
