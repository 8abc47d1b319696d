"""Restores of Redis, by the name of the class that took the backup."""
from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.experimental.redis import data
from trove.guestagent.strategies.restore import base


class RedisBackup(base.RestoreRunner):
    """A snapshot. A server with append-only files gets them from it when it starts (``data.Data.arrange``)."""

    def restore(self, stream):
        """See the base. The whole snapshot is read, with its checksum, before a server gets it."""
        snapshot = self.directory / data.SNAPSHOT
        stream.into(["dd", f"of={snapshot}", "bs=1M", "iflag=fullblock", "status=none"])
        try:
            operating_system.run([self.app.layout.check_program, str(snapshot)], timeout=CONF.backup_prepare_timeout)
        except operating_system.ProcessError as error:
            raise exception.TroveError(f"The backup holds no snapshot that {self.app.layout.program} can read: "
                                       f"{_cause(str(error))}") from error


def _cause(said):
    """Return the sentence in what the checking program said."""
    lines = [line for line in said.splitlines() if "error" in line.lower() or "can't" in line.lower()]
    return (lines or said.splitlines() or ["it said nothing"])[0].strip("- ")[:200]
