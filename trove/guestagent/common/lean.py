"""What keeps the agent's process small. The agent's program (``trove.cmd.guestagent``) calls it before anything else.

A guest of 512 MB belongs to the database server: each megabyte here is one that its buffer pool cannot have.
"""
import ctypes
import importlib.abc
import importlib.machinery
import importlib.util
import sys

# Of mallopt(3): names as in malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# Bytes. By itself glibc raises the limit with the first large block that is freed, up to 32 MB, and keeps later ones.
_LARGE = 256 * 1024

# Formats of messages that the bus does not use. The library does without.
_FORMATS = ("yaml", "msgpack")
# Looked for by a library at every lock.
_ABSENT = (*_FORMATS, "eventlet")
# Imported by libraries for functions that an agent never calls, or seldom.
_AT_FIRST_USE = ("asyncio", "psutil", "rfc3986", "xmlrpc.client")


def return_freed_memory():
    """Let the C library give large blocks back to the system when they are freed, in every thread.

    Must be called before a thread is started. It is done here, not by the environment of the process, so that it is so
    however the agent is started. Does nothing with a C library that has no such options.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, 2 * _LARGE)):
            mallopt(option, value)


class _AtFirstUse(importlib.abc.MetaPathFinder):
    """Finds modules whose code runs when something of them is used."""

    def find_spec(self, name, path, target=None):
        if name not in _AT_FIRST_USE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def leave_out_libraries():
    """Keep the parts of libraries out of this process that the agent does not need."""
    for name in _ABSENT:
        sys.modules.setdefault(name, None)
    sys.meta_path.insert(0, _AtFirstUse())


def let_in_formats():
    """Let an image's own modules import formats that the libraries were to do without."""
    for name in _FORMATS:
        if sys.modules.get(name, name) is None:
            del sys.modules[name]
