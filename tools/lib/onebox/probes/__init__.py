"""Probes: clients of the datastores, one module for each, that connect as users do and keep texts under numbers.

Another package brings one as an entry point of the group ``trove.probes``: a module with a class Probe.
The quick start proves with them that an instance answers, benchmarks and tests write and read with them.
"""
import importlib
from importlib import metadata

from onebox.settings import SetupError


def of(datastore):
    """Return the class Probe of a datastore (a ``base.Probe``). Raises SetupError when it has none."""
    for entry in metadata.entry_points(group="trove.probes", name=datastore):
        return entry.load().Probe
    try:
        return importlib.import_module(f"{__name__}.{datastore}").Probe
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{datastore}":
            raise
        raise SetupError(f"There is no probe tools/lib/onebox/probes/{datastore}.py") from None
