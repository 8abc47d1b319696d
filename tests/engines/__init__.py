"""Engines that tests run: one module for each datastore, with ``engines()``.

The modules here are those of Trove's own datastores; that of a package is contrib/trove-<datastore>/tests/engine.py.
"""
import contextlib
import functools
import importlib
import importlib.util
import pkgutil

import pytest
from onebox import datastores
from onebox.settings import SetupError

# Begins the reason of a skipped test; tools/test reports such engines at its end.
NOT_RUN = "engine not run: "


@functools.cache
def modules():
    """Return {name of a datastore: its module}."""
    own = {module.name: importlib.import_module(f"{__name__}.{module.name}")
           for module in pkgutil.iter_modules(__path__) if module.name not in ("base", "mysql_family")}
    return own | {path.parents[1].name.removeprefix("trove-"): _load(path)
                  for path in datastores.PACKAGES.glob("trove-*/tests/engine.py")}


def _load(path):
    """Return the module of a file that belongs to no package."""
    spec = importlib.util.spec_from_file_location(path.parents[1].name.replace("-", "_") + "_engine", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
