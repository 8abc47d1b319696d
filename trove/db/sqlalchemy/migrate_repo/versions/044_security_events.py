"""Security events, aggregated, for trove-manage security_events."""
from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql, postgresql

_Double = Float(53).with_variant(mysql.DOUBLE(asdecimal=False), "mysql").with_variant(
    postgresql.DOUBLE_PRECISION(), "postgresql")


def _new_tables():
    """Fresh objects for each run: a Column belongs to one Table only."""
    metadata = MetaData()
    Table(
        "security_events", metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("name", String(64), nullable=False),
        Column("reason", Text, nullable=False),
        Column("instance_id", String(80), nullable=False),
        Column("account", String(80), nullable=False),
        Column("count", Integer, nullable=False),
        Column("first_seen", _Double, nullable=False),
        Column("last_seen", _Double, nullable=False),
        Index("security_events_same", "name", "instance_id", "account", "first_seen"),
        Index("security_events_last_seen", "last_seen"),
        mysql_engine="InnoDB", mysql_charset="utf8mb4")
    return metadata


def upgrade(migrate_engine):
    """Add what is not there yet."""
    with migrate_engine.begin() as connection:
        _new_tables().create_all(connection, checkfirst=True)


def downgrade(migrate_engine):
    """Remove it again, with all events."""
    with migrate_engine.begin() as connection:
        _new_tables().drop_all(connection, checkfirst=True)
