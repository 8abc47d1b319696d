"""Databases and users as both sides of the bus know them, and the door to the rules of a datastore for them."""
import functools

from trove.common import cfg
from trove.common.strategies import strategy
from trove.guestagent.db.base import ANY_HOST, Database, Names, User

__all__ = ["ANY_HOST", "Database", "Names", "User", "load", "of"]


def of(manager):
    """Return the Names of a datastore. manager: the name of its manager.

    Raises NotImplementedHere for a manager that has no identity card here.
    """
    return load(cfg.traits(manager).models, f"[{manager}] models (in its card)")(manager)


@functools.cache
def load(path, option):
    """Return the class that a card names. Raises ValueError that names ``option`` and what is wrong."""
    return strategy.load(path, Names, option)
