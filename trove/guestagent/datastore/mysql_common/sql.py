"""SQL of the MySQL family: one session with the server, the quoting of names, and the statements that prepare uses.

Values are always parameters of the driver. Names of databases cannot be parameters and go through ``quote``, the only
place where text becomes part of a statement.
"""
import contextlib
import hashlib
import re

import pymysql
from oslo_log import log as logging

from trove.common import utils
from trove.common.cfg import CONF
from trove.conf import mysql_family
from trove.guestagent.datastore.mysql_common import dialect

LOG = logging.getLogger(__name__)

# From where the administrator comes: the socket, and the agent's own port, as servers without a name service see it.
ADMINISTRATOR_HOSTS = ("localhost", "127.0.0.1")


# Options that name the file with key, certificate and CA. Without the CA MySQL would hold the certificate against the
# one that it made for itself.
CERTIFICATE_FILES = ("ssl_ca", "ssl_cert", "ssl_key")


def quote(name):
    """A name as SQL has it."""
    return "`" + name.replace("`", "``") + "`"


def as_pattern(name):
    """The pattern that means just this database in GRANT, where _ and % stand for anything."""
    for character in ("\\", "_", "%"):
        name = name.replace(character, "\\" + character)
    return name


def from_pattern(pattern):
    """The database name that a pattern of ``as_pattern`` means."""
    characters = []
    escaped = False
    for character in pattern:
        if character == "\\" and not escaped:
            escaped = True
            continue
        characters.append(character)
        escaped = False
    return "".join(characters) + ("\\" if escaped else "")


