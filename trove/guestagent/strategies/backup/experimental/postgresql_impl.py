"""Backups of PostgreSQL: its base backup, increments of write-ahead log on it, and a dump."""
import json
import re
import sys

from trove.common import exception
from trove.guestagent.backup import tar_member
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.experimental.postgresql import history, wal
from trove.guestagent.strategies.backup import base

# Keeps the write-ahead log of a backup that is being taken.
_SLOT = "trove_backup"
_END = re.compile(r"write-ahead log end point: (\S+)$", re.MULTILINE)
_START = re.compile(r"write-ahead log start point: \S+ on timeline (\d+)$", re.MULTILINE)


class PgBaseBackup(base.BackupRunner):
    """A copy of the data files while the server runs, with the write-ahead log that makes it consistent, as a tar.

    The log comes last in the stream (``fetch``): pg_basebackup cannot send it beside the files to standard output. A
    slot keeps it until then.
    """

    timeline = lsn = None

    def command(self):
        """See the base."""
        with self.app.session() as session:
            wal.drop_slot(session, _SLOT)  # of a backup that was killed
            wal.make_slot(session, _SLOT)
        return self.app.client("pg_basebackup", "--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast",
                               "--label=trove", "--no-sync", "--verbose", *self.options())

    @property
    def _manifest(self):
        return self.work / "manifest"

    @property
    def _has_summaries(self):
        return self.app.version >= history.SUMMARIES

    def filters(self):
        """Keep the manifest, if increments need it."""
        if not self._has_summaries:
            return []
        return [[sys.executable, tar_member.__file__, "backup_manifest", str(self._manifest)]]

    def check(self, said):
        """Note where the backup ended."""
        start, end = _START.search(said), _END.search(said)
        if not start or not end:
            raise exception.TroveError("pg_basebackup did not tell the position in the write-ahead log at which it "
                                       "ended.")
        self.timeline, self.lsn = int(start[1]), wal.parse_lsn(end[1])

    def metadata(self):
        """Keep what an increment on this backup needs, and return where it begins."""
        if self._has_summaries:
            history.remember(self.app, self.lsn, self.timeline, self._manifest)
        else:
            with self.app.session() as session:
                wal.make_slot(session, history.SLOT, copy_of=_SLOT)
                # That this backup is kept is not known here, so its log since the one before stays as well.
                earlier = [lsn for lsn in history.known(self.app) if lsn < self.lsn]
                if earlier:
                    wal.advance_slot(session, history.SLOT, earlier[-1])
            history.remember(self.app, self.lsn, self.timeline)
        return {"lsn": str(self.lsn)}

    @classmethod
    def clean(cls, app):
        """Let the server keep no log any more for a backup that has ended."""
        with app.session() as session:
            wal.drop_slot(session, _SLOT)


class PgBaseBackupIncremental(PgBaseBackup):
    """What has changed since the parent: from version 17 on the blocks of files, which the server finds by summaries of
    its log; before, the write-ahead log, as a tar of its segments and of a description.
    """

    DESCRIPTION = "increment.json"

    def command(self):
        """See the base. Raises TroveError when what the server needs of the parent is gone."""
        start = wal.decimal_lsn((self.parent or {}).get("metadata"), "The parent of the backup")
        if not self._has_summaries:
            return self._log_since(start)
        with self.app.session() as session:
            timeline, _ = wal.position(session)
        return [*super().command(), f"--incremental={history.find(self.app, start, timeline)}"]

    def _log_since(self, start):
        with self.app.session() as session:
            wal.drop_slot(session, _SLOT)
            is_standby = wal.in_recovery(session)
            if not is_standby:
                session.execute("SELECT pg_switch_wal()")  # so that the last segment is complete and on the disk
            self.timeline, self.lsn = wal.position(session)
            history.find(self.app, start, self.timeline)
            # The parent is kept, or it would not be one: what lies before it is of no use any more.
            wal.advance_slot(session, history.SLOT, start)
            wal.make_slot(session, _SLOT)
            [(system,)] = session.execute("SELECT system_identifier FROM pg_control_system()")
        directory = self.app.layout.data / "pg_wal"
        names = wal.segment_names(self.timeline, start, self.lsn)
        missing = [name for name in names if not (directory / name).is_file()]
        if missing:
            raise exception.TroveError(
                f"The write-ahead log since the parent is not complete any more: {missing[0]} is gone, as the server "
                "keeps it only while the volume has room. Take a full backup, and base increments on that.")
        operating_system.write_file(self.work / self.DESCRIPTION, json.dumps({
            "system": str(system), "timeline": self.timeline, "start": start, "stop": self.lsn}))
        listed = self.work / "segments"
        listed.write_text("".join(f"{name}\n" for name in names), encoding="ascii")
        last = []
        if is_standby:  # the server goes on writing to the last one while it is read
            # A link in its place, which the server's user may make, is not followed.
            operating_system.run(["cp", "--no-dereference", str(directory / names[-1]), str(self.work / names[-1])])
            listed.write_text("".join(f"{name}\n" for name in names[:-1]), encoding="ascii")
            last = [names[-1]]
        return ["tar", "--create", f"--directory={self.work}", *self.options(), self.DESCRIPTION, *last,
                f"--directory={directory}", f"--files-from={listed}"]

    def check(self, said):
        """See the base. tar fails when something vanishes under it."""
        if self._has_summaries:
            super().check(said)


class PgDump(base.BackupRunner):
    """All databases and roles, with the verifiers of their passwords, as SQL. Each database is consistent in itself."""

    def command(self):
        """See the base."""
        return self.app.client("pg_dumpall", *self.options())
