"""Archives of logs, and which backups can be brought to a later time with them."""
import sqlalchemy
from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, String, Table, schema
from sqlalchemy.dialects import mysql, postgresql

_Double = Float(53).with_variant(mysql.DOUBLE(asdecimal=False), "mysql").with_variant(
    postgresql.DOUBLE_PRECISION(), "postgresql")
_NEW = {"archive_id": String(36), "archive_piece": Integer, "archive_since": _Double}
_INDEX = "backups_of_archive"


def _new_tables():
    """Fresh objects for each run: a Column belongs to one Table only."""
    metadata = MetaData()
    Table(
        "archives", metadata,
        Column("id", String(36), primary_key=True),
        Column("instance_id", String(36), nullable=False),
        Column("key_id", String(16)),
        Column("pieces", Integer, nullable=False),
        Column("covers", _Double),
        Column("oldest", Integer, nullable=False),
        Column("ended", Boolean, nullable=False),
        Column("signed", _Double, nullable=False),
        Column("deleted", Boolean, nullable=False),
        Index("archives_of_instance", "instance_id", "deleted"),
        Index("archives_signed", "deleted", "ended", "signed"),
        mysql_engine="InnoDB", mysql_charset="utf8mb4")
    return metadata


def _backups(connection):
    return Table("backups", MetaData(), autoload_with=connection)


def _index(table):
    return next((index for index in table.indexes if index.name == _INDEX), None)


def upgrade(migrate_engine):
    """Add what is not there yet."""
    with migrate_engine.begin() as connection:
        _new_tables().create_all(connection, checkfirst=True)
        present = _backups(connection).c
        for name, kind in _NEW.items():
            if name not in present:
                definition = schema.CreateColumn(Column(name, kind)).compile(dialect=connection.dialect)
                connection.execute(sqlalchemy.text(f"ALTER TABLE backups ADD COLUMN {definition}"))
        table = _backups(connection)
        if _index(table) is None:
            Index(_INDEX, table.c.archive_id, table.c.deleted).create(connection)


def downgrade(migrate_engine):
    """Remove it again. The objects of archives stay in the object store."""
    with migrate_engine.begin() as connection:
        table = _backups(connection)
        if _index(table) is not None:
            _index(table).drop(connection)
        for name in _NEW:
            if name in table.c:
                connection.execute(sqlalchemy.text(f"ALTER TABLE backups DROP COLUMN {name}"))
        _new_tables().drop_all(connection, checkfirst=True)
