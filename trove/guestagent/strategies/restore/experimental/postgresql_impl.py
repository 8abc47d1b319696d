"""Restores of PostgreSQL, by the names of the classes that took the backups."""
import json

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.experimental.postgresql import standby, wal
from trove.guestagent.datastore.experimental.postgresql.service import ADMIN_USER, MAINTENANCE, REPLICATION_USERS
from trove.guestagent.strategies.backup.experimental import postgresql_impl as backup
from trove.guestagent.strategies.restore import base

# Where a chain has come to, in the directory while it is restored.
_CHAIN = "trove_chain.json"
# For a server that carries out the log and serves nobody.
RECOVERY_SETTINGS = {"hot_standby": "off", "archive_mode": "off", "ssl": "off", "shared_preload_libraries": "",
                     "logging_collector": "off", "log_destination": "stderr"}


class PgBaseBackup(base.RestoreRunner):
    """Data files and the write-ahead log that makes them consistent."""

    def restore(self, stream):
        """See the base. Every file is compared with the manifest that the server made."""
        stream.into(["tar", "--extract", "--no-same-owner", f"--directory={self.directory}"])
        if not self.app.is_data(self.directory):
            raise exception.TroveError("The backup holds no data directory of PostgreSQL.")
        self._note(self._verified(self.directory))

    def _verified(self, directory):
        """Compare an unpacked base backup with its manifest. Returns the position at which it ended."""
        operating_system.change_owner(directory, self.app.layout.user)
        self.app.run_as_server(self.app.programs / "pg_verifybackup", directory, timeout=CONF.backup_prepare_timeout)
        manifest = json.loads((directory / "backup_manifest").read_text(encoding="utf-8"))
        return max(wal.parse_lsn(each["End-LSN"]) for each in manifest["WAL-Ranges"])

    def _note(self, lsn):
        operating_system.write_file(self.directory / _CHAIN, json.dumps({"stop": lsn}))

    def _stop(self):
        return json.loads((self.directory / _CHAIN).read_text(encoding="utf-8"))["stop"]

    def finish(self):
        """Carry out the log, and remove what made the data another server's. A replica goes on with the log itself."""
        stop = self._stop()
        for name in (_CHAIN, "backup_manifest", "standby.signal", "recovery.signal", "postgresql.auto.conf"):
            (self.directory / name).unlink(missing_ok=True)
        if standby.is_wanted():
            standby.mark(self.app, self.directory)
            return
        if self.is_replayed:
            return
        recover(self.app, self.directory)
        reached = wal.parse_lsn(standby.control_data(self.app, self.directory)["Latest checkpoint location"])
        if reached < stop:
            raise exception.TroveError(
                f"The write-ahead log of the backup is damaged: it ends at {wal.format_lsn(reached)}, the backup at "
                f"{wal.format_lsn(stop)}.")


class PgBaseBackupIncremental(PgBaseBackup):
    """Changed blocks, which are put into the files of the links before, or write-ahead log that follows theirs."""

    def restore(self, stream):
        """See the base. Raises TroveError when it does not fit to the link before, or is damaged."""
        changes = self.directory.with_name(f"{self.directory.name}.increment")
        operating_system.remove_tree(changes)
        changes.mkdir(mode=0o700)
        try:
            stream.into(["tar", "--extract", "--no-same-owner", f"--directory={changes}"])
            if (changes / "backup_manifest").exists():
                self._combine(changes)
            else:
                self._use(changes)
        finally:
            operating_system.remove_tree(changes)

    def _combine(self, changes):
        """Replace the data directory by one that has the changed blocks. The server's program checks that they fit."""
        stop = self._verified(changes)
        (self.directory / _CHAIN).unlink()
        combined = self.directory.with_name(f"{self.directory.name}.combined")
        operating_system.remove_tree(combined)
        try:
            self.app.run_as_server(self.app.programs / "pg_combinebackup", "--no-sync", f"--output={combined}",
                                   self.directory, changes, timeout=CONF.backup_prepare_timeout)
            operating_system.remove_tree(self.directory)
            combined.rename(self.directory)
        except operating_system.ProcessError as error:
            raise exception.TroveError(f"The increment does not follow the backup before it: {error}") from error
        finally:
            operating_system.remove_tree(combined)
        self._note(stop)

    def _use(self, changes):
        text = operating_system.read_file(changes / backup.PgBaseBackupIncremental.DESCRIPTION)
        if text is None:
            raise exception.TroveError("The increment does not describe itself.")
        found = json.loads(text)
        system = standby.control_data(self.app, self.directory)["Database system identifier"]
        if (found["system"], found["start"]) != (system, self._stop()):
            raise exception.TroveError(
                f"The increment does not follow the backup before it: it begins at {wal.format_lsn(found['start'])} of "
                f"the server {found['system']}, that ends at {wal.format_lsn(self._stop())} of {system}.")
        target = self.directory / "pg_wal"
        for name in wal.segment_names(found["timeline"], found["start"], found["stop"]):
            if not (changes / name).is_file():
                raise exception.TroveError(f"The increment lacks the segment {name} of the write-ahead log.")
            (changes / name).replace(target / name)
        operating_system.change_owner(target, self.app.layout.user)
        # A server would take damaged log for the end of it.
        if found["stop"] > found["start"]:
            self.app.run_as_server(
                self.app.programs / "pg_waldump", "--quiet", f"--path={target}", f"--timeline={found['timeline']}",
                f"--start={wal.format_lsn(found['start'])}", f"--end={wal.format_lsn(found['stop'])}",
                timeout=CONF.backup_prepare_timeout)
        self._note(found["stop"])


class PgDump(base.RestoreRunner):
    """SQL that a running server executes."""

    needs_server = True

    def restore(self, stream):
        """See the base. The accounts of the agent and of replicas are not those of the backup."""
        own = f"({ADMIN_USER}|{REPLICATION_USERS}[0-9a-z]+)"
        # All roles come before the first database; what looks like their lines further on is the users' data.
        roles = rf"1,/^\\connect /{{/^(CREATE|ALTER|COMMENT ON) ROLE {own}( |;)/d}}"
        psql = self.app.client("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null",
                               f"--dbname={MAINTENANCE}")
        # Not as the system's root: the SQL is the users'.
        stream.into(["sed", "--regexp-extended", "--expression", roles], self.app.as_server(*psql))


def recover(app, directory):
    """Let the server's program carry out the write-ahead log in a data directory, and end.

    Raises ProcessError with the server's reason.
    """
    settings = {"config_file": app.layout.config_file, **RECOVERY_SETTINGS}
    operating_system.change_owner(directory, app.layout.user)
    app.run_as_server(
        app.programs / "postgres", "--single", "-D", directory,
        *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")), "template1",
        stdin="", timeout=CONF.backup_prepare_timeout)
