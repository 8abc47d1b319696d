"""The manager of PostgreSQL in a guest."""
from trove.guestagent.datastore import manager
from trove.guestagent.datastore.experimental.postgresql.service import PostgreSqlApp


class Manager(manager.Manager):
    """PostgreSQL."""

    server_class = PostgreSqlApp

    def __init__(self, **kwargs):
        super().__init__("postgresql", **kwargs)
