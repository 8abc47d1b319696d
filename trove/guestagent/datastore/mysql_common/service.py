"""The server of the MySQL family in a guest: its files, its data directory, its administrator, starting and stopping.

The agent connects by a way of its own, a port for administrators on the loopback address with a count of connections
that its users' do not use up. So the users cannot shut the agent out.

Whether MariaDB or MySQL is installed is found by looking; what differs between them stands in the table of engines.
"""
import configparser
import contextlib
import functools
import shutil
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import pymysql
from oslo_log import log as logging

from trove.common import exception, utils
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatuses
from trove.conf.mysql_family import OPTION_FILE
from trove.guestagent.common import configuration, host_service, operating_system
from trove.guestagent.datastore import server
from trove.guestagent.datastore.mysql_common import access, dialect, errors, sql, timezones, upgrade
from trove.guestagent.datastore.service import BaseDbStatus

LOG = logging.getLogger(__name__)

ADMIN_USER = "os_admin"
# In the data directory: the position in the source's log that a restore found in its backup; replicas read it.
POSITION_FILENAME = "trove.snapshot.position"
OWN_ADDRESS = "127.0.0.1"
# Connections that commands of this agent hold at the same time; further ones wait. The heartbeat's comes on top.
_CONNECTIONS = 16
# What MariaDB takes on the agent's port: those of the agent, and the threads of a backup program.
_OWN_CONNECTIONS = _CONNECTIONS + 8
# Change ids of the layers that open it, and that name the file of statements for a start.
_OWN_WAY, _STATEMENTS = "ownway", "administrator"

# Where servers are looked for; an agent's own PATH need not have them.
PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"

# The server answered, though not with a session: too many connections, or an account that it does not accept.
_ALIVE = (1040, *access.DENIED)
_NOT_LISTENING = (2002, 2003)
# The server ended while it was asked.
_GONE = (2006, 2013)
# Answers on the agent's own port after which the socket may do: it is full (a user took it), no such account (data of
# another server), no host (an older agent's account).
_SHUT = (1040, *access.DENIED)
# The server speaks no TLS.
_NO_TLS = 2026
_PLAIN = {"ssl_disabled": True}


@dataclass(frozen=True)
class Engine:
    """A server program. dialect: of ``dialect``; initialise: arguments that make a data directory, to which --datadir
    and --user are added; own_way: options that open the agent's port, "{port}" stands for its number.
    """

    dialect: str
    server: str
    unit: str
    initialise: tuple
    own_way: dict


ENGINES = (
    # First, as its packages also have a program called mysqld.
    Engine(dialect.MARIADB, "mariadbd", "mariadb.service",
           ("mariadb-install-db", "{defaults}", "--auth-root-authentication-method=socket", "--skip-test-db",
            "--skip-name-resolve"),
           # MariaDB opens it on bind_address; the guest's security group lets nobody reach it from outside.
           {"extra_port": "{port}", "extra_max_connections": _OWN_CONNECTIONS}),
    Engine(dialect.MYSQL, "mysqld", "mysql.service", ("mysqld", "{defaults}", "--initialize-insecure"),
           # "loose": MySQL 5.7 has no such port, and its agent uses the socket.
           {"loose_admin_address": "127.0.0.1", "loose_admin_port": "{port}",
            "loose_create_admin_listener_thread": 1}),
)


@dataclass(frozen=True)
class Layout(server.Layout):
    """The files of the base; overrides: directory that the configuration includes; own_port: of the agent's own way."""

    config_file: Path = Path("/etc/mysql/my.cnf")
    run_dir: Path = Path("/run/mysqld")
    template: Path = server.TEMPLATE
    log_file: Path = Path("/var/log/mysql/error.log")
    user: str = "mysql"
    overrides: Path = Path("/etc/mysql/conf.d")
    own_port: int = 33062

    @property
    def socket(self):
        """Where local clients connect."""
        return self.run_dir / "mysqld.sock"

    @property
    def pid_file(self):
        """Written by the server; left behind when it does not end cleanly."""
        return self.run_dir / "mysqld.pid"


def find_engine():
    """The Engine that is installed. Raises TroveError."""
    for engine in ENGINES:
        if find_program(engine.server):
            return engine
    raise exception.TroveError(f"None of {', '.join(engine.server for engine in ENGINES)} is installed in this guest.")


def find_program(name):
    """The path of a program of the server's packages, or None."""
    return shutil.which(name, path=PROGRAMS)


