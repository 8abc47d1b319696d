"""Engine and transactions of this process, for the layer's ``api`` module; models get a Session handed in."""
import contextlib
import functools
import logging as std_logging
import sqlite3
import threading
import time

import pymysql
import sqlalchemy
from oslo_log import log as logging
from pymysql import protocol
from pymysql.constants import SERVER_STATUS
from sqlalchemy import event, exc, orm

from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)

# Seconds after its last use for which a connection is taken to be sound.
_UNCHECKED = 1.0

_lock = threading.Lock()
_engine = None


def create_engine(url, future=True):
    """An engine for ``url`` with this product's settings (WAL and busy timeout, SQL mode, UTC, pool).

    future: False gives SQLAlchemy's old style, for migrations only.
    """
    options = CONF.database
    args = {"future": future, "pool_recycle": options.idle_timeout}
    backend = sqlalchemy.engine.make_url(url).get_backend_name()
    if backend == "sqlite":
        args["connect_args"] = {"timeout": options.lock_timeout, "check_same_thread": False}
        args["poolclass"] = sqlalchemy.pool.QueuePool
    elif backend == "mysql":
        # As PostgreSQL: who waited for a lock sees what its holder committed. MySQL's own default would show the
        # state at the transaction's first SELECT, and checks made under the lock would be worth nothing.
        args["isolation_level"] = "READ COMMITTED"
        args["connect_args"] = {"autocommit": True}  # transactions are begun by us, below
    for name, key in (("max_pool_size", "pool_size"), ("max_overflow", "max_overflow"),
                      ("pool_timeout", "pool_timeout")):
        if options[name] is not None:
            args[key] = options[name]
    engine = sqlalchemy.create_engine(url, **args)
    _prepare_connections(engine, backend)
    _check_idle_connections(engine)
    if options.query_log:
        std_logging.getLogger("sqlalchemy.engine").setLevel(std_logging.INFO)
    return engine


def _prepare_connections(engine, backend):
    if backend == "sqlite":
        @event.listens_for(engine, "connect")
        def configure(connection, _record):
            connection.isolation_level = None  # transactions are begun by us, below
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA synchronous={'FULL' if CONF.database.sqlite_synchronous else 'OFF'}")

        @event.listens_for(engine, "begin")
        def begin(connection):
            # A writer takes the lock at once: a transaction that first read and then wants to write cannot wait
            # for the lock in SQLite, it fails.
            writing = connection.get_execution_options().get("trove_write", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
    elif backend == "mysql":
        if engine.dialect.driver == "pymysql":
            @event.listens_for(engine, "do_connect")
            def connect(_dialect, _record, args, kwargs):
                return _Connection(*args, **kwargs)

        @event.listens_for(engine, "begin")
        def begin(connection):
            # A block that only reads needs no transaction: with READ COMMITTED each statement sees what is committed
            # when it begins.
            if connection.get_execution_options().get("trove_write", True):
                connection.exec_driver_sql("BEGIN")

        @event.listens_for(engine, "connect")
        def set_mode(connection, _record):
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION sql_mode = %s, time_zone = '+00:00', innodb_lock_wait_timeout = %s, "
                               "lock_wait_timeout = %s",
                               (CONF.database.mysql_sql_mode, CONF.database.lock_timeout, CONF.database.lock_timeout))
    elif backend == "postgresql":
        @event.listens_for(engine, "connect")
        def set_zone(connection, _record):
            with connection.cursor() as cursor:
                cursor.execute("SET TIME ZONE 'UTC'")
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{CONF.database.lock_timeout}s",))
            connection.commit()


@functools.lru_cache(maxsize=4096)
class _Column(protocol.FieldDescriptorPacket):
    """What the server says of a column, read once: it is the same for each run of a statement."""


class _Connection(pymysql.connections.Connection):
    """A connection that asks the server for a rollback only during a transaction, and remembers its columns."""

    def _read_packet(self, packet_type=protocol.MysqlPacket):
        # To read what 40 columns are takes as long as the rest of a short answer.
        return super()._read_packet(_Column if packet_type is protocol.FieldDescriptorPacket else packet_type)

    def rollback(self):
        """Roll back. SQLAlchemy asks twice at the end of each block, also after a commit; each is a round trip."""
        if self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            super().rollback()


