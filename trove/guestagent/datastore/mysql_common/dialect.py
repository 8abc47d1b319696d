"""What differs between the servers of the MySQL family in what they understand, found by asking the server itself.

``sql.Session`` makes it; whoever needs a statement or an argument that not every server takes asks it. No effects here.
"""
import re
from dataclasses import dataclass

from trove.common import exception

MARIADB, MYSQL = "mariadb", "mysql"
# The oldest ones that understand the statements of this package (ALTER USER with all that can be said of an account).
_OLDEST = {MARIADB: (10, 4), MYSQL: (5, 7)}


@dataclass(frozen=True)
class Dialect:
    """engine: MARIADB or MYSQL (also for Percona Server); version: its numbers, (9, 7, 4)."""

    engine: str
    version: tuple

    def variable(self, option):
        """The global variable of a running server that an option of its files (name with underscores) begins with."""
        if option == "default_time_zone":
            return "time_zone"
        if option == "transaction_isolation" and self.engine == MARIADB and self.version < (11, 1):
            return "tx_isolation"
        return option

    @property
    def can_clone(self):
        """Whether the server can copy its own data into a directory (CLONE LOCAL DATA DIRECTORY)."""
        return self.engine == MYSQL and self.version >= (8, 0, 17)

    @property
    def can_replicate(self):
        """Whether the server has the words that replication uses."""
        return self.engine == MARIADB or self.version >= (8, 0, 26)

    @property
    def event_off(self):
        """How ALTER EVENT says that an event rests because its server is a replica."""
        return "DISABLE ON REPLICA" if self.engine == MYSQL and self.version >= (8, 2) else "DISABLE ON SLAVE"

    @property
    def dump_options(self):
        """Arguments of mysqldump that only this engine's program knows and needs."""
        # The set of transactions belongs to the server that was dumped; only a replica may begin with it.
        return ("--set-gtid-purged=OFF",) if self.engine == MYSQL else ()


def of(version):
    """The Dialect of what ``SELECT VERSION()`` says. Raises TroveError for a server that is too old or unknown."""
    # Before version 11 MariaDB may put 5.5.5- before its own, for replicas that are older than it.
    found = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)(?:\.(\d+))?", version)
    if not found:
        raise exception.TroveError(f"The server says that its version is '{version}', which is none of this family.")
    engine = MARIADB if "mariadb" in version.lower() else MYSQL
    numbers = tuple(int(number) for number in found.groups(default="0"))
    if numbers < _OLDEST[engine]:
        raise exception.TroveError(f"The server's version {version} is too old: at least {engine} "
                                   f"{'.'.join(map(str, _OLDEST[engine]))} is needed.")
    return Dialect(engine, numbers)
