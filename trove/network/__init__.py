"""Drivers for what instances need of the cloud's network."""
