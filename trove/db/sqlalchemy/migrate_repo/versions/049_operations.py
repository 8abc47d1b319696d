"""The index of a resource's operations has their order of creation, in which they are listed."""
from sqlalchemy import Index, MetaData, Table

_NAME = "operations_resource"
_BEFORE = ("resource_type", "resource_id")
_NOW = (*_BEFORE, "created_at", "id")


def _change(migrate_engine, wanted):
    """Give the index these columns; one that has them already stays."""
    with migrate_engine.begin() as connection:
        table = Table("operations", MetaData(), autoload_with=connection)
        found = next((index for index in table.indexes if index.name == _NAME), None)
        if found is not None and tuple(column.name for column in found.columns) == wanted:
            return
        if found is not None:
            found.drop(connection)
        Index(_NAME, *(table.c[column] for column in wanted)).create(connection)


def upgrade(migrate_engine):
    """Add the order."""
    _change(migrate_engine, _NOW)


def downgrade(migrate_engine):
    """Remove it."""
    _change(migrate_engine, _BEFORE)
