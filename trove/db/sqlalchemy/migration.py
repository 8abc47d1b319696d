"""Versions of the schema, with sqlalchemy-migrate, which no module but this one and its repository knows.

Called by the layer's ``api`` module for trove-manage. A path names the repository of a plug-in, which has a version
of its own beside ours. Steps are safe to repeat, and one process at a time applies them.
"""
import contextlib
import fcntl
import hashlib
import time
from pathlib import Path

import sqlalchemy
from migrate import exceptions as migrate_exceptions
from migrate.versioning.repository import Repository
from migrate.versioning.schema import ControlledSchema
from oslo_log import log as logging

from trove.common.cfg import CONF
from trove.db.sqlalchemy import session

LOG = logging.getLogger(__name__)

REPOSITORY = Path(__file__).with_name("migrate_repo")
# Ours begins at version 37: a new database starts just below it.
BASELINE = 37


class MigrationError(Exception):
    """The schema cannot be brought to the version that was asked for; the text says why."""


def db_version(repo_path=None):
    """The version of the schema in the database, or None when it is not under version control."""
    with _engine() as engine:
        schema = _controlled(engine, _repository(repo_path))
        return None if schema is None else int(schema.version)


def db_sync(version=None, repo_path=None):
    """Bring the schema to ``version`` (int), by default the newest one. Doing it again, or twice at once, is fine.

    Raises MigrationError.
    """
    with _engine() as engine, _exclusive(engine), _explained():
        repository = _repository(repo_path)
        schema = _controlled(engine, repository)
        if schema is None:
            start = 0 if repo_path else BASELINE - 1
            schema = ControlledSchema.create(engine, repository, start)
        _move(schema, int(repository.latest) if version is None else version, repo_path, upgrade=True)


def db_downgrade(version, repo_path=None):
    """Take the schema back to ``version`` (int), with the loss of what the newer steps added. Raises MigrationError."""
    with _engine() as engine, _exclusive(engine), _explained():
        schema = _controlled(engine, _repository(repo_path))
        if schema is None:
            raise MigrationError("The database is not under version control; run db_sync first.")
        _move(schema, version, repo_path, upgrade=False)


def db_recreate(repo_path=None):
    """Drop everything that the database holds and make the newest schema.

    With the path of a plug-in only that plug-in's schema is taken back to nothing and made again.
    Raises MigrationError.
    """
    if repo_path:
        if db_version(repo_path) is not None:
            db_downgrade(0, repo_path)
    else:
        with _engine() as engine, _exclusive(engine), engine.begin() as connection:
            everything = sqlalchemy.MetaData()
            everything.reflect(connection)
            everything.drop_all(connection)
    db_sync(repo_path=repo_path)


def _move(schema, wanted, repo_path, upgrade):
    """Run the steps between the schema's version and ``wanted``, in one direction only."""
    current, newest = int(schema.version), int(schema.repository.latest)
    oldest = 0 if repo_path else BASELINE
    if not repo_path and current < BASELINE - 1:
        raise MigrationError(f"The database is at version {current}; this release upgrades from {BASELINE - 1} or "
                             f"newer. Bring it there with the release that made it.")
    if not oldest <= wanted <= newest:
        raise MigrationError(f"There is no way to version {wanted}: this release knows {oldest} to {newest}.")
    if current > newest:
        raise MigrationError(f"The database is at version {current}, made by a newer release; this one knows {newest}.")
    if wanted != current and (wanted > current) != upgrade:
        way = "db_downgrade" if upgrade else "db_upgrade"
        raise MigrationError(f"The database is at version {current}; use {way} to come to {wanted}.")
    schema.upgrade(wanted)
    LOG.info("The schema of %s is at version %d (was %d)", schema.repository.id, wanted, current)


def _repository(repo_path):
    try:
        return Repository(str(repo_path or REPOSITORY))
    except migrate_exceptions.InvalidRepositoryError:
        raise MigrationError(f"--repo_path: {repo_path} is not a migrate repository; it must be a directory with "
                             "migrate.cfg and versions/.") from None


def _controlled(engine, repository):
    """The schema under the repository's control, or None before that."""
    if not sqlalchemy.inspect(engine).has_table(repository.version_table):
        return None
    try:
        return ControlledSchema(engine, repository)
    except migrate_exceptions.DatabaseNotControlledError:
        # The table is there, but for another repository. The library says the same for an error of the database.
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
        return None


@contextlib.contextmanager
def _explained():
    """Turns the library's errors into MigrationError."""
    try:
        yield
    except migrate_exceptions.Error as error:
        raise MigrationError(f"{type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _engine():
    """An engine of its own in SQLAlchemy's old style, the only one that the library understands."""
    engine = session.create_engine(CONF.database.connection, future=False)
    try:
        yield engine
    finally:
        engine.dispose()


@contextlib.contextmanager
def _exclusive(engine):
    """Only one process at a time, on any machine (with Galera: any that uses the same node), is inside.

    The lock goes with its holder's connection or process. Raises MigrationError when it cannot be had within
    [database] migration_lock_timeout seconds.
    """
    deadline = time.monotonic() + CONF.database.migration_lock_timeout
    with contextlib.ExitStack() as stack:
        attempt = _LOCKS[engine.dialect.name](engine, stack)
        while not attempt():
            if time.monotonic() > deadline:
                raise MigrationError("Another process is changing the schema; it did not end within [database] "
                                     f"migration_lock_timeout ({CONF.database.migration_lock_timeout} s).")
            time.sleep(0.1)
        yield


def _mysql_lock(engine, stack):
    connection = stack.enter_context(engine.connect())
    # Such locks are of the whole server, and their names at most 64 characters long.
    name = "trove-" + hashlib.sha256(engine.url.database.encode()).hexdigest()[:32]
    stack.callback(connection.execute, sqlalchemy.text("SELECT RELEASE_LOCK(:name)"), {"name": name})
    return lambda: connection.execute(sqlalchemy.text("SELECT GET_LOCK(:name, 0)"), {"name": name}).scalar() == 1


def _postgresql_lock(engine, stack):
    connection = stack.enter_context(engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
    # Advisory locks are of one database. The pool keeps the session, so the lock is given back by hand.
    stack.callback(connection.execute, sqlalchemy.text("SELECT pg_advisory_unlock_all()"))
    return lambda: connection.execute(sqlalchemy.text("SELECT pg_try_advisory_lock(:key)"), {"key": 0x74726F7665}
                                      ).scalar()


def _sqlite_lock(engine, stack):
    if engine.url.database in (None, "", ":memory:"):
        return lambda: True
    # A lock inside the database would stand in the way of the steps themselves.
    try:
        lock = Path(f"{engine.url.database}.migration").open("w", encoding="ascii")  # noqa: SIM115 - the stack does it
    except OSError as error:
        raise MigrationError(f"[database] connection: the directory of {engine.url.database} cannot be written: "
                             f"{error.strerror}.") from error
    stack.callback(lock.close)

    def attempt():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    return attempt


_LOCKS = {"mysql": _mysql_lock, "postgresql": _postgresql_lock, "sqlite": _sqlite_lock}
