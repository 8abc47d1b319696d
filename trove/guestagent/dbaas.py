"""Which class manages which datastore: the registry of managers, with what ``datastore_registry_ext`` adds to it."""
from trove.common.cfg import CONF
from trove.common.strategies import strategy
from trove.guestagent.datastore.manager import Manager

_EXPERIMENTAL = "trove.guestagent.datastore.experimental"
DEFAULT_REGISTRY = {
    "mysql": "trove.guestagent.datastore.mysql.manager.Manager",
    "mariadb": f"{_EXPERIMENTAL}.mariadb.manager.Manager",
    "percona": f"{_EXPERIMENTAL}.percona.manager.Manager",
}


def datastore_registry():
    """Manager name -> path of its class."""
    return {**DEFAULT_REGISTRY, **CONF.datastore_registry_ext}


def load_manager(name):
    """Make the manager of the datastore manager ``name``, after a check of all that it is made of.

    Raises ValueError that names the option or the class at fault.
    """
    registry = datastore_registry()
    if name not in registry:
        raise ValueError(f"option datastore_manager: '{name}' is none of {', '.join(sorted(registry))}; further ones "
                         "can be named in datastore_registry_ext")
    kind = strategy.load(registry[name], base=Manager, option=f"datastore_registry_ext:{name}")
    kind.check()
    return kind()
