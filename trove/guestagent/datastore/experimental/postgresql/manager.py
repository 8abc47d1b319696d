"""The manager of PostgreSQL in a guest."""
from trove.guestagent.datastore import manager
from trove.guestagent.datastore.experimental.postgresql.admin import PostgreSqlAdmin
from trove.guestagent.datastore.experimental.postgresql.logs import PostgreSqlLogs
from trove.guestagent.datastore.experimental.postgresql.service import PostgreSqlApp


class Manager(manager.Manager):
    """PostgreSQL."""

    server_class = PostgreSqlApp
    admin_class = PostgreSqlAdmin
    root_class = PostgreSqlAdmin
    logs_class = PostgreSqlLogs

    def __init__(self, **kwargs):
        super().__init__("postgresql", **kwargs)
