"""Which class manages which datastore: those of the cards, and those that ``datastore_registry_ext`` adds."""
from trove.common.cfg import CARDS, CONF
from trove.common.strategies import strategy
from trove.guestagent.datastore.manager import Manager


def datastore_registry():
    """Manager name -> path of its class."""
    return {**{name: card.TRAITS.manager for name, card in CARDS.items()}, **CONF.datastore_registry_ext}


def load_manager(name):
    """Make the manager of the datastore manager ``name``, after a check of all that it is made of.

    Raises ValueError that names the option or the class at fault.
    """
    registry = datastore_registry()
    if name not in registry:
        raise ValueError(f"option datastore_manager: '{name}' is none of {', '.join(sorted(registry))}; further ones "
                         "can be named in datastore_registry_ext")
    kind = strategy.load(registry[name], base=Manager, option=f"datastore_registry_ext:{name}")
    kind.check(name)
    return kind()
