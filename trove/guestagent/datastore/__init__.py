"""The managers of datastores and what they have in common."""
