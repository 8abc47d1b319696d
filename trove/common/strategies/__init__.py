"""Loaders and bases of the plug points that both control plane and guest use."""
