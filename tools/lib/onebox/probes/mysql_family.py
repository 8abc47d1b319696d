"""The probe of the MySQL family: a table, by PyMySQL."""
import shlex

import pymysql

from onebox.probes import base
from onebox.settings import write

_MAKE = "CREATE TABLE probe (n INT PRIMARY KEY, word VARCHAR(200)) ENGINE=InnoDB"


class Probe(base.Probe):
    """See the base."""

    errors = (pymysql.err.MySQLError,)
    port = 3306
    _connection = None

    def _connect(self):
        if self._connection is None:
            way = {"unix_socket": self.host} if self.host.startswith("/") else {"host": self.host, "port": self.port}
            # PyMySQL would encode a text as Latin-1.
            self._connection = pymysql.connect(
                **way, user=self.user, password=(self.password or "").encode(), database=self.database,
                autocommit=True, charset="utf8mb4", connect_timeout=self.connect_timeout,
                read_timeout=self.answer_timeout, write_timeout=self.answer_timeout)
        return self._connection

    def close(self):
        """See the base."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.open:
            connection.close()

    def query(self, statement, values=None):
        """Return the rows of one statement. Raises pymysql.err.MySQLError."""
        with self._connect().cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def hello(self):
        """See the base."""
        return self.query("SELECT VERSION(), CURRENT_USER()")[0]

    def clear(self):
        """See the base."""
        self.query("DROP TABLE IF EXISTS probe")
        self.query(_MAKE)

    def put(self, key, value):
        """See the base."""
        self.query("REPLACE INTO probe VALUES (%s, %s)", (key, value))

    def get(self, key):
        """See the base."""
        rows = self.query("SELECT word FROM probe WHERE n = %s", (key,))
        return rows[0][0] if rows else None

    def keys(self):
        """See the base."""
        return {row[0] for row in self.query("SELECT n FROM probe")}

    def client_file(self, path, ca_file):
        """See the base."""
        path = path.with_name(f"{path.name}.cnf")
        facts = {"host": self.host, "port": self.port, "user": self.user, "password": self.password}
        # The client verifies the server. "loose": MySQL's has another option for that.
        # Without quotes a value would end at a "#" in the path.
        authority = str(ca_file).replace("\\", "\\\\").replace('"', '\\"')
        write(path, "[client]\n" + "".join(f"{name}={value}\n" for name, value in facts.items())
              + f'ssl-ca="{authority}"\nloose-ssl-verify-server-cert\n[mysql]\ndatabase={self.database}\n', mode=0o600)
        return path

    def command(self, client_file):
        """See the base."""
        return f"mysql --defaults-extra-file={shlex.quote(str(client_file))}"
