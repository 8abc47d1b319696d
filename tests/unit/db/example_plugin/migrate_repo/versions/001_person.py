"""The table of persons."""
from sqlalchemy import Column, Integer, MetaData, String, Table


def _tables():
    metadata = MetaData()
    Table("example_person", metadata, Column("id", Integer, primary_key=True),
          Column("tenant_id", String(36), nullable=False), Column("name", String(255)))
    return metadata


def upgrade(migrate_engine):
    with migrate_engine.begin() as connection:
        _tables().create_all(connection)


def downgrade(migrate_engine):
    with migrate_engine.begin() as connection:
        _tables().drop_all(connection)
