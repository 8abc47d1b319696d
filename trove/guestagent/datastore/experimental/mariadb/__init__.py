"""MariaDB in a guest."""
