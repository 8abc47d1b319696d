"""How many segments and bytes the guest of a backup has reported; the task manager compares them with the store."""
import sqlalchemy
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, schema

_NEW = {"segments": Integer, "uploaded": BigInteger}


def _columns(connection):
    return Table("backups", MetaData(), autoload_with=connection).c


def upgrade(migrate_engine):
    """Add what is not there yet."""
    with migrate_engine.begin() as connection:
        present = _columns(connection)
        for name, kind in _NEW.items():
            if name not in present:
                definition = schema.CreateColumn(Column(name, kind)).compile(dialect=connection.dialect)
                connection.execute(sqlalchemy.text(f"ALTER TABLE backups ADD COLUMN {definition}"))


def downgrade(migrate_engine):
    """Remove it again."""
    with migrate_engine.begin() as connection:
        present = _columns(connection)
        for name in _NEW:
            if name in present:
                connection.execute(sqlalchemy.text(f"ALTER TABLE backups DROP COLUMN {name}"))
