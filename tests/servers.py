"""Real database servers for tests: private, on a Unix socket in a directory of their own, gone with the test process.

A server refuses to run as root, so root starts it as ``nobody``. Needs Debian's mariadb-server-core or postgresql.
"""
import contextlib
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import sqlalchemy
from onebox import datastores, image
from onebox.settings import locate, making

from tests import waiting

PREPARE_TIMEOUT = 600  # seconds for making a data directory, which takes a few
# What is taken out of a guest image: programs that the tests run, what they load, and their messages.
_MYSQL_FILES = ("usr/sbin/mysqld", "usr/bin/mysql", "usr/bin/mysqldump",
                "usr/bin/mysql_tzinfo_to_sql", "usr/lib64", "usr/lib/*-linux-gnu",
                "usr/lib/mysql", "usr/share/mysql")
# It finds what lies beside it, wherever that is.
_LOADER = """#!/bin/bash
root=${{0%/*/*}}
exec -a "$0" "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/{libraries}" --argv0 {program} \\
    "$root/usr/{path}" "$@"{more}
"""
_MYSQLD_OPTIONS = ' --basedir="$root/usr" --plugin-dir="$root/usr/lib/mysql/plugin" --secure-file-priv=NULL'


def _program(name, package):
    """The path of a program that is perhaps not in PATH."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)
    if found is None:
        raise RuntimeError(f"{name} is not installed; these tests need the Debian package {package}")
    return found


@contextlib.contextmanager
def mysql_programs():
    """A directory with mysqld, its clients and its time zone program, of the guest image of MySQL, which is built if
    it is not there.

    Debian 12 has no MySQL. They run here with the libraries of their own system. The server changes its user, who must
    be able to read them: they are copied for as long as they are used when the cache lies where only root may look.
    """
    root = _unpacked_mysql()
    if all(path.stat().st_mode & stat.S_IXOTH for path in root.parents):
        yield root / "bin"
        return
    with tempfile.TemporaryDirectory(prefix="trove-test-mysql-") as copy:
        Path(copy).chmod(0o755)
        shutil.copytree(root, f"{copy}/programs", symlinks=True)
        yield Path(copy, "programs/bin")


def _unpacked_mysql():
    cache = locate()[1]
    packed = image.root(cache, datastores.find("mysql"))
    digest = hashlib.sha256(repr((_MYSQL_FILES, _LOADER, _MYSQLD_OPTIONS)).encode()).hexdigest()[:8]
    root = cache / f"{packed.stem}-programs-{digest}"
    with making(root):
        if not (root / "bin").exists():
            shutil.rmtree(root, ignore_errors=True)
            subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-no-xattrs", "-dest", root, packed, *_MYSQL_FILES],
                           check=True, timeout=PREPARE_TIMEOUT, stdout=subprocess.DEVNULL)
            new = root / "bin.new"
            new.mkdir()
            [libraries] = (root / "usr/lib").glob("*-linux-gnu")
            for path in ("sbin/mysqld", "bin/mysql", "bin/mysqldump", "bin/mysql_tzinfo_to_sql"):
                program = new / Path(path).name
                program.write_text(_LOADER.format(libraries=libraries.name, program=program.name, path=path,
                                                  more=_MYSQLD_OPTIONS if program.name == "mysqld" else ""))
                program.chmod(0o755)
            new.rename(root / "bin")
    return root


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
