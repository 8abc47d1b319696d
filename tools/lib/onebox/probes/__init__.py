"""Probes: clients of the datastores, one module for each, that connect as users do and keep texts under numbers.

The quick start proves with them that an instance answers, benchmarks and tests write and read with them.
"""
import importlib

from onebox.settings import SetupError


def of(datastore):
    """Return the class Probe of a datastore (a ``base.Probe``). Raises SetupError when it has none."""
    try:
        return importlib.import_module(f"{__name__}.{datastore}").Probe
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{datastore}":
            raise
        raise SetupError(f"There is no probe tools/lib/onebox/probes/{datastore}.py") from None
