"""Real database servers for tests: private, on a Unix socket in a directory of their own, gone with the test process.

A server refuses to run as root, so root starts it as ``nobody``. Needs Debian's mariadb-server-core or postgresql.
"""
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import sqlalchemy

from tests import waiting

PREPARE_TIMEOUT = 600  # seconds for making a data directory, which takes a few


def _program(name, package):
    """The path of a program that is perhaps not in PATH."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)
    if found is None:
        raise RuntimeError(f"{name} is not installed; these tests need the Debian package {package}")
    return found


class Server:
    """One server; ``start`` before use, ``stop`` at the end.

    Subclasses: ``prepare()`` fills the directory, ``command()`` is the server's argument list, ``url(database)``.
    """

    name = stop_signal = None

    def __init__(self):
        self.directory = None
        self._process = None

    def _as_user(self, *command):
        if os.geteuid() != 0:
            return list(command)
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--", *command]

    def start(self):
        """Start it and wait until it answers. Raises RuntimeError with the end of its log."""
        self.directory = Path(tempfile.mkdtemp(prefix=f"trove-test-{self.name}-"))
        try:
            if os.geteuid() == 0:
                shutil.chown(self.directory, "nobody", "nogroup")
            with open(self.directory / "log", "wb") as log:
                subprocess.run(self._as_user(*self.prepare()), cwd=self.directory, stdout=log, stderr=log,
                               timeout=PREPARE_TIMEOUT, check=True)
            self.run()
        except BaseException:
            self.stop()
            raise
        return self

    def run(self):
        """Start the server itself (again), with what it keeps in its directory, and wait until it answers."""
        with open(self.directory / "log", "ab") as log:
            # The kernel ends it when this process is killed.
            guard = ["setpriv", "--pdeathsig", self.stop_signal.name[3:], "--"]
            self._process = subprocess.Popen(self._as_user(*guard, *self.command()), cwd=self.directory,
                                             stdout=log, stderr=log)
        self._wait()

    def kill(self):
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def _wait(self):
        engine = sqlalchemy.create_engine(self.url(self.maintenance))

        def log():
            return (self.directory / "log").read_text(errors="replace")[-2000:]

        def answers():
            try:
                engine.connect().close()
            except sqlalchemy.exc.OperationalError as error:
                if self._process.poll() is not None:
                    raise RuntimeError(f"{self.name} did not start: {error.orig}\n{log()}") from error
                return False
            return True
        try:
            waiting.wait_until(answers, pause=0.1, explain=log)
        finally:
            engine.dispose()

    def new_database(self, database):
        """Make an empty database (dropping an old one of that name) and return its URL."""
        engine = sqlalchemy.create_engine(self.url(self.maintenance), isolation_level="AUTOCOMMIT", future=True)
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE IF EXISTS {database}"))
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {database}"))
        engine.dispose()
        return self.url(database)

    def stop(self):
        """End the process and remove the directory."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            try:
                waiting.end_of(self._process, 30)
            except AssertionError:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class MariaDB(Server):
    """MariaDB, data never forced to disk.

    Its temporary files are its own: a server that starts deletes those of its neighbours in the same directory.
    """

    name, stop_signal, maintenance = "mariadb", signal.SIGTERM, "mysql"

    def prepare(self):
        return [_program("mariadb-install-db", "mariadb-server"), "--no-defaults", f"--datadir={self.directory}/data",
                "--auth-root-authentication-method=normal", "--skip-test-db"]

    def command(self):
        return [_program("mariadbd", "mariadb-server-core"), "--no-defaults", f"--datadir={self.directory}/data",
                f"--socket={self.directory}/sock", f"--tmpdir={self.directory}", "--skip-networking",
                "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M",
                f"--pid-file={self.directory}/pid"]

    def url(self, database):
        return f"mysql+pymysql://root@localhost/{database}?unix_socket={self.directory}/sock&charset=utf8mb4"


class PostgreSQL(Server):
    """PostgreSQL, data never forced to disk."""

    name, stop_signal, maintenance = "postgresql", signal.SIGQUIT, "postgres"

    def prepare(self):
        return [_program("initdb", "postgresql"), "-D", f"{self.directory}/data", "-U", "trove", "-A", "trust",
                "-E", "UTF8", "--no-sync"]

    def command(self):
        return [_program("postgres", "postgresql"), "-D", f"{self.directory}/data", "-k", str(self.directory),
                "-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=32MB"]

    def url(self, database):
        return f"postgresql+psycopg2://trove@/{database}?host={self.directory}"


ENGINES = {"mariadb": MariaDB, "postgresql": PostgreSQL}
