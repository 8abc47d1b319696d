"""Binary logs of the MySQL family: archived as they are, and replayed with the server's own program for that."""
import contextlib
import os
import re
import secrets
import signal
import struct
import subprocess
import time

import pymysql
from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.common.configuration import SYSTEM_GROUP
from trove.guestagent.common.waiting import wait_until
from trove.guestagent.datastore.mysql_common import dialect, sql
from trove.guestagent.datastore.mysql_common.service import POSITION_FILENAME, find_program
from trove.guestagent.strategies.archive.base import ArchiveStrategy, Gap, LogFile

LOG = logging.getLogger(__name__)

# Change ids of the layers over the configuration.
_LOG, _HOLD = "archive", "archivehold"
# The settings with which a server keeps a log that can be replayed. "loose": each has a name of one of the servers.
_KEEP_LOG = {"log_bin": "binlog", "binlog_format": "ROW", "loose_log_slave_updates": 1, "loose_log_replica_updates": 1}
# Seconds for which a server that replicas follow keeps its logs, as its template says.
_FOR_REPLICAS = 259200
# Bytes of a log that nobody archives after which it is closed, and so can be deleted.
_LARGEST_IDLE = 16 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]+\.[0-9]+")
# What reads logs, and what else the server is given into which they are replayed. MySQL's takes transactions with and
# without global ids, and its performance schema tells where a clone ends.
_PROGRAMS = {dialect.MARIADB: "mariadb-binlog", dialect.MYSQL: "mysqlbinlog"}
_OPTIONS = {dialect.MARIADB: ("--skip-slave-start",),
            dialect.MYSQL: ("--skip-replica-start", "--gtid-mode=ON_PERMISSIVE", "--performance-schema=ON")}
# What a server writes into a log by itself, as SHOW BINLOG EVENTS calls it.
_QUIET = {"Format_desc", "Previous_gtids", "Gtid_list", "Binlog_checkpoint", "Start_encryption", "Stop", "Rotate",
          "Heartbeat"}
# Events at the beginning of a log among which the first of users is looked for.
_BEGINNING = 12

# The format of binary logs: the first bytes; the header of an event (time, type, server, length, position after it,
# flags); the types that begin a transaction (MySQL's, those with tags, MariaDB's), and those that belong to none.
MAGIC = b"\xfebin"
_HEADER = struct.Struct("<IBIIIH")
_BEGINS = {33, 34, 42, 162}
_BETWEEN = {3, 4, 15, 27, 35, 161, 163, 164}


def find_end(path, start, point):
    """Return where the first transaction of a log begins that was committed at or after a time, None if none was.

    path: of the file; start: position at which to begin to look; point: seconds since the epoch. A transaction has the
    time of its last statement. Raises TroveError for what is no binary log.
    """
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise exception.TroveError(f"{path.name} is no binary log, or it is encrypted by the server.")
        position, began, newest = len(MAGIC), None, 0
        size = os.fstat(file.fileno()).st_size
        while position + _HEADER.size <= size:
            file.seek(position)
            moment, kind, _server, length, _after, _flags = _HEADER.unpack(file.read(_HEADER.size))
            if length < _HEADER.size or position + length > size:
                raise exception.TroveError(f"The binary log {path.name} is damaged at position {position}.")
            if kind in _BEGINS or kind in _BETWEEN:
                if began is not None and newest >= point:
                    return began
                began, newest = (position, 0) if kind in _BEGINS and position >= start else (None, 0)
            if began is not None:
                newest = max(newest, moment)
            position += length
    return began if began is not None and newest >= point else None


