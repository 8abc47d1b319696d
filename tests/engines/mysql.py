"""MySQL, out of its guest image."""
import contextlib
import typing

from onebox import datastores

from tests import programs
from tests.engines import mysql_family

_PROGRAMS = {
    "usr/sbin/mysqld": '--basedir="$root/usr" --plugin-dir="$root/usr/lib/mysql/plugin" --secure-file-priv=NULL',
    "usr/bin/mysql": "", "usr/bin/mysqldump": "", "usr/bin/mysqlbinlog": "", "usr/bin/mysql_tzinfo_to_sql": ""}
_FILES = ("usr/lib/mysql", "usr/share/mysql")


class Engine(mysql_family.Engine):
    """See the base."""

    static = ("performance_schema", False, "OFF")
    options: typing.ClassVar = {"backup_strategy": "MySQLClone"}

    @contextlib.contextmanager
    def programs(self):
        """See the base."""
        with programs.of(self.version, _PROGRAMS, _FILES) as root, self.found_in(root / "usr/sbin", root / "usr/bin"):
            yield


def engines():
    """Return the Engine of each version, the default first."""
    return [Engine(version) for version in datastores.versions("mysql")]
