"""The database layer as the rest sees it: configuration with plug-ins, transactions, and schema versions.

The module named by ``db_api_implementation``. It knows no resource: their queries live in ``<resource>/models.py``.
"""
import importlib

from trove.db.sqlalchemy import session
from trove.db.sqlalchemy.session import clock, dispose, get_engine, now, reader, retry_lost_races, writer

__all__ = ["clock", "configure_db", "db_downgrade", "db_recreate", "db_sync", "db_version", "dispose", "get_engine",
           "now", "reader", "retry_lost_races", "writer"]


def configure_db(_options, *plugins):
    """Wait for the database and let every plug-in map its own tables: ``plugin.mapper.map(engine)``.

    Raises SQLAlchemyError when the database does not answer.
    """
    session.wait_for_server()
    engine = session.get_engine()
    for plugin in plugins:
        plugin.mapper.map(engine)


def _migration():
    # Only trove-manage needs sqlalchemy-migrate, which is slow to import.
    return importlib.import_module("trove.db.sqlalchemy.migration")


def db_sync(version=None, repo_path=None):
    """Bring the schema, or that of a plug-in's repository, to a version (by default the newest)."""
    _migration().db_sync(version, repo_path)


def db_downgrade(version, repo_path=None):
    """Take the schema back to a version."""
    _migration().db_downgrade(version, repo_path)


def db_recreate(repo_path=None):
    """Drop everything and make the newest schema."""
    _migration().db_recreate(repo_path)


def db_version(repo_path=None):
    """The version of the schema, or None when there is none."""
    return _migration().db_version(repo_path)
