"""MariaDB: the version of this machine's Debian, and others out of their guest images."""
import contextlib
import shutil

from onebox import datastores

from tests import programs
from tests.engines import mysql_family

_INSTALLED = "10.11"
_SERVER = ('--basedir="$root/usr" --plugin-dir="$root/usr/lib/mysql/plugin" '
           '--lc-messages-dir="$root/usr/share/mariadb" --character-sets-dir="$root/usr/share/mariadb/charsets"')
_PROGRAMS = {
    "usr/sbin/mariadbd": _SERVER, "usr/bin/mariadb-install-db": '--basedir="$root/usr"',
    "usr/bin/mariadb-backup": '--plugin-dir="$root/usr/lib/mysql/plugin"',
    **dict.fromkeys((f"usr/bin/{name}" for name in (
        "mariadb", "mariadb-check", "mariadb-dump", "mariadb-tzinfo-to-sql", "mariadb-upgrade", "mbstream",
        "my_print_defaults", "resolveip")), "")}
_FILES = ("usr/lib/mysql", "usr/share/mariadb")


class Engine(mysql_family.Engine):
    """See the base."""

    static = ("performance_schema", True, "ON")
    increments = "MariaBackupIncremental"

    @contextlib.contextmanager
    def programs(self):
        """See the base."""
        if self.version.name == _INSTALLED:
            for name in ("mariadbd", "mariadb-backup"):
                if not shutil.which(name, path="/usr/sbin:/usr/bin"):
                    raise RuntimeError(f"{name} is not installed; it is in Debian's mariadb-server and mariadb-backup")
            yield
            return
        with programs.of(self.version, _PROGRAMS, _FILES) as root, \
                self.found_in(root / "usr/sbin", root / "usr/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"):
            yield


def engines():
    """Return the Engine of each version, the default first."""
    return [Engine(version) for version in datastores.versions("mariadb")]
