"""The door to the infrastructure database: the module named by ``db_api_implementation``."""
import importlib

from trove.common.cfg import CONF


def get_db_api():
    """The module that implements the database layer (``configure_db``, ``db_sync``, ``writer``, ``reader`` ...)."""
    return importlib.import_module(CONF.db_api_implementation)
