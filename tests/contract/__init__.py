"""The contract of datastores; see conftest."""
