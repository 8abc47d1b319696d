"""The database layer as the rest sees it: configuration with plug-ins, transactions, and schema versions.

The module named by ``db_api_implementation``. It knows no resource: their queries live in ``<resource>/models.py``.
"""
from trove.db.sqlalchemy import session
from trove.db.sqlalchemy.session import dispose, get_engine, now, reader, retry_lost_races, writer

__all__ = ["configure_db", "dispose", "get_engine", "now", "reader", "retry_lost_races", "writer"]


def configure_db(_options, *plugins):
    """Make the engine and let every plug-in map its own tables: ``plugin.mapper.map(engine)``."""
    engine = session.get_engine()
    for plugin in plugins:
        plugin.mapper.map(engine)