class MySqlStatus(BaseDbStatus):
    """Looks at the server through its socket, its process and its pid file."""

    def __init__(self, app):
        super().__init__()
        self.app = app
        self._full = False

    def get_actual_db_status(self):
        """RUNNING when it answers, BLOCKED when only its process is there, else CRASHED or SHUTDOWN."""
        try:
            try:
                self._look()
            except pymysql.err.OperationalError as error:
                if error.args[0] not in _GONE:
                    raise
                self._look()  # the heartbeat's connection ended with its server: a new one shows what there is
        except pymysql.err.MySQLError as error:
            return self._status_after(error.args[0] if error.args else None)
        return ServiceStatuses.RUNNING

    def _look(self):
        with self.app.look() as session:
            self._note_whether_full(session)

    def _note_whether_full(self, session):
        """Log when the users' connections have reached max_connections, and when there is room again."""
        try:
            most = int(session.execute("SELECT @@GLOBAL.max_connections")[0][0])
            connected = int(session.execute("SHOW GLOBAL STATUS LIKE 'Threads_connected'")[0][1])
        except pymysql.err.MySQLError as error:
            if error.args and error.args[0] in _GONE:
                raise
            LOG.warning("%s: could not count the server's connections: %s", CONF.guest_id, error)
            return
        if (connected >= most) != self._full:
            self._full = not self._full
            if self._full:
                LOG.warning("%s: max_connections reached: %d connections to the database server are open and it allows "
                            "%d, so it rejects further users", CONF.guest_id, connected, most)
            else:
                LOG.info("%s: the database server has room for users again: %d of %d connections", CONF.guest_id,
                         connected, most)

    def _status_after(self, code):
        if code in _ALIVE:
            return ServiceStatuses.RUNNING
        if code not in _NOT_LISTENING or self.app.service.is_running():
            return ServiceStatuses.BLOCKED
        return ServiceStatuses.CRASHED if self.app.layout.pid_file.exists() else ServiceStatuses.SHUTDOWN


