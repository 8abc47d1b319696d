"""Which key of the deployment the secrets of a guest and a backup belong to."""
import sqlalchemy
from sqlalchemy import String

_COLUMNS = (("instances", "guest_key_id"), ("backups", "key_id"), ("guest_secrets", "key_id"),
            ("guest_secrets", "pending_key_id"))


def _present(connection, table, column):
    return column in {found["name"] for found in sqlalchemy.inspect(connection).get_columns(table)}


def upgrade(migrate_engine):
    """Add what is not there yet."""
    with migrate_engine.begin() as connection:
        for table, column in _COLUMNS:
            if not _present(connection, table, column):
                kind = String(16).compile(connection.dialect)
                connection.execute(sqlalchemy.text(f"ALTER TABLE {table} ADD COLUMN {column} {kind}"))


def downgrade(migrate_engine):
    """Remove it again."""
    with migrate_engine.begin() as connection:
        for table, column in _COLUMNS:
            if _present(connection, table, column):
                connection.execute(sqlalchemy.text(f"ALTER TABLE {table} DROP COLUMN {column}"))