class BinaryLogs(ArchiveStrategy):
    """The binary logs of MariaDB, MySQL and Percona Server."""

    bases = ("MariaBackup", "MariaBackupIncremental", "InnoBackupEx", "InnoBackupExIncremental", "MySQLClone")

    def configure(self):
        """Keep a binary log from the first start on, with rows instead of statements."""
        self.app.configuration.apply_override(_KEEP_LOG, SYSTEM_GROUP, _LOG)

    # Archiving

    def _session(self):
        return self.app.session(timeout=CONF.host_command_timeout)

    @staticmethod
    def _logs(session):
        """The server's logs, oldest first, the last one is being written: [(name, bytes)]."""
        return [(row[0], row[1]) for row in session.execute("SHOW BINARY LOGS")]

    def begin(self):
        """See the base."""
        with self._session() as session:
            state = session.binary_log()
            if state != "on":
                self.configure()
                raise exception.TroveError("The server keeps no binary log. Restart the instance, and take the backup "
                                           "again.")
            self.app.configuration.apply_override(
                {"binlog_expire_logs_seconds": 0}, SYSTEM_GROUP, _HOLD)
            session.set_global("binlog_expire_logs_seconds", 0)
            session.execute("FLUSH BINARY LOGS")
            return self._logs(session)[-2][0]

    def rotate(self):
        """See the base."""
        with self._session() as session:
            if session.binary_log() != "on":
                return  # ``closed`` says so
            newest = self._logs(session)[-1][0]
            events = session.execute("SHOW BINLOG EVENTS IN %s LIMIT %s", (newest, _BEGINNING))
            if any(event[2] not in _QUIET for event in events) or len(events) == _BEGINNING:
                session.execute("FLUSH BINARY LOGS")

    def closed(self, after):
        """See the base."""
        with self._session() as session:
            if session.binary_log() != "on":
                raise Gap(reason="the server has switched its binary log off.")
            names = [name for name, _ in self._logs(session)]
        wanted = _number(after) + 1
        later = [name for name in names if _number(name) >= wanted]
        if not later or _number(later[0]) != wanted:
            raise Gap(reason=f"the binary log after {after} is gone, the server has {names[0]} to {names[-1]}.")
        return [LogFile(name, self.app.layout.data / name) for name in later[:-1]]

    def release(self, name):
        """See the base. What replicas may need is kept as long as without an archive."""
        with self._session() as session:
            self._purge(session, _number(name), _FOR_REPLICAS if session.replica_accounts() else 0)

    def _purge(self, session, last, keep):
        """Delete closed logs up to the number ``last`` that are older than ``keep`` seconds."""
        names = [name for name, _ in self._logs(session)]
        before = None
        for name, following in zip(names, names[1:], strict=False):
            if _number(name) > last or keep and time.time() - (self.app.layout.data / name).stat().st_mtime < keep:
                break
            before = following
        if before is not None:
            session.execute("PURGE BINARY LOGS TO %s", (before,))

    def end(self):
        """See the base."""
        self.app.configuration.apply_override({}, SYSTEM_GROUP, _HOLD)
        try:
            with self._session() as session:
                session.set_global("binlog_expire_logs_seconds", _FOR_REPLICAS)
        except pymysql.err.MySQLError as error:
            LOG.warning("%s: the server keeps its binary logs until its next start: %s", CONF.guest_id, error)

    def idle(self):
        """Delete closed logs unless replicas may need them."""
        with self._session() as session:
            if session.binary_log() != "on" or session.replica_accounts():
                return
            newest, size = self._logs(session)[-1]
            if int(size) > _LARGEST_IDLE:
                session.execute("FLUSH BINARY LOGS")
            self._purge(session, _number(newest), 0)

    # Replay

    def replay(self, directory, files, point):
        """See the base. The time of a transaction is that of its last statement."""
        with _Private(self.app, directory) as server:
            base, position = _base(directory, server)
            LOG.info("%s: the backup ends at %s, position %s", CONF.guest_id, base, position)
            wanted = _number(base)
            for file in files:
                number = _number(file.name)
                if number < wanted:
                    continue
                if number > wanted:
                    raise exception.TroveError(
                        f"The archive of logs lacks the binary log {wanted:06d}; the next that it has is {file.name}.")
                end = find_end(file.path, position, point)
                if end != position:
                    server.replay(file, position, end)
                if end is not None:
                    return
                wanted, position = number + 1, len(MAGIC)


def _number(name):
    """The number in the name of a binary log. Raises TroveError for what is no such name."""
    if not _NAME.fullmatch(name):
        raise exception.TroveError(f"{name!r} is no name of a binary log.")
    return int(name.rpartition(".")[2])


def _base(directory, server):
    """Where the restored data end in the log of the server that was backed up: (name of the file, position)."""
    text = operating_system.read_file(directory / POSITION_FILENAME)
    found = text.split() if text is not None else server.clone_position()
    if len(found) < 2 or not _NAME.fullmatch(str(found[0])) or not str(found[1]).isdigit():
        raise exception.TroveError("The backup does not tell where it ends in the binary log. It was taken while the "
                                   "server kept none.")
    return str(found[0]), int(found[1])


