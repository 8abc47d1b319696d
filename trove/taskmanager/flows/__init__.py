"""The flows of all kinds of operations, each in a module of its own that reads like a recipe.

Each module of this package is read: every Flow among its names is registered, also those in a tuple called FLOWS.
"""
import importlib
import pkgutil

from trove.taskmanager.flow import Flow


def _load():
    """Return {kind: Flow}. Raises TypeError that names a module without a flow, and a kind that two modules have."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        names = vars(importlib.import_module(f"{__name__}.{module.name}"))
        flows = [*names.get("FLOWS", ()), *(value for value in names.values() if isinstance(value, Flow))]
        if not flows:
            raise TypeError(f"The module {__name__}.{module.name} has no Flow.")
        for flow in flows:
            if flow.kind in found:
                raise TypeError(f"{__name__}.{module.name} has a second Flow of the kind {flow.kind}.")
            found[flow.kind] = flow
    return found


FLOWS = _load()
