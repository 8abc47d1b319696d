"""The door to the infrastructure database: the module named by ``db_api_implementation``."""
import functools
import importlib

from trove.common.cfg import CONF


def get_db_api():
    """The module that implements the database layer (``configure_db``, ``db_sync``, ``writer``, ``reader`` ...)."""
    return importlib.import_module(CONF.db_api_implementation)


def in_transaction(function):
    """Decorator: ``function(session, ...)`` becomes a function without the session that is one whole transaction.

    It is repeated while it loses races against others, so it must have no effect outside the database.
    """
    @functools.wraps(function)
    def run(*args, **kwargs):
        api = get_db_api()

        @functools.wraps(function)
        def once():
            with api.writer() as session:
                return function(session, *args, **kwargs)
        return api.retry_lost_races(once)()
    return run
