"""Backups of Redis: a snapshot that the server writes on its volume, as a file."""
from trove.guestagent.strategies.backup import base

# Name of the snapshot, in the data directory, while it is sent.
_HELD = "trove.backup.rdb"


class RedisBackup(base.BackupRunner):
    """All data as of the moment in which the snapshot began. There are no increments."""

    def command(self):
        """The program that sends the file; the snapshot is made first."""
        self.app.data.save()
        return ["cat", *self.options(), str(self.app.data.hold(_HELD))]

    @classmethod
    def clean(cls, app):
        """Remove the second name of the snapshot, which would keep its room after the next one."""
        (app.layout.data / _HELD).unlink(missing_ok=True)
