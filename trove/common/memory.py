"""How the memory of a guest is divided: what templates of database servers and the agent compute with.

The parts together are not more than the guest has, also while a backup is taken from a busy server. Sizes are in MB and
were measured on guests (``doc/operators.rst``, "Memory of a guest").
"""
from dataclasses import dataclass

SMALL, MEDIUM, LARGE = 1024, 2048, 8192
SEGMENT = 16  # of a backup: the default of backup_segment_max_size
# The agent without buffers; it has that as a service of a broker with TLS, after backups.
_AGENT = 32
_OWN_BUFFERS = 4
# Kernel, init system and journal; the kernel's tables grow with the memory.
_SYSTEM, _SYSTEM_SHARE = 64, 64
# The program that copies the data, for the strategies that have one; the others let the server do it.
_COPIER, _LEAN_COPIER = 40, 16
# The compressor with one thread, and each of its threads where there are more.
_COMPRESSOR, _COMPRESSOR_THREAD = 12, 36
_MOST_THREADS = 4
# What the server needs beside the pool for each page in it.
_POOL_OVERHEAD = 1.08
_LEAST_POOL = 32


def _clamp(value, least, most):
    return int(max(least, min(value, most)))


def segments_in_memory(ram):
    """Return how many segments of a backup an agent holds at the same time; one is filled, the others are sent."""
    return 2 if ram < SMALL else 3


def compressor_threads(ram):
    """Return the number of threads of the compressor of backups; 0 for one that does all in its only thread."""
    return 0 if ram < MEDIUM else _clamp(ram // SMALL, 2, _MOST_THREADS)


@dataclass(frozen=True)
class Plan:
    """The parts of a guest's memory, in MB; ``total`` is not more than ``ram``.

    system: kernel and init; agent, copier, compressor: at their peak during a backup; server: the database server with
    its fixed buffers; sessions: what its connections may use; pool: its buffer pool, pages without their overhead.
    """

    ram: int
    system: int
    agent: int
    copier: int
    compressor: int
    server: int
    sessions: int
    pool: int

    @property
    def total(self):
        """What all of it takes."""
        return (self.system + self.agent + self.copier + self.compressor + self.server + self.sessions
                + int(self.pool * _POOL_OVERHEAD))


def plan(ram, server, strategy):
    """Return the Plan of a guest.

    ram: MB of its flavor; server: traits.ServerMemory of its datastore; strategy: name of its backup strategy.
    Below 512 MB the pool has its least size, and the total may be more than there is.
    """
    threads = compressor_threads(ram)
    parts = {
        "system": _SYSTEM + ram // _SYSTEM_SHARE,
        "agent": _AGENT + segments_in_memory(ram) * SEGMENT + _OWN_BUFFERS,
        "copier": _LEAN_COPIER if strategy in server.lean_strategies else _COPIER,
        "compressor": threads * _COMPRESSOR_THREAD if threads else _COMPRESSOR,
        # With the buffers that the templates size: for keys and for the log.
        "server": server.empty[ram >= MEDIUM] + 2 * _clamp(ram // 64, 4, 64),
        "sessions": max(ram // 8, 48),
    }
    share = server.pool_shares[(ram >= MEDIUM) + (ram >= LARGE)]
    left = (ram - sum(parts.values())) / _POOL_OVERHEAD
    return Plan(ram=ram, pool=max(_LEAST_POOL, int(min(ram * share, left))), **parts)
