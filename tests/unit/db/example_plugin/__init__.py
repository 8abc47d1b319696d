"""An example of a database plug-in (option ``db_plugins``): a table of its own beside Trove's, with its own migrations.

Its schema is made by ``trove-manage db_sync --repo_path .../example_plugin/migrate_repo``.
"""
import sqlalchemy
from sqlalchemy import orm


class Person:
    """Somebody to call when a database of a tenant misbehaves."""


class Mapper:
    """Maps the plug-in's tables; called once by each service at its start."""

    def map(self, engine):
        """Map Person to what the database has."""
        table = sqlalchemy.Table("example_person", sqlalchemy.MetaData(), autoload_with=engine)
        orm.registry().map_imperatively(Person, table)


class Plugin:
    """What ``db_plugins`` names."""

    def __init__(self):
        self.mapper = Mapper()