class MySqlApp(server.Server):
    """The one server of this guest. Every method may be repeated."""

    layout_class = Layout
    identity = ("auto.cnf", "*.pem")  # its id and its private keys; it makes those that are missing

    def __init__(self, layout):
        super().__init__(layout, MySqlStatus(self), configuration.IncludedLayers(
            layout.config_file, layout.overrides, OPTION_FILE))
        self.access = access.Access(self)
        self._service = None
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        self._looks = threading.local()

    @functools.cached_property
    def engine(self):
        """The Engine that is installed. Raises TroveError."""
        return find_engine()

    @property
    def admin_user(self):
        """The name of the agent's account."""
        return ADMIN_USER

    def installed_version(self):
        """Return what the server's program says of its version. Raises ProcessError, TroveError when there is none."""
        return operating_system.run([find_program(find_engine().server), "--version"]).partition("Ver ")[2]

    def client_program(self):
        """The path of the client program. Raises TroveError."""
        found = find_program("mariadb") or find_program("mysql")
        if not found:
            raise exception.TroveError("None of mariadb, mysql is installed in this guest.")
        return found

    @property
    def service(self):
        """Who starts and stops the process."""
        if self._service is None:
            engine = self.engine
            self._service = host_service.get_service(
                engine.unit, [find_program(engine.server), f"--defaults-file={self.layout.config_file}",
                              f"--user={self.layout.user}"], self.layout.log_file)
        return self._service

    def explain(self, error):
        """Return the error to raise to users in the place of one of the server or of a program, or None."""
        return errors.explain(error, self)

    # Sessions

    @property
    def client_file(self):
        """Option file with which clients become the administrator; also the place where its password is kept."""
        return operating_system.state_dir() / "my.cnf"

    def admin_password(self):
        """Return the administrator's password, or "" before there is one."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(operating_system.read_file(self.client_file) or "")
        return parser.get("client", "password", fallback="")

    def connect(self, user=ADMIN_USER, password=None, timeout=None):
        """Return a new connection, the administrator's by default. Raises pymysql.err.MySQLError.

        The administrator uses the agent's own way, and the socket only where that is not open: another user, or a
        server that was configured before there was one.
        timeout: seconds for one statement, agent_call_high_timeout if None.
        """
        timeout = timeout or CONF.agent_call_high_timeout
        if password is None:
            password = self.admin_password() if user == ADMIN_USER else ""
        arguments = {"user": user, "password": password, "charset": "utf8mb4", "autocommit": True,
                     "connect_timeout": 5, "read_timeout": timeout, "write_timeout": timeout}
        if user == ADMIN_USER:
            # Else the server goes on waiting, and carries the statement out after the agent has given up.
            wait = CONF.agent_lock_wait_timeout
            arguments["init_command"] = f"SET SESSION lock_wait_timeout = {wait}, innodb_lock_wait_timeout = {wait}"
            try:
                return self._connect_by_port(arguments)
            except pymysql.err.OperationalError as error:
                refused = isinstance(getattr(error, "original_exception", None), ConnectionRefusedError)
                if not refused and error.args[0] not in _SHUT:
                    raise
                LOG.debug("%s: the agent's own port is not open, the socket is used: %s", CONF.guest_id, error)
        return pymysql.connect(unix_socket=str(self.layout.socket), **_PLAIN, **arguments)

    def _connect_by_port(self, arguments):
        try:
            return pymysql.connect(host=OWN_ADDRESS, port=self.layout.own_port, **self._tls, **arguments)
        except pymysql.err.OperationalError as error:
            if error.args[0] != _NO_TLS or self._tls is _PLAIN:
                raise
        # The driver encrypts the password with the server's RSA key instead.
        return pymysql.connect(host=OWN_ADDRESS, port=self.layout.own_port, **_PLAIN, **arguments)

    @functools.cached_property
    def _tls(self):
        """The driver's arguments for TLS on the loopback address.

        The driver itself would load all certificates of the system for each connection, and verify nothing either.
        """
        if self.engine.dialect != dialect.MYSQL:
            return _PLAIN
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is this guest's own server
        return {"ssl": context}

    @contextlib.contextmanager
    def look(self):
        """A Session for a few short statements that change nothing. Raises pymysql.err.MySQLError.

        Within ``looking`` it is that thread's one session, else one of its own.
        """
        if not getattr(self._looks, "shared", False):
            with contextlib.closing(self.connect(timeout=access.LOOK)) as connection, connection.cursor() as cursor:
                yield sql.Session(cursor)
            return
        session = getattr(self._looks, "session", None)
        if session is None or not session.cursor.connection.open:
            session = self._looks.session = sql.Session(self.connect(timeout=access.LOOK).cursor())
        yield session

    @contextlib.contextmanager
    def looking(self):
        """Let all looks of this thread within the block share one connection."""
        self._looks.shared = True
        try:
            yield
        finally:
            session, self._looks.session, self._looks.shared = getattr(self._looks, "session", None), None, False
            if session is not None and session.cursor.connection.open:
                session.cursor.connection.close()

    def way(self):
        """Return the arguments with which a client program connects as the agent does."""
        connection = self.connect()
        with contextlib.closing(connection):
            if connection.unix_socket:
                return [f"--socket={self.layout.socket}"]
        return [f"--host={OWN_ADDRESS}", f"--port={self.layout.own_port}"]

    @contextlib.contextmanager
    def session(self, **kwargs):
        """A Session (``sql``) for the time of the block. kwargs: of ``connect``.

        Raises TroveError when the agent's commands hold too many connections for ``timeout`` seconds.
        """
        if not self._places.acquire(timeout=kwargs.get("timeout") or CONF.agent_call_high_timeout):
            raise exception.TroveError(f"{_CONNECTIONS} other commands of the agent are using the database server.")
        try:
            with contextlib.closing(self.connect(**kwargs)) as connection, connection.cursor() as cursor:
                yield sql.Session(cursor)
        finally:
            self._places.release()

    @contextlib.contextmanager
    def own_session(self, **kwargs):
        """A Session for what concerns this server alone: replicas do not get it."""
        with self.session(**kwargs) as session:
            session.execute("SET SESSION sql_log_bin = 0")
            yield session

    @contextlib.contextmanager
    def account_session(self, **kwargs):
        """An ``own_session`` that may also write to a read-only server."""
        with self.own_session(**kwargs) as session, session.opened():
            yield session

    # Parts of prepare

    def is_data(self, directory):
        """See the base."""
        return (directory / "mysql").is_dir()

    def initialise(self, directory):
        """See the base."""
        defaults = f"--defaults-file={self.layout.config_file}"
        argv = [argument.format(defaults=defaults) for argument in find_engine().initialise]
        operating_system.make_directory(directory, self.layout.user)
        operating_system.run([*argv, f"--datadir={directory}", f"--user={self.layout.user}"],
                             timeout=CONF.state_change_wait_time)

    def write_own_configuration(self):
        """Open the agent's own way into the server."""
        own_way = {name: str(value).format(port=self.layout.own_port) for name, value in find_engine().own_way.items()}
        self.configuration.apply_override(own_way, configuration.SYSTEM_GROUP, _OWN_WAY)

    def held_back(self, overrides):
        """Hold back a named time zone: with the data of a server that knows none it would not start."""
        return {"default_time_zone"} & overrides.keys()

    @property
    def certificate_file(self):
        """Key and certificate of the server and the CA's certificate, in one file."""
        return self.layout.config_file.with_name("trove-server.pem")

    def write_certificate(self, text):
        """Let the server use a key and a certificate (PEM text, with the CA's) from its next start on."""
        operating_system.write_file(self.certificate_file, text, mode=0o600, owner=self.layout.user)
        self.configuration.apply_override(dict.fromkeys(sql.CERTIFICATE_FILES, self.certificate_file),
                                          configuration.SYSTEM_GROUP, "tls")

    def install_certificate(self, text):
        """Let the server use a key and a certificate (PEM text) from now on; new connections get it.

        A server that was started without any begins with it at its next start. Raises pymysql.err.MySQLError.
        """
        self.write_certificate(text)
        with self.own_session() as session:
            if not session.load_certificate(str(self.certificate_file)):
                LOG.info("%s: the server speaks TLS from its next start on", CONF.guest_id)

    def secure(self, keep_root=False):
        """Make the administrator with a password of this guest; nobody else but the system's root keeps a way in.

        keep_root: root over the network stays if it is there, for data that came from a backup.
        """
        if not self.admin_password():
            operating_system.write_file(
                self.client_file, f"[client]\nuser = {ADMIN_USER}\npassword = {utils.generate_random_password()}\n"
                                  f"socket = {self.layout.socket}\n", mode=0o600)
        self.access.make()
        with self.own_session() as session:
            session.close_other_doors(keep_root)

    @property
    def _statements(self):
        return self.layout.run_dir / "administrator.sql"

    def restart_with_administrator(self):
        """Restart the server with a file of statements that make the administrator.

        For data that came from another server, whose passwords nobody here knows. Raises what ``restart`` does, and
        then the server was started once more without the file.
        """
        text = sql.making_of_administrator(self.engine.dialect, ADMIN_USER, self.admin_password())
        self.status.begin_restart()
        try:
            self.stop()
            operating_system.make_directory(self.layout.run_dir, self.layout.user, 0o755)
            operating_system.write_file(self._statements, text, mode=0o600, owner=self.layout.user)
            self.configuration.apply_override({"init_file": self._statements}, configuration.SYSTEM_GROUP, _STATEMENTS)
            try:
                super().start()
            except exception.TroveError:
                LOG.exception("%s: the server does not start with the statements that make the agent's account",
                              CONF.guest_id)
                self.start()
                raise
            finally:
                self._remove_statements()
        finally:
            self.status.end_restart()

    def _remove_statements(self):
        self.configuration.remove_override(configuration.SYSTEM_GROUP, _STATEMENTS)
        self._statements.unlink(missing_ok=True)

    # Starting and stopping

    def start(self):
        """See the base."""
        self._remove_statements()  # an agent that died left them; without its file MySQL would not start
        super().start()

    def start_at_boot(self):
        """See the base."""
        started = super().start_at_boot()
        if started:
            self.access.keep(contextlib.nullcontext)
            self.complete()
        return started

    # Commands

    def restart(self):
        """Stop and start; nothing is reported in between. A damaged account of the agent is made again by the way."""
        if self.access.needs_restart():
            self.access.make_with_restart()
            return
        super().restart()

    def look_after(self, idle, may_write):
        """Keep the accounts of the agent and of replicas."""
        self.access.keep(idle, may_write)

    def facts(self):
        """For the heartbeat: {"access": whether the agent has its account, "repairs": how often it was repaired,
        "binary_log": as ``sql.Session.binary_log``}, without what the server does not tell now.
        """
        facts = {"repairs": self.access.repairs}
        if self.access.whole is not None:
            facts["access"] = self.access.whole
        try:
            with self.look() as session:
                facts["binary_log"] = session.binary_log()
        except (pymysql.err.MySQLError, exception.TroveError) as error:
            LOG.debug("%s: the server does not tell of its binary log: %s", CONF.guest_id, error)
        return facts

    def apply_overrides(self, overrides):
        """Set global variables ({name: value}, None for the server's own default) in the running server.

        Returns {name: reason} of those that it did not take. Raises pymysql.err.MySQLError when it does not answer.
        """
        refused = {}
        with self.session() as session:
            for name, value in sorted(overrides.items()):
                try:
                    session.set_global(name, value)
                except pymysql.err.OperationalError as error:
                    if error.args[0] in _GONE:
                        raise
                    refused[name] = self._reason(name, error)
                except pymysql.err.MySQLError as error:
                    refused[name] = self._reason(name, error)
        return refused

    @staticmethod
    def _reason(name, error):
        LOG.warning("%s: the server did not take %s: %s", CONF.guest_id, name, error)
        return errors.reason(error)

    def complete(self, **kwargs):
        """Give the running server what a distribution's would have: named time zones, and system tables of its own
        version in data of an older one. kwargs: of ``session``.

        What fails is logged: the server does without.
        """
        try:
            upgrade.carry_out(self, find_program)
        except (pymysql.err.MySQLError, exception.TroveError) as error:
            LOG.error("%s: could not bring the system tables to the server's version: %s", CONF.guest_id, error)
        try:
            timezones.load(self, PROGRAMS, **kwargs)
        except (pymysql.err.MySQLError, exception.TroveError) as error:
            LOG.error("%s: could not fill the server's tables of time zones: %s", CONF.guest_id, error)
