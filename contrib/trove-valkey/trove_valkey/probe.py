"""The probe of Valkey for the development tools, known to them by the entry point ``trove.probes``."""
from onebox.probes import redis


class Probe(redis.Probe):
    """See the base."""

    program = "valkey-server"
    language = "Valkey commands"
    client = "valkey-cli"
