"""The conductor: the only process that writes what guests report."""