class _Private:
    """Context manager: a server of the restored data with which only the agent can talk. It has ended afterwards."""

    def __init__(self, app, directory):
        self.app, self.directory = app, directory
        self._run = app.layout.run_dir
        self.socket = self._run / "replay.sock"
        self._statements, self._client = self._run / "replay.sql", operating_system.state_dir() / "replay.cnf"
        self._name, self._password = f"os_replay{secrets.token_hex(4)}", secrets.token_hex(24)
        self._process = None

    def __enter__(self):
        layout = self.app.layout
        operating_system.change_owner(self.directory, layout.user)
        text = sql.making_of_administrator(self.app.engine.dialect, self._name, self._password)
        operating_system.write_file(self._statements, text, mode=0o600, owner=layout.user)
        operating_system.write_file(
            self._client, f"[client]\nuser = {self._name}\npassword = {self._password}\nsocket = {self.socket}\n",
            mode=0o600)
        own = _OPTIONS[self.app.engine.dialect]
        argv = [_program(self.app.engine.server), f"--defaults-file={layout.config_file}", f"--user={layout.user}",
                f"--datadir={self.directory}", f"--socket={self.socket}", f"--pid-file={self._run / 'replay.pid'}",
                f"--init-file={self._statements}", "--skip-networking", "--skip-log-bin", "--event-scheduler=OFF",
                *own]
        try:
            layout.log_file.parent.mkdir(parents=True, exist_ok=True)
            with layout.log_file.open("ab") as log:
                self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                 start_new_session=True)
            wait_until(self._answers, "The start of a server for the replay of logs", pause=0.1,
                       seconds=CONF.state_change_wait_time, option="state_change_wait_time")
        except BaseException:
            self._end()
            raise
        finally:
            self._statements.unlink(missing_ok=True)
        return self

    def _answers(self):
        if self._process.poll() is not None:
            raise exception.TroveError("The database server does not start with the restored data; its own log says "
                                       "why.")
        try:
            with self.session():
                return True
        except pymysql.err.OperationalError:
            return False

    @contextlib.contextmanager
    def session(self):
        """A Session (``sql``) with the server."""
        connection = pymysql.connect(unix_socket=str(self.socket), user=self._name, password=self._password,
                                     charset="utf8mb4", autocommit=True, connect_timeout=5, ssl_disabled=True,
                                     read_timeout=CONF.host_command_timeout)
        with contextlib.closing(connection), connection.cursor() as cursor:
            yield sql.Session(cursor)

    def clone_position(self):
        """The position that a server of cloned data tells, as texts; [] if it does not."""
        if self.app.engine.dialect != dialect.MYSQL:
            return []
        with self.session() as session:
            rows = session.execute("SELECT BINLOG_FILE, BINLOG_POSITION FROM performance_schema.clone_status")
        return [str(value) for value in rows[0]] if rows else []

    def replay(self, file, start, end):
        """Let the server carry out the changes of a log file from position ``start`` to ``end`` (None: all).

        Raises TroveError naming the file and what the server says.
        """
        reading = [_program(_PROGRAMS[self.app.engine.dialect]), f"--start-position={start}"]
        if end is not None:
            reading.append(f"--stop-position={end}")
        reading.append(str(file.path))
        client = [self.app.client_program(), f"--defaults-file={self._client}", "--binary-mode",
                  "--default-character-set=utf8mb4",
                  # The log holds what users wrote, and this client reads files as the system's root.
                  "--local-infile=0"]
        environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        said = [self._run / "replay.read", self._run / "replay.write"]
        with contextlib.ExitStack() as stack:
            logs = [stack.enter_context(open(path, "w+b")) for path in said]
            for path in said:
                stack.callback(path.unlink, missing_ok=True)
            reader = subprocess.Popen(reading, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=logs[0],
                                      env=environment)
            stack.callback(_end, reader)
            writer = subprocess.Popen(client, stdin=reader.stdout, stdout=subprocess.DEVNULL, stderr=logs[1],
                                      env=environment)
            stack.callback(_end, writer)
            reader.stdout.close()
            try:
                codes = [process.wait(CONF.archive_replay_timeout) for process in (writer, reader)]
            except subprocess.TimeoutExpired:
                raise exception.TroveError(
                    f"The binary log {file.name} was not replayed within {CONF.archive_replay_timeout} s (option "
                    "archive_replay_timeout).") from None
            if any(codes):
                # A reader whose client has ended suffers from a broken pipe.
                log = logs[1] if codes[0] else logs[0]
                log.seek(0)
                cause = log.read()[-500:].decode(errors="replace").strip()
                raise exception.TroveError(f"The binary log {file.name} cannot be replayed: {cause}")

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                with self.session() as session:
                    # In one statement: after the first it has no right to drop the second.
                    names = [part for host in sql.ADMINISTRATOR_HOSTS for part in (self._name, host)]
                    session.execute("DROP USER IF EXISTS %s@%s, %s@%s", names)
        finally:
            self._end()

    def _end(self):
        """Let the server end in order, or kill it."""
        self._client.unlink(missing_ok=True)
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(CONF.state_change_wait_time)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise exception.TroveError("The server for the replay of logs did not end within "
                                       f"{CONF.state_change_wait_time} s (option state_change_wait_time).") from None


def _end(process):
    if process.poll() is None:
        process.kill()
    process.wait()


def _program(name):
    found = find_program(name)
    if not found:
        raise exception.TroveError(f"The program {name} is not installed in this guest. Put it into the image.")
    return found
