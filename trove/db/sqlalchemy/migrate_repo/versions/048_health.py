"""The facts that guests report of their health. A fault about a clock, which stayed for ever, is made of them now."""
import sqlalchemy
from sqlalchemy import Column, MetaData, Table, Text, schema


def _columns(connection):
    return Table("agent_heartbeats", MetaData(), autoload_with=connection).c


def upgrade(migrate_engine):
    """Add the column if it is not there yet, and remove the old faults."""
    with migrate_engine.begin() as connection:
        if "facts" not in _columns(connection):
            definition = schema.CreateColumn(Column("facts", Text)).compile(dialect=connection.dialect)
            connection.execute(sqlalchemy.text(f"ALTER TABLE agent_heartbeats ADD COLUMN {definition}"))
        connection.execute(sqlalchemy.text(
            "DELETE FROM instance_faults WHERE message LIKE 'The clock of the guest is %'"))


def downgrade(migrate_engine):
    """Remove the column."""
    with migrate_engine.begin() as connection:
        if "facts" in _columns(connection):
            connection.execute(sqlalchemy.text("ALTER TABLE agent_heartbeats DROP COLUMN facts"))
