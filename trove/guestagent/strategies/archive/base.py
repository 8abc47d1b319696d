"""How a server's log of changes is archived file by file, and how it is replayed into a restored backup.

A strategy knows the log files of its engine. What is the same for every engine, pieces, encryption, the object store,
and what survives the death of the agent, is in ``trove.guestagent.archive``, whose one thread calls the strategy.
"""
import abc
import typing
from dataclasses import dataclass
from pathlib import Path

from trove.common import exception


class Gap(exception.TroveError):
    """Log files that follow the last archived one are gone, so that the archive cannot go on.

    The next backup begins a new archive. The text names what is missing.
    """

    message = "The archive of logs cannot go on: %(reason)s"


@dataclass(frozen=True)
class LogFile:
    """A log file to which the server writes no more. name: letters, digits, dots, dashes and underscores, not beginning
    with a dot or a dash, different for each file of an archive; path: where it is now, its last part is the name.
    """

    name: str
    path: Path


class ArchiveStrategy(abc.ABC):
    """The logs of one server. app: the datastore's server.

    Every method may be repeated after a death of the agent anywhere in it. Each has a deadline of its own, of
    ``host_command_timeout`` unless it says another.
    """

    # Names of the backup classes whose restored data tell where replay begins.
    bases: typing.ClassVar = ()

    def __init__(self, app):
        self.app = app

    def configure(self):  # noqa: B027 - a server may need no settings
        """Write the settings with which the server keeps logs that can be archived.

        Called in prepare before the server's first start, also for an instance that may never have an archive.
        """

    # Archiving

    @abc.abstractmethod
    def begin(self):
        """Let the server keep its logs until ``release``, and return a position: the name of a closed log file (or "").

        A backup that is taken from now on needs no log before the file that follows it. Raises TroveError, with the
        cure, when the server keeps no log.
        """

    @abc.abstractmethod
    def rotate(self):
        """Close the log file that the server writes, if anything of users is in it.

        When it has returned, ``closed`` shows all that was committed before the call. Called at most every
        archive_interval seconds, and not while the volume is short of room.
        """

    @abc.abstractmethod
    def closed(self, after):
        """Return the closed log files that follow the file named ``after``, oldest first: a list of LogFile.

        after: what ``begin`` returned, or the name of the last archived file. Raises Gap when the file that follows
        it is gone.
        """

    @abc.abstractmethod
    def release(self, name):
        """Let the server delete its log files up to the one with this name, which is archived. It may keep them for
        others that need them.
        """

    @abc.abstractmethod
    def end(self):
        """Let the server delete its logs as it does without an archive. Called when archiving has ended."""

    def idle(self):  # noqa: B027 - a server may delete its logs by itself
        """Keep logs that nobody will archive from filling the volume. Called now and then while there is no archive."""

    # Replay

    @abc.abstractmethod
    def replay(self, directory, files, point):
        """Replay logs into restored data up to a point in time, with a server of its own that nobody can reach.

        directory: the data directory as ``RestoreRunner.finish`` has left it; no server runs, and none may run on it
        afterwards. It becomes the data directory of the instance when this has returned; when it raises, it is removed.
        files: iterator of LogFile, from one that is not newer than the first that is needed; each is a copy that
        lasts until the next one is asked for, so a strategy that needs several at once moves them. Those that are not
        needed at the end are not asked for. point: seconds since the epoch; what was committed before it is to be
        there, and nothing that was committed later.
        Raises TroveError that names the missing file or the statement that failed.
        """
