"""Notifications that wait to be sent, and when those that are sent by the clock were last made."""
from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql, postgresql

_Double = Float(53).with_variant(mysql.DOUBLE(asdecimal=False), "mysql").with_variant(
    postgresql.DOUBLE_PRECISION(), "postgresql")
_LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")


def _new_tables():
    """Fresh objects for each run: a Column belongs to one Table only."""
    metadata = MetaData()
    settings = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}
    Table(
        "notifications", metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("event_type", String(255), nullable=False),
        Column("publisher", String(255), nullable=False),
        Column("payload", _LongText, nullable=False),
        Column("created_at", _Double, nullable=False),
        Column("lease_until", _Double),
        **settings)
    Table(
        "notification_runs", metadata,
        Column("name", String(64), primary_key=True),
        Column("last_run", _Double, nullable=False),
        **settings)
    return metadata


def upgrade(migrate_engine):
    """Add what is not there yet."""
    with migrate_engine.begin() as connection:
        _new_tables().create_all(connection, checkfirst=True)


def downgrade(migrate_engine):
    """Remove it again, with what waits."""
    with migrate_engine.begin() as connection:
        _new_tables().drop_all(connection, checkfirst=True)
