"""The identity cards of the datastores, one module each: the only place where a datastore is registered.

A card has GROUP (its name: that of its manager and of its group of options), opts (its options, made by
``trove.conf.datastore``) and TRAITS (``trove.common.traits``). Each module of this package is a card.
"""
import importlib
import pkgutil

from trove.common.traits import Traits


def _load():
    """Return {name: card}. Raises TypeError that names the card and what it lacks."""
    cards = {}
    for module in pkgutil.iter_modules(__path__):
        card = importlib.import_module(f"{__name__}.{module.name}")
        for name, kind in (("GROUP", str), ("opts", list), ("TRAITS", Traits)):
            if not isinstance(getattr(card, name, None), kind):
                raise TypeError(f"The card {card.__name__} has no {name} of the type {kind.__name__}.")
        cards[card.GROUP] = card
    return cards


CARDS = _load()
