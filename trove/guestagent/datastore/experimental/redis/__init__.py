"""Redis in a guest."""
