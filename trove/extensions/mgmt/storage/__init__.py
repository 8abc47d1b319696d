"""The storage that data volumes come from, for administrators."""
