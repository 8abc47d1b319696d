"""What every process shares. Imports nothing of trove above ``trove.conf``."""