def _check_idle_connections(engine):
    """Replace a connection that broke while the pool kept it.

    A connection that was in use within the last second is not checked: a round trip for each request.
    """
    @event.listens_for(engine, "connect")
    @event.listens_for(engine, "checkin")
    def note(_connection, record):
        record.info["used"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def check(connection, record, _proxy):
        if time.monotonic() - record.info["used"] > _UNCHECKED and not engine.dialect.do_ping(connection):
            raise exc.InvalidatePoolError()


def get_engine():
    """The engine of this process, made at first use from [database] connection."""
    global _engine
    with _lock:
        if _engine is None:
            _engine = create_engine(CONF.database.connection)
        return _engine


def dispose():
    """Forget the engine and close its connections (tests, and a child after a fork)."""
    global _engine
    with _lock:
        if _engine is not None:
            _engine.dispose()
            _engine = None
            _engine_for.cache_clear()


def wait_for_server():
    """Come back when the database takes connections; none stays open.

    Tries [database] max_retries times more, every retry_interval seconds. Raises the last error of SQLAlchemy.
    """
    engine, options = get_engine(), CONF.database
    attempt = 0
    while True:
        try:
            engine.connect().close()
            engine.dispose()  # the process may yet fork, and a connection must not have two owners
            return
        except exc.OperationalError as error:
            attempt += 1
            if attempt > options.max_retries != -1:
                raise
            LOG.warning("The database does not answer, trying again in %d s (attempt %d): %s", options.retry_interval,
                        attempt, error.orig)
            time.sleep(options.retry_interval)


@functools.lru_cache(maxsize=2)
def _engine_for(engine, write):
    """The engine with the option that tells readers from writers; to make it costs as much as a statement."""
    return engine.execution_options(trove_write=write)


def _session(write):
    return orm.Session(_engine_for(get_engine(), write), future=True, expire_on_commit=False)


@contextlib.contextmanager
def reader():
    """A session for reading; nothing is written at its end."""
    with _session(write=False) as session:
        yield session


@contextlib.contextmanager
def writer():
    """A session in one transaction: committed at the end of the block, rolled back when an error leaves it."""
    with _session(write=True) as session, session.begin():
        yield session


# MySQL 1205, 1213 and PostgreSQL 40001, 40P01, 55P03: the transaction lost against another and may simply be repeated.
_RETRYABLE_CODES = frozenset((1205, 1213, "40001", "40P01", "55P03"))


def is_lost_race(error):
    """Whether a database error means that repeating the whole transaction is right."""
    original = getattr(error, "orig", None)
    if isinstance(original, sqlite3.OperationalError):
        return "locked" in str(original)
    args = getattr(original, "args", ())
    return (bool(args) and args[0] in _RETRYABLE_CODES) or getattr(original, "pgcode", None) in _RETRYABLE_CODES


def retry_lost_races(function):
    """Decorator: repeat a function that is one whole transaction while it loses against others (at most 10 times)."""
    @functools.wraps(function)
    def repeat(*args, **kwargs):
        for attempt in range(1, 11):
            try:
                return function(*args, **kwargs)
            except exc.DBAPIError as error:
                if attempt == 10 or not is_lost_race(error):
                    raise
                LOG.warning("%s lost a race in the database, attempt %d: %s", function.__qualname__, attempt,
                            error.orig)
                time.sleep(0.02 * attempt)
    return repeat


_NOW = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "mysql": "UNIX_TIMESTAMP(NOW(6))",
    "postgresql": "EXTRACT(EPOCH FROM clock_timestamp())",
}


def clock(session):
    """The database's clock, seconds since the epoch, as part of a statement."""
    return sqlalchemy.literal_column(_NOW[session.get_bind().dialect.name], sqlalchemy.Float)


def now(session):
    """Seconds since the epoch by the database's clock: the only clock that leases are compared with."""
    return float(session.execute(sqlalchemy.select(clock(session))).scalar_one())
