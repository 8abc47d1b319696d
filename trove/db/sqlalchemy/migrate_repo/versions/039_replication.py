"""What guests say of their replication, and the index with which the replicas of an instance are found."""
import sqlalchemy
from sqlalchemy import Column, Index, MetaData, Table, Text, schema

_INDEX = "instances_slave_of_id"
# MySQL needs one for the foreign key: it makes its own, under the column's name, and drops it when there is another;
# but not one that a downgrade had to make.
_IMPLICIT = "slave_of_id"


def _existing(connection, table):
    """The table as the database has it now."""
    return Table(table, MetaData(), autoload_with=connection)


def _drop(connection, name):
    for index in _existing(connection, "instances").indexes:
        if index.name == name:
            index.drop(connection)


def upgrade(migrate_engine):
    """Add what is not there yet."""
    with migrate_engine.begin() as connection:
        if "replication" not in _existing(connection, "agent_heartbeats").c:
            definition = schema.CreateColumn(Column("replication", Text)).compile(dialect=connection.dialect)
            connection.execute(sqlalchemy.text(f"ALTER TABLE agent_heartbeats ADD COLUMN {definition}"))
        instances = _existing(connection, "instances")
        if _INDEX not in {index.name for index in instances.indexes}:
            Index(_INDEX, instances.c.slave_of_id).create(connection)
        _drop(connection, _IMPLICIT)


def downgrade(migrate_engine):
    """Remove it again."""
    with migrate_engine.begin() as connection:
        instances = _existing(connection, "instances")
        names = {index.name for index in instances.indexes}
        if migrate_engine.name == "mysql" and _IMPLICIT not in names:
            Index(_IMPLICIT, instances.c.slave_of_id).create(connection)
        _drop(connection, _INDEX)
        if "replication" in _existing(connection, "agent_heartbeats").c:
            connection.execute(sqlalchemy.text("ALTER TABLE agent_heartbeats DROP COLUMN replication"))
