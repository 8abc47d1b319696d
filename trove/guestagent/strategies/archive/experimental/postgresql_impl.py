"""The archive of PostgreSQL's write-ahead log, and its replay to a point in time.

A slot keeps the segments that are not archived yet, so there is no archive_command that could hang or fail.
"""
import datetime
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import time

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.common.waiting import wait_until
from trove.guestagent.datastore.experimental.postgresql import standby, wal
from trove.guestagent.strategies.archive.base import ArchiveStrategy, Gap, LogFile
from trove.guestagent.strategies.restore.experimental.postgresql_impl import RECOVERY_SETTINGS

LOG = logging.getLogger(__name__)

_SLOT = "trove_archive"
_SEGMENT = re.compile(r"[0-9A-F]{24}")
# Segments that wait in the directory for a replay, at most: each has 16 MB.
_AHEAD = 4
_PAUSE = 0.05
# What the server says when all of the log ends before the point in time: nobody wrote afterwards.
_ENDED_BEFORE = "recovery ended before configured recovery target was reached"
_FATAL = re.compile(r"(?:FATAL|PANIC):  (.*)")
# Hands one file over to the server. $1: its name, $2: where the server wants it. It waits for a segment that is still
# to come; an older one than the archive has, and the history of a timeline, are not in it. One that was handed over
# before the server has: it reads its checkpoint first, and goes back to where the log begins then.
_FETCH = """\
#!/bin/bash
cd {directory} || exit 200
[[ $1 =~ ^[0-9A-F]{{24}}$ && ! $1 < {first} ]] || exit 1
while [[ ! -e $1 ]]; do
    [[ ! -e had.$1 && ! -e end ]] || exit 1
    sleep 0.05
done
: > "had.$1"
exec mv "$1" "$OLDPWD/$2"
"""


