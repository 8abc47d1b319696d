"""The release of the package, read from its installed metadata; used by --version and the agent's heartbeats."""
import functools
import importlib.metadata

DISTRIBUTION = "trove"


@functools.cache
def version_string():
    """The installed version, or ``0+unknown`` when the package runs from a tree that was never installed."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"
