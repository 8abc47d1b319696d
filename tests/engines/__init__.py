"""Engines that tests run: one module for each datastore, with ``engines()``. The modules here are the list."""
import contextlib
import importlib
import pkgutil

import pytest
from onebox.settings import SetupError

# Begins the reason of a skipped test; tools/test reports such engines at its end.
NOT_RUN = "engine not run: "


def modules():
    """Return {name of a datastore: its module}."""
    return {module.name: importlib.import_module(f"{__name__}.{module.name}")
            for module in pkgutil.iter_modules(__path__) if module.name not in ("base", "mysql_family")}


def every():
    """Return the Engine of each version of each datastore, sorted by name."""
    return sorted((engine for module in modules().values() for engine in module.engines()), key=str)


def find(text):
    """Return the Engine that ``datastore`` (its default version) or ``datastore:version`` stands for."""
    datastore, _, name = text.partition(":")
    return next(engine for engine in modules()[datastore].engines() if name in ("", engine.version.name))


@contextlib.contextmanager
def running(engine):
    """Let the programs of an Engine be found within the block. Skips the test when they cannot be had."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(engine.programs())
        except (SetupError, RuntimeError) as error:
            pytest.skip(f"{NOT_RUN}{engine}: {' '.join(str(error).split())[:300]}")
        yield