class PgWalArchive(ArchiveStrategy):
    """Segments of the log, of one timeline."""

    bases = ("PgBaseBackup", "PgBaseBackupIncremental")

    # Archiving

    def begin(self):
        """See the base."""
        with self.app.session() as session:
            if wal.in_recovery(session):
                raise exception.TroveError("The server is a replica. The log of its source is archived there.")
            wal.drop_slot(session, _SLOT)
            wal.make_slot(session, _SLOT)
            timeline, _ = wal.position(session)
            [(kept,)] = session.execute("SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = $1",
                                        (_SLOT,))
        return wal.segment_name(timeline, max(0, wal.parse_lsn(kept) - wal.SEGMENT_SIZE))

    def rotate(self):
        """See the base. The server does nothing if nobody has written."""
        with self.app.session() as session:
            if not wal.in_recovery(session):
                session.execute("SELECT pg_switch_wal()")

    def closed(self, after):
        """See the base."""
        with self.app.session() as session:
            timeline, lsn = wal.position(session)
            promoted = wal.in_recovery(session) or timeline != wal.timeline_of(after)
        if promoted:
            raise Gap(reason="the server has changed places with a replica since.")
        current, name = wal.segment_name(timeline, lsn), wal.following(after)
        directory, found = self.app.layout.data / "pg_wal", []
        while name < current:
            if not (directory / name).is_file():
                raise Gap(reason=f"the segment {name} of the write-ahead log is gone, as slots keep no more than "
                                 f"{wal.slot_limit_mb(self.app.layout.mount_point)} MB.")
            found.append(LogFile(name, directory / name))
            name = wal.following(name)
        return found

    def release(self, name):
        """See the base."""
        with self.app.session() as session:
            wal.advance_slot(session, _SLOT, wal.end_of(name))

    def end(self):
        """See the base."""
        with self.app.session() as session:
            wal.drop_slot(session, _SLOT)

    def idle(self):
        """Remove the slot of an archive that did not begin."""
        self.end()

    # Replay

    def replay(self, directory, files, point):
        """See the base."""
        moment = datetime.datetime.fromtimestamp(point, datetime.UTC)
        self._check(directory, moment)
        work = directory.with_name(f"{directory.name}.replay")
        operating_system.remove_tree(work)
        operating_system.make_directory(work, self.app.layout.user, 0o700)
        # The backup has them itself; the server does not ask for those before it, and they would wait for ever.
        newest = max((path.name for path in (directory / "pg_wal").iterdir() if _SEGMENT.fullmatch(path.name)),
                     default="")
        files = itertools.dropwhile(lambda file: file.name < newest, files)
        try:
            first = next(files, None)
            if first is not None:
                self._hand_over(first, work)
            operating_system.write_file(work / "fetch", _FETCH.format(
                directory=shlex.quote(str(work)), first=first.name if first else "G"), mode=0o755)
            operating_system.write_file(directory / "recovery.signal", "", mode=0o600, owner=self.app.layout.user)
            operating_system.change_owner(directory, self.app.layout.user)
            said = self._recover(directory, work, files, moment)
            if said and _ENDED_BEFORE in said:
                self._check_used(work, files)
                # All of the log was carried out, and nobody wrote between its end and that time.
                said = self._recover(directory, work, iter(()), None)
            if said:
                found = _FATAL.findall(said)
                raise exception.TroveError(
                    f"The backup cannot be brought to {moment:%Y-%m-%d %H:%M:%S} UTC: "
                    f"{found[-1] if found else said.splitlines()[-1]}.")
        finally:
            operating_system.remove_tree(work)

    def _check(self, directory, moment):
        """Raise TroveError for a time before the backup: a server may take that, and open the later state that it has.
        """
        taken = standby.control_data(self.app, directory)["Time of latest checkpoint"]
        began = datetime.datetime.strptime(taken, "%a %b %d %H:%M:%S %Y").replace(tzinfo=datetime.UTC)
        if moment < began:
            raise exception.TroveError(f"The backup was taken at {began:%Y-%m-%d %H:%M:%S} UTC, later than "
                                       f"{moment:%Y-%m-%d %H:%M:%S} UTC. Restore an older backup.")

    @staticmethod
    def _check_used(work, files):
        """Raise TroveError if the server has left segments: it takes damaged log, and a hole, for the end of it."""
        left = min((path.name for path in work.iterdir() if _SEGMENT.fullmatch(path.name)), default=None)
        if left is None:
            left = next((file.name for file in files), None)
        if left is not None:
            raise exception.TroveError(f"The archive of logs is damaged: the server found the end of the log before "
                                       f"the segment {left}. Restore to an earlier time.")

    def _hand_over(self, file, work):
        """Move a segment, complete, to where the server's program takes it from."""
        if not _SEGMENT.fullmatch(file.name):
            raise exception.TroveError(f"The archive of logs holds the file {file.name}, which is no segment.")
        file.path.chmod(0o600)
        shutil.chown(file.path, self.app.layout.user)
        file.path.rename(work / file.name)

    def _recover(self, directory, work, files, moment):
        """Run a server that nobody can reach until it has carried out the log. Returns what it said if it failed.

        files: further segments; moment: where to stop, at the end of the log if None.
        """
        log = work / "log"
        settings = {
            **RECOVERY_SETTINGS, "config_file": self.app.layout.config_file, "listen_addresses": "",
            "unix_socket_directories": work, "restore_command": f"{shlex.quote(str(work / 'fetch'))} %f %p",
            "recovery_target_action": "promote", "log_timezone": "UTC", "lc_messages": "C",
            "recovery_target_time": f"{moment:%Y-%m-%d %H:%M:%S.%f}+00" if moment else ""}
        command = self.app.as_server(self.app.programs / "postgres", "-D", directory, *(
            part for name, value in settings.items() for part in ("-c", f"{name}={value}")))
        with open(log, "wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                       start_new_session=True, cwd="/", env={**os.environ, "LC_ALL": "C"})
        try:
            self._feed(process, directory, work, files)
            return None if process.returncode == 0 else log.read_text(errors="replace") or "the server ended"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _feed(self, process, directory, work, files):
        """Hand segments over until the server is open, and end it then. It may also have ended by itself."""
        before, since = None, time.monotonic()
        while process.poll() is None:
            waiting = [path.name for path in work.iterdir() if _SEGMENT.fullmatch(path.name)]
            if waiting != before:
                before, since = waiting, time.monotonic()
            if len(waiting) < _AHEAD and not (work / "end").exists():
                file = next(files, None)
                if file is None:
                    operating_system.write_file(work / "end", "")
                else:
                    self._hand_over(file, work)
                continue
            if _is_open(directory):
                process.send_signal(signal.SIGINT)
                wait_until(lambda: process.poll() is not None, "The end of the server that replayed the log")
                return
            if time.monotonic() - since > CONF.backup_prepare_timeout:
                raise exception.PollTimeOut(what="The replay of the write-ahead log",
                                            seconds=CONF.backup_prepare_timeout, option="backup_prepare_timeout")
            time.sleep(_PAUSE)


def _is_open(directory):
    """Whether the server of a replay has carried out the log."""
    text = operating_system.read_file(directory / "postmaster.pid") or ""
    return [line.strip() for line in text.splitlines()[7:8]] == ["ready"]
