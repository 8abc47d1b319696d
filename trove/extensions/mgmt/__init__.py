"""The management API, for administrators."""
