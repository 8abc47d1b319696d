"""A class under the name that option files of deployments have for it."""
