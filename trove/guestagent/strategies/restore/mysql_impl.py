"""Restores of the MySQL family, by the names of the classes that took the backups."""
import re
import shutil

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.mysql_common import upgrade
from trove.guestagent.datastore.mysql_common.service import POSITION_FILENAME
from trove.guestagent.strategies.restore import base


class _Physical(base.RestoreRunner):
    """Files in an xbstream, which are made consistent. unpack, prepare: argument lists of the programs."""

    unpack = prepare = ()

    def restore(self, stream):
        """A full backup: the directory is the data directory afterwards."""
        self._unpack(stream, self.directory)
        self._prepare()

    def _unpack(self, stream, directory):
        stream.into([*self.unpack, "-x", "-C", str(directory)])

    def _prepare(self, *arguments):
        # The server's options, since the files must be read as it would: sizes of pages and logs, undo tablespaces.
        operating_system.run([*self.prepare[:1], f"--defaults-file={self.app.layout.config_file}", *self.prepare[1:],
                              f"--target-dir={self.directory}", *arguments], timeout=CONF.backup_prepare_timeout)

    def finish(self):
        """Remove the backup tool's own files, but keep the source's log position: replicas need it."""
        for name in ("xtrabackup_binlog_info", "mariadb_backup_binlog_info"):
            if (self.directory / name).exists():
                (self.directory / name).rename(self.directory / POSITION_FILENAME)
        for path in self.directory.glob("*"):
            if path.name.startswith(("xtrabackup_", "mariadb_backup_")) or path.name == "backup-my.cnf":
                path.unlink()


class _Increment:
    """Changes that are put upon what the links before have made."""

    def restore(self, stream):
        """See the base."""
        changes = self.directory.with_name(f"{self.directory.name}.increment")
        operating_system.remove_tree(changes)
        changes.mkdir(mode=0o700)
        try:
            self._unpack(stream, changes)
            self._prepare(f"--incremental-dir={changes}")
        finally:
            shutil.rmtree(changes, ignore_errors=True)


class MariaBackup(_Physical):
    """mariadb-backup, a full backup."""

    unpack = ("mbstream",)
    prepare = ("mariadb-backup", "--prepare")

    def _prepare(self, *arguments):
        wrote = self._server_version()
        mine = upgrade.numbers(self.app.installed_version())
        if wrote and mine and upgrade.numbers(wrote) > mine:
            raise exception.TroveError(
                f"The backup is of MariaDB {wrote}, which {'.'.join(map(str, mine))} of this instance cannot read: "
                "choose the datastore version of the backup, or a newer one (datastore.version).")
        super()._prepare(*arguments)

    def _server_version(self):
        """Return the version of the server that was backed up, as its backup tells it, or None."""
        for name in ("xtrabackup_info", "mariadb_backup_info"):
            found = re.search(r"^server_version = (\d+\.\d+(?:\.\d+)?)",
                              operating_system.read_file(self.directory / name) or "", re.MULTILINE)
            if found:
                return found[1]
        return None

    def finish(self):
        """See the base. Note the version for the server, which may be newer."""
        wrote = self._server_version()
        if wrote:
            operating_system.write_file(self.directory / upgrade.FILENAME, wrote)
        super().finish()


class MariaBackupIncremental(_Increment, MariaBackup):
    """mariadb-backup, an increment."""


class InnoBackupEx(_Physical):
    """Percona XtraBackup, a full backup. Only the last link may undo what was not committed."""

    unpack = ("xbstream",)
    prepare = ("xtrabackup", "--prepare", "--apply-log-only")

    def finish(self):
        """Now undo what was not committed."""
        operating_system.run(["xtrabackup", "--prepare", f"--target-dir={self.directory}"],
                             timeout=CONF.backup_prepare_timeout)
        super().finish()


class InnoBackupExIncremental(_Increment, InnoBackupEx):
    """Percona XtraBackup, an increment."""


class MySQLClone(base.RestoreRunner):
    """A copy that a server has made of its data; the new server recovers it when it starts."""

    def restore(self, stream):
        """See the base."""
        stream.into(["tar", "--extract", f"--directory={self.directory}"])
        if not (self.directory / "mysql.ibd").is_file():
            raise exception.TroveError("The backup holds no data directory of MySQL.")


class MySQLDump(base.RestoreRunner):
    """SQL that a running server executes."""

    needs_server = True

    def restore(self, stream):
        """See the base."""
        stream.into(["mysql", f"--defaults-file={self.app.client_file}", *self.app.way(), "--binary-mode",
                     "--default-character-set=utf8mb4"])
        with self.app.session() as session:
            session.execute("FLUSH PRIVILEGES")
