"""The identity cards of the datastores, one module each: the only place where a datastore is registered.

A card has GROUP (its name: that of its manager and of its group of options), opts (its options, made by
``trove.conf.datastore``) and TRAITS (``trove.common.traits``). Each module of this package is a card. Other packages
bring further ones as entry points of the group ``trove.datastores``; such a card also has TEMPLATES, the directory of
its configuration templates.
"""
import importlib
import pkgutil
from importlib import metadata
from pathlib import Path
from types import ModuleType

from trove.common.traits import Traits

ENTRY_POINTS = "trove.datastores"


def _check(card, **attributes):
    """Check the attributes of a card. Raises TypeError that names the card and what it lacks."""
    for name, kind in attributes.items():
        if not isinstance(getattr(card, name, None), kind):
            raise TypeError(f"The card {card.__name__} has no {name} of the type {kind.__name__}.")
    return card


def _packaged():
    """Return {name: card} of this package."""
    found = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {card.GROUP: _check(card, GROUP=str, opts=list, TRAITS=Traits) for card in found}


def _others(taken):
    """Return {name: card} of other packages. taken: names that are none of theirs. Raises TypeError, ValueError."""
    cards: dict[str, ModuleType] = {}
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        card = _check(entry.load(), GROUP=str, opts=list, TRAITS=Traits, TEMPLATES=Path)
        if card.GROUP in (*taken, *cards):
            raise ValueError(f"The card {card.__name__} has the name '{card.GROUP}', which another card has.")
        cards[card.GROUP] = card
    return cards


PACKAGED = _packaged()
CARDS = {**PACKAGED, **_others(PACKAGED)}