_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def as_variable(value):
    """A value as SET takes it: in an option file numbers may have a suffix, in SQL they may not, nor be texts."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        size = re.fullmatch(r"(-?\d+)([kmgt]?)", value, re.IGNORECASE | re.ASCII)
        if size:
            return int(size[1]) * _SIZES[size[2].lower()]
        if re.fullmatch(r"-?\d+\.\d+", value, re.ASCII):
            return float(value)
    return value


def _administrator_statements(name, password):
    """Return the statements that make the administrator whole, whatever was changed of it, each with its values."""
    for host in ADMINISTRATOR_HOSTS:
        yield "CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s", (name, host, password)
        # Else a history of passwords that is demanded of all accounts would refuse the same one again. A comment to all
        # but MySQL 8.0.3 and later.
        yield ("ALTER USER %s@%s PASSWORD EXPIRE NEVER /*!80003 PASSWORD HISTORY 0 PASSWORD REUSE INTERVAL 0 DAY */",
               (name, host))
        yield ("ALTER USER %s@%s IDENTIFIED BY %s REQUIRE NONE WITH MAX_QUERIES_PER_HOUR 0 MAX_UPDATES_PER_HOUR 0 "
               "MAX_CONNECTIONS_PER_HOUR 0 MAX_USER_CONNECTIONS 0 PASSWORD EXPIRE NEVER ACCOUNT UNLOCK",
               (name, host, password))
        yield "GRANT ALL PRIVILEGES ON *.* TO %s@%s WITH GRANT OPTION", (name, host)


def making_of_administrator(engine, name, password):
    """Return the text of a file of statements, one on a line, for the option init_file or a client program.

    engine: dialect.MARIADB or MYSQL; name, password: letters, digits and _ only, as nothing is quoted.
    """
    if not re.fullmatch(r"\w+", name + password, re.ASCII):
        raise ValueError("not a plain word")
    lines = ["SET SESSION sql_log_bin = 0", "FLUSH LOCAL PRIVILEGES"]
    lines += [statement % tuple(f"'{value}'" for value in values)
              for statement, values in _administrator_statements(name, password)]
    if engine == dialect.MYSQL:  # a replica of MySQL refuses the writes of everybody
        lines[1:1] = ["SET @was_shut = @@GLOBAL.super_read_only", "SET GLOBAL super_read_only = 0"]
        lines.append("SET GLOBAL super_read_only = @was_shut")
    return ";\n".join(lines) + ";\n"


class Session:
    """A cursor of the driver with the two ways in which values get into statements."""

    def __init__(self, cursor):
        self.cursor = cursor
        self._dialect = None

    @property
    def dialect(self):
        """What the server understands (``dialect.Dialect``); it is asked once."""
        if self._dialect is None:
            self._dialect = dialect.of(self.execute("SELECT VERSION()")[0][0])
        return self._dialect

    def execute(self, statement, values=(), names=()):
        """Run a statement and return its rows. values: for its %s; names: of databases, quoted, for its {}."""
        # The driver's %-formatting comes last, so a % in a name is doubled.
        statement = statement.format(*(quote(name).replace("%", "%%") for name in names))
        if CONF.sql_query_logging:
            LOG.info("SQL: %s", statement)
        try:
            self.cursor.execute(statement, tuple(values))
        except pymysql.err.MySQLError as error:
            # For the question who holds a lock on them; the names in SET are those of variables.
            error.databases = () if statement.startswith("SET ") else tuple(names)
            raise
        return self.cursor.fetchall()

    def set_global(self, name, value):
        """Set the global variable of an option.

        value: bool, number, text as in an option file (16M), None for the server's own default.
        """
        name = self.dialect.variable(name)
        if value is None and name == "collation_server":
            # Its default is that of the start; this gives the one of the present character set.
            self.execute("SET GLOBAL character_set_server = @@GLOBAL.character_set_server")
        elif value is None:
            self.execute("SET GLOBAL {} = DEFAULT", names=(name,))
        else:
            self.execute("SET GLOBAL {} = %s", (as_variable(value),), names=(name,))

    def load_certificate(self, path):
        """Let the server read its key and certificate, both in the file ``path``, again; connections go on.

        Returns False for a MariaDB that was started without TLS: it can only begin with it at its next start.
        """
        if self.dialect.engine == dialect.MYSQL:
            for name in CERTIFICATE_FILES:
                self.execute("SET GLOBAL {} = %s", (path,), names=(name,))
            self.execute("ALTER INSTANCE RELOAD TLS")
            return True
        if self.execute("SELECT @@GLOBAL.have_ssl")[0][0] != "YES":
            return False
        self.execute("FLUSH SSL")
        return True

    @contextlib.contextmanager
    def opened(self):
        """Let the administrator write to a read-only server meanwhile; everybody else stays shut out."""
        # Only MySQL shuts out the administrator too.
        shut = self.dialect.engine == dialect.MYSQL and self.execute("SELECT @@super_read_only")[0][0]
        if shut:
            self.set_global("super_read_only", 0)
        try:
            yield
        finally:
            if shut:
                self.set_global("super_read_only", 1)

    def user_exists(self, name, host):
        """Whether there is such an account."""
        return bool(self.execute("SELECT 1 FROM mysql.user WHERE User = %s AND Host = %s", (name, host)))

    def set_password(self, name, host, password):
        """Make the account if it is missing, with this password in any case."""
        if not self.user_exists(name, host):
            # With a history of passwords MySQL refuses to set the same one a second time.
            self.execute("CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s", (name, host, password))
            return
        self.execute("ALTER USER %s@%s IDENTIFIED BY %s", (name, host, password))

    def make_administrator(self, name, password):
        """Make the local accounts with all rights and this password, or repair them."""
        # Tables of privileges may have been loaded from a dump, or changed by hand: they and what the server goes by
        # must agree before an account is changed.
        self.execute("FLUSH LOCAL PRIVILEGES")
        for statement, values in _administrator_statements(name, password):
            self.execute(statement, values)

    def replica_accounts(self):
        """Return the names of the accounts that replicas have here."""
        prefix = mysql_family.REPLICA_ACCOUNT.prefix
        return [name for (name,) in self.execute(
            "SELECT User FROM mysql.user WHERE LEFT(User, %s) = %s", (len(prefix), prefix))]

    def make_replica_account(self, name, password):
        """Make the account of a replica, or repair it."""
        self.set_password(name, "%", password)
        self.execute("ALTER USER %s@'%%' REQUIRE NONE PASSWORD EXPIRE NEVER ACCOUNT UNLOCK", (name,))
        self.execute("GRANT REPLICATION SLAVE ON *.* TO %s@'%%'", (name,))

    def fingerprint(self, name, host):
        """Return a text that changes with every change of an account and its rights, or None if it is not there."""
        # MariaDB's mysql.user is a view, which does not show that an account is locked.
        select = ("SELECT * FROM mysql.user WHERE User = %s AND Host = %s" if self.dialect.engine == dialect.MYSQL else
                  "SELECT * FROM mysql.global_priv WHERE User = %s AND Host = %s")
        found = [self.execute(select, (name, host))]
        if not found[0]:
            return None
        if self.dialect.engine == dialect.MYSQL and self.dialect.version >= (8, 0):
            found.append(self.execute("SELECT PRIV, WITH_GRANT_OPTION FROM mysql.global_grants WHERE USER = %s AND "
                                      "HOST = %s ORDER BY PRIV", (name, host)))
        return hashlib.sha256(repr(found).encode()).hexdigest()

    def binary_log(self):
        """Return "on", "off", or "failed" when the server has switched its log off because it could not write it.

        After a rotation without room MariaDB goes on without a log, and its variable log_bin still says 1.
        """
        if not self.execute("SELECT @@log_bin")[0][0]:
            return "off"
        newer = self.dialect.engine == dialect.MYSQL and self.dialect.version >= (8, 2)
        return "on" if self.execute("SHOW BINARY LOG STATUS" if newer else "SHOW MASTER STATUS") else "failed"

    def close_other_doors(self, keep_root=False):
        """Remove anonymous accounts and root over the network; a local root without a password gets a secret one.

        keep_root: leave root over the network.
        """
        for name, host in self.execute("SELECT User, Host FROM mysql.user WHERE User = '' OR "
                                       "(User = 'root' AND Host <> 'localhost' AND NOT %s)", (keep_root,)):
            self.execute("DROP USER IF EXISTS %s@%s", (name, host))
        if self.execute("SELECT 1 FROM mysql.db WHERE User = ''"):
            self.execute("DELETE FROM mysql.db WHERE User = ''")
            self.execute("FLUSH PRIVILEGES")
        # A data directory may come with a root that needs no password; one that the system vouches for may stay.
        if self.execute("SELECT 1 FROM mysql.user WHERE User = 'root' AND Host = 'localhost' AND "
                        "authentication_string = '' AND plugin NOT IN ('auth_socket', 'unix_socket')"):
            self._close_root()

    def _close_root(self):
        """Let the system's root be the only one who is the local root; that is also how the agent repairs its account.

        Where MySQL has no plug-in for it, root gets a password that nobody knows.
        """
        try:
            if not self.execute("SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'auth_socket'"):
                self.execute("INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'")
            self.execute("ALTER USER 'root'@'localhost' IDENTIFIED WITH auth_socket")
        except pymysql.err.MySQLError as error:
            LOG.info("%s: the server cannot let in the system's root without a password: %s", CONF.guest_id, error)
            self.set_password("root", "localhost", utils.generate_random_password())
