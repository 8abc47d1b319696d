"""Backups of the MySQL family: physical ones of MariaDB and of Percona XtraBackup, and a dump."""
import re

from trove.common import exception
from trove.guestagent.common import operating_system
from trove.guestagent.strategies.backup import base


class _Physical(base.BackupRunner):
    """A copy of the data files while the server runs. program: its name; lsn: where the parent ended."""

    extension = ".xbstream"
    program = ()

    def command(self):
        """The copying program; who it is to the server stands in an option file."""
        options = self.work / "backup.cnf"
        operating_system.write_file(
            options, f"!include {self.app.layout.config_file}\n!include {self.app.client_file}\n", mode=0o600)
        temporary = self.work / "target"
        temporary.mkdir(exist_ok=True)
        return [*self.program[:1], f"--defaults-file={options}", *self.program[1:], "--stream=xbstream",
                f"--datadir={self.app.layout.data}", f"--socket={self.app.layout.socket}",
                f"--extra-lsndir={self.work}", *self.increment(), *self.options(), *self.target(temporary)]

    def target(self, directory):
        """The arguments that name the directory for the program's own small files."""
        return [f"--target-dir={directory}"]

    def increment(self):
        """The arguments that make it an increment."""
        return []

    def check(self, said):
        """The last word of the program is always the same."""
        if not said.rstrip().endswith("completed OK!"):
            raise exception.TroveError(f"{self.program[0]} did not say that it completed: {said[-300:]}")

    def metadata(self):
        """The log sequence number at which the next increment begins."""
        text = operating_system.read_file(self.work / "xtrabackup_checkpoints") or ""
        found = re.search(r"^to_lsn = (\d+)$", text, re.MULTILINE)
        if not found:
            raise exception.TroveError(f"{self.program[0]} did not tell the log sequence number (to_lsn).")
        return {"lsn": found[1]}


class _Increment:
    """What has changed since the parent's log sequence number."""

    def increment(self):
        """See the base."""
        lsn = ((self.parent or {}).get("metadata") or {}).get("lsn", "")
        if not lsn.isdigit():
            raise exception.TroveError("The parent of the backup does not tell its log sequence number (lsn).")
        return self.starting_at(lsn)

    def starting_at(self, lsn):
        """The arguments that name the log sequence number."""
        return [f"--incremental-lsn={lsn}"]


class MariaBackup(_Physical):
    """mariadb-backup, a full backup."""

    program = ("mariadb-backup", "--backup")


class MariaBackupIncremental(_Increment, MariaBackup):
    """mariadb-backup, an increment."""


class InnoBackupEx(_Physical):
    """Percona XtraBackup, a full backup."""

    program = ("xtrabackup", "--backup")


class InnoBackupExIncremental(_Increment, InnoBackupEx):
    """Percona XtraBackup, an increment."""


class MySQLDump(base.BackupRunner):
    """All databases, accounts included, as SQL; consistent for transactional tables."""

    extension = ".sql"

    def command(self):
        """The dumping program."""
        return ["mysqldump", f"--defaults-file={self.app.client_file}", "--all-databases", "--single-transaction",
                "--quick", "--routines", "--triggers", "--events", "--hex-blob", "--default-character-set=utf8mb4",
                *self.options()]
