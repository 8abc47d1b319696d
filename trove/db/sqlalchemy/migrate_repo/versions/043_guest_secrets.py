"""Which secrets a guest has: generation of its key and its broker account, end of its certificate."""
from sqlalchemy import Column, Float, Integer, MetaData, String, Table
from sqlalchemy.dialects import mysql, postgresql

_Double = Float(53).with_variant(mysql.DOUBLE(asdecimal=False), "mysql").with_variant(
    postgresql.DOUBLE_PRECISION(), "postgresql")


def _new_tables():
    """Fresh objects for each run: a Column belongs to one Table only."""
    metadata = MetaData()
    Table(
        "guest_secrets", metadata,
        Column("instance_id", String(36), primary_key=True),
        Column("generation", Integer, nullable=False),
        Column("pending", Integer),
        Column("oldest_account", Integer, nullable=False),
        Column("certificate_until", _Double),
        Column("tried_at", _Double),
        mysql_engine="InnoDB", mysql_charset="utf8mb4")
    return metadata


def upgrade(migrate_engine):
    """Add the table if it is not there yet."""
    with migrate_engine.begin() as connection:
        _new_tables().create_all(connection, checkfirst=True)


def downgrade(migrate_engine):
    """Remove the table. Guests whose secrets were replaced are not understood afterwards."""
    with migrate_engine.begin() as connection:
        _new_tables().drop_all(connection, checkfirst=True)
