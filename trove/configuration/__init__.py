"""Configuration groups: named sets of parameter values that are attached to instances."""
