"""Backups of the MySQL family: physical ones of MariaDB and of Percona XtraBackup, MySQL's own clone, and a dump."""
import re
import shutil

from trove.common import exception
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.mysql_common import clone
from trove.guestagent.strategies.backup import base

# The file in which a backup program tells where its copy begins and ends; MariaDB 11 has a name of its own for it.
CHECKPOINTS = ("xtrabackup_checkpoints", "mariadb_backup_checkpoints")


class _Physical(base.BackupRunner):
    """A copy of the data files while the server runs. program: its name; lsn: where the parent ended."""

    program = ()

    def command(self):
        """The copying program; who it is to the server stands in an option file."""
        if not shutil.which(self.program[0]):
            raise exception.TroveError(
                f"{self.program[0]} is not installed in this guest. Put it into the image, or name a strategy that "
                "does without (option backup_strategy of the datastore's group: MySQLDump, or MySQLClone on MySQL).")
        options = self.work / "backup.cnf"
        operating_system.write_file(
            options, f"!include {self.app.layout.config_file}\n!include {self.app.client_file}\n", mode=0o600)
        temporary = self.work / "target"
        temporary.mkdir(exist_ok=True)
        return [*self.program[:1], f"--defaults-file={options}", *self.program[1:], "--stream=xbstream",
                f"--datadir={self.app.layout.data}", *self.app.way(),
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
            last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
            raise exception.TroveError(f"The program {self.program[0]} did not complete: {last[:200]}")

    def metadata(self):
        """The log sequence number at which the next increment begins."""
        text = next((found for name in CHECKPOINTS if (found := operating_system.read_file(self.work / name))), "")
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


class MySQLClone(base.BackupRunner):
    """A copy that the server itself makes beside its data, as a tar. There are no increments."""

    def command(self):
        """The program that packs the copy; the copy is made first, and is as the data was when it was complete."""
        return ["tar", "--create", "--sparse", f"--directory={clone.take(self.app)}", *self.options(), "."]

    @classmethod
    def clean(cls, app):
        """Remove the copy, and end a server's thread that may still be making it."""
        clone.remove(app)


class MySQLDump(base.BackupRunner):
    """All databases, accounts included, as SQL; consistent for transactional tables."""

    def command(self):
        """The dumping program."""
        with self.app.session() as session:
            dialect = session.dialect
        return ["mysqldump", f"--defaults-file={self.app.client_file}", *self.app.way(), "--all-databases",
                "--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob",
                "--default-character-set=utf8mb4", *dialect.dump_options, *self.options()]
