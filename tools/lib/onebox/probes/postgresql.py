"""The probe of PostgreSQL: a table, by pg8000."""
import contextlib
import shlex

import pg8000.native
from pg8000.exceptions import Error

from onebox.probes import base
from onebox.settings import write


class Probe(base.Probe):
    """See the base."""

    errors = (Error, OSError)
    port = 5432
    program = "postgres"
    _connection = None

    def _connect(self):
        if self._connection is None:
            way = ({"unix_sock": f"{self.host}/.s.PGSQL.{self.port}"} if self.host.startswith("/") else
                   {"host": self.host, "port": self.port})
            self._connection = pg8000.native.Connection(
                self.user, password=self.password, database=self.database or "postgres", timeout=self.connect_timeout,
                startup_params={"statement_timeout": f"{self.answer_timeout * 1000}"}, **way)
            # What waits for the server's answer waits longer than for a connection.
            self._connection._usock.settimeout(self.answer_timeout + 1)
        return self._connection

    def close(self):
        """See the base."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # The driver says good-bye to the server, which may be gone.
            with contextlib.suppress(*self.errors):
                connection.close()

    def query(self, statement, **values):
        """Return the rows of one statement; values: for its :name. Raises ``errors``."""
        try:
            return self._connect().run(statement, **values)
        except OSError:
            self._connection = None
            raise

    def hello(self):
        """See the base."""
        return tuple(self.query("SELECT current_setting('server_version'), session_user::text")[0])

    def clear(self):
        """See the base."""
        self.query("DROP TABLE IF EXISTS probe")
        self.query("CREATE TABLE probe (n int PRIMARY KEY, word text)")

    def put(self, key, value):
        """See the base."""
        self.query("INSERT INTO probe VALUES (:n, :word) ON CONFLICT (n) DO UPDATE SET word = :word", n=key, word=value)

    def get(self, key):
        """See the base."""
        rows = self.query("SELECT word FROM probe WHERE n = :n", n=key)
        return rows[0][0] if rows else None

    def keys(self):
        """See the base."""
        return {row[0] for row in self.query("SELECT n FROM probe")}

    def client_file(self, path, ca_file):
        """See the base: a service file, whose service has the name of the file."""
        facts = {"host": self.host, "port": self.port, "user": self.user, "password": self.password,
                 "dbname": self.database, "sslmode": "verify-ca", "sslrootcert": ca_file}
        path = path.with_name(f"{path.name}.service.conf")
        write(path, "[trove]\n" + "".join(f"{name}={value}\n" for name, value in facts.items()), mode=0o600)
        return path

    def command(self, client_file):
        """See the base."""
        return f"PGSERVICEFILE={shlex.quote(str(client_file))} psql service=trove"
