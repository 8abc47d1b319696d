"""The server of the Redis family in a guest: its files, starting and stopping, settings, and root.

The agent connects to a Unix socket as an account of its own (``access``). Users' connections count against maxclients
as the agent's do, so it keeps one open.
"""
import contextlib
import json
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

import redis
from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.common.files.directives import Directives
from trove.common.instance import ServiceStatuses
from trove.guestagent.common import configuration, host_service, operating_system
from trove.guestagent.datastore import server
from trove.guestagent.datastore.admin import Root
from trove.guestagent.datastore.experimental.redis import access, data, errors
from trove.guestagent.datastore.service import BaseDbStatus

LOG = logging.getLogger(__name__)

# Seconds for one look of the heartbeat at the server.
LOOK = 3
# Change ids of the layers over the configuration.
_OWN, _TLS, _SOURCE = "own", "tls", "source"
# Bytes at the end of the server's log in which the cause of a failure is looked for.
_END_OF_LOG = 16384
# In the first line that a server logs.
_START = "oO0OoO0OoO0Oo"


@dataclass(frozen=True)
class Layout(server.Layout):
    """The files of the base. accounts: the server's access control list; program, check_program: of the server, and the
    one that checks snapshots; unit: of systemd; tls_port: where clients may speak TLS.
    """

    config_file: Path = Path("/etc/redis/redis.conf")
    run_dir: Path = Path("/run/redis")
    template: Path = server.TEMPLATE
    log_file: Path = Path("/var/log/redis/redis-server.log")
    user: str = "redis"
    accounts: Path = Path("/etc/redis/users.acl")
    program: str = "redis-server"
    check_program: str = "redis-check-rdb"
    unit: str = "redis-server.service"
    tls_port: int = 6380

    @property
    def socket(self):
        """Where the agent connects."""
        return self.run_dir / "trove.sock"

    @property
    def pid_file(self):
        """Written by the server; left behind when it does not end cleanly."""
        return self.run_dir / "trove.pid"


class RedisStatus(BaseDbStatus):
    """Looks at the server through its socket, its process and its pid file."""

    def __init__(self, app):
        super().__init__()
        self.app = app

    def get_actual_db_status(self):
        """RUNNING when it answers, BLOCKED when it loads data or only its process is there; CRASHED or SHUTDOWN."""
        try:
            self.app.look().ping()
        except access.DENIED:
            return ServiceStatuses.RUNNING  # it answered, though not to this agent
        except redis.exceptions.BusyLoadingError:
            return ServiceStatuses.BLOCKED
        except redis.exceptions.ResponseError as error:
            # It refuses even this while it cannot save its data; other refusals mean that a script keeps it busy.
            return ServiceStatuses.RUNNING if str(error).startswith("MISCONF") else ServiceStatuses.BLOCKED
        except redis.exceptions.RedisError as error:
            if errors.is_full(error):
                return ServiceStatuses.RUNNING
            if self.app.service.is_running():
                return ServiceStatuses.BLOCKED
            return ServiceStatuses.CRASHED if self.app.layout.pid_file.exists() else ServiceStatuses.SHUTDOWN
        return ServiceStatuses.RUNNING

    def wait_for(self, *statuses):
        """See the base. The wait for a server that loads its data goes on as long as it makes progress."""
        loaded = None
        while True:
            try:
                return super().wait_for(*statuses)
            except exception.PollTimeOut:
                before, loaded = loaded, self._loaded()
                if loaded in (None, before) or ServiceStatuses.RUNNING not in statuses:
                    raise

    def _loaded(self):
        """Return how many bytes of its data a server has loaded, None if it is not loading any."""
        try:
            return self.app.look().info("persistence").get("loading_loaded_bytes")
        except redis.exceptions.RedisError as error:
            LOG.debug("%s: the server does not tell how far it is: %s", CONF.guest_id, error)
            return None


class RedisApp(server.Server):
    """The one server of this guest. Every method may be repeated."""

    layout_class = Layout

    def __init__(self, layout):
        super().__init__(layout, RedisStatus(self), configuration.MergedLayers(
            layout.config_file, operating_system.state_dir() / "configuration", Directives()))
        self.access = access.Access(self)
        self.data = data.Data(self)
        self._service = None
        self._clients = {}

    @property
    def service(self):
        """Who starts and stops the process."""
        if self._service is None:
            program = shutil.which(self.layout.program)
            if program is None:
                raise exception.TroveError(f"{self.layout.program} is not installed in this guest.")
            self._service = host_service.get_service(
                self.layout.unit, [program, str(self.layout.config_file)], self.layout.log_file, self.layout.user)
        return self._service

    def explain(self, error):
        """Return the error to raise to users in the place of one of the server, or None."""
        return errors.explain(error)

    # Connections

    def client(self, timeout=None):
        """Return the agent's client. timeout: seconds for one command, agent_call_high_timeout if None."""
        timeout = timeout or CONF.agent_call_high_timeout
        key = timeout, self.access.admin_password()
        if key not in self._clients:
            self._clients = {known: client for known, client in self._clients.items() if known[1] == key[1]}
            self._clients[key] = connect(access.ADMIN, key[1], timeout, unix_socket_path=str(self.layout.socket))
        return self._clients[key]

    def look(self):
        """Return the client for what is asked with every heartbeat."""
        return self.client(LOOK)

    def role(self):
        """Return what the server says of its replication, as a dict (section ``replication`` of INFO)."""
        return self.look().info("replication")

    def set_now(self, **values):
        """Set values in the running server, all or none; underscores in names stand for dashes."""
        self.client().execute_command("CONFIG", "SET", *(str(word) for name, value in values.items()
                                                         for word in (name.replace("_", "-"), value)))

    # Parts of prepare

    def is_data(self, directory):
        """See the base."""
        return (directory / data.SNAPSHOT).is_file() or (directory / data.APPEND_ONLY).is_dir()

    def initialise(self, directory):
        """See the base."""
        operating_system.make_directory(directory, self.layout.user)

    def write_own_configuration(self):
        """State where everything is, and what the agent relies on."""
        layout = self.layout
        self.configuration.apply_override({
            "dir": str(layout.data), "dbfilename": data.SNAPSHOT, "appenddirname": data.APPEND_ONLY,
            "appendfilename": data.APPEND_ONLY_FILE, "aclfile": str(layout.accounts),
            "unixsocket": str(layout.socket), "unixsocketperm": "700", "pidfile": str(layout.pid_file),
            "logfile": str(layout.log_file), "daemonize": "no",
            # The process is found again by its command line.
            "set-proc-title": "no",
            # A user who may write commands of the server into it must not be able to run programs by it.
            "enable-protected-configs": "no", "enable-debug-command": "no", "enable-module-command": "no",
            "sanitize-dump-payload": "clients", "replica-read-only": "yes", "rdbchecksum": "yes",
        }, configuration.SYSTEM_GROUP, _OWN)
        self.access.prepare()

    def setting(self, name):
        """Return what the configuration says of a setting at the next start, as a text; "" if nothing."""
        text = operating_system.read_file(self.layout.config_file) or ""
        return self.configuration.file_format.parse(text).get(name, "")

    def secure(self, keep_root=False):
        """See the base. Backups bring no accounts, so there is nothing to keep."""
        self.access.make()

    @property
    def certificate_file(self):
        """Key and certificate of the server and the CA's certificate, in one file."""
        return self.layout.config_file.with_name("trove-server.pem")

    def _tls(self):
        return {"tls-port": self.layout.tls_port, "tls-auth-clients": "no", "tls-protocols": "TLSv1.2 TLSv1.3",
                **dict.fromkeys(("tls-cert-file", "tls-key-file", "tls-ca-cert-file"), str(self.certificate_file))}

    def write_certificate(self, text):
        """See the base. The server speaks TLS on a port of its own, beside the one without."""
        operating_system.write_file(self.certificate_file, text, mode=0o600, owner=self.layout.user)
        self.configuration.apply_override(self._tls(), configuration.SYSTEM_GROUP, _TLS)

    def install_certificate(self, text):
        """See the base. Raises redis.RedisError."""
        self.write_certificate(text)
        # Named in one command, the files are read again even if their names are the same.
        self.set_now(**self._tls())

    # Starting and stopping

    def start(self):
        """See the base."""
        operating_system.make_directory(self.layout.log_file.parent, self.layout.user)
        self._make_log()
        self.data.arrange()
        self.access.forget()
        try:
            super().start()
        except exception.TroveError as error:
            said = self.last_words("atal error", "Can't", "Failed", "Bad ", "argument")
            if not said:
                raise
            raise exception.TroveError(f"{error} It says: {said}") from error
        self.data.settle()

    def _make_log(self):
        """Make the server's log if it is missing. A link in its place, which the server may make, is an error."""
        account = pwd.getpwnam(self.layout.user)
        descriptor = os.open(self.layout.log_file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o640)
        try:
            os.fchown(descriptor, account.pw_uid, account.pw_gid)
        finally:
            os.close(descriptor)

    @property
    def _source_file(self):
        return operating_system.state_dir() / "source.json"

    @property
    def source(self):
        """The source that a replica follows: {"host", "port", "user", "password"}; None for a server that is none."""
        return json.loads(operating_system.read_file(self._source_file) or "null")

    def remember_source(self, source):
        """Remember the source, also for the next start, or forget it (None).

        The log-in is in a file of the server's user, as everybody may read the others.
        """
        login = self.layout.accounts.with_name("source.conf")
        if source:
            operating_system.write_file(self._source_file, json.dumps(source), mode=0o600)
            text = self.configuration.file_format.render(
                {"masteruser": source["user"], "masterauth": source["password"]})
            operating_system.write_file(login, text, mode=0o600, owner=self.layout.user)
            settings = {"replicaof": f"{source['host']} {source['port']}", "include": str(login)}
            self.configuration.apply_override(settings, configuration.SYSTEM_GROUP, _SOURCE)
            return
        self.configuration.remove_override(configuration.SYSTEM_GROUP, _SOURCE)
        for path in (login, self._source_file, self._progress_file):
            path.unlink(missing_ok=True)

    @property
    def _progress_file(self):
        return operating_system.state_dir() / "progress.json"

    @property
    def progress(self):
        """How far a replica was when the agent noted it last: {"history", "offset"}, None if it never did."""
        return json.loads(operating_system.read_file(self._progress_file) or "null")

    def note_progress(self, status):
        """Note how far a replica is: after a restart the server itself does not know. status: of ``role``."""
        progress = {"history": status.get("master_replid"), "offset": status.get("slave_repl_offset")}
        if knows_offset(status) and progress != self.progress and self.data.is_kept():
            operating_system.write_file(self._progress_file, json.dumps(progress))

    def stop(self):
        """See the base. Data that only the memory holds are saved first. A full volume does not keep a server from
        ending if its data are in append-only files.
        """
        # One that does not answer, or does not get on with its files, ends as it is set up to: it saves a snapshot.
        with contextlib.suppress(redis.exceptions.RedisError, exception.PollTimeOut):
            self.look().config_set("shutdown-on-sigterm", "nosave force" if self.data.is_kept() else "save")
            self.note_progress(self.role())
        super().stop()

    def look_after(self, idle, may_write):
        """Keep the accounts."""
        self.access.keep(idle)

    def facts(self):
        """For the heartbeat: {"access": whether the agent has its account, "repairs": how often it was repaired,
        "saves": whether the server can save its data}, without what the server does not tell now.
        """
        facts = {"repairs": self.access.repairs}
        if self.access.whole is not None:
            facts["access"] = self.access.whole
        try:
            info = self.look().info("persistence")
        except redis.exceptions.RedisError as error:
            LOG.debug("%s: the server does not tell of its files: %s", CONF.guest_id, error)
            return facts
        written = "aof_last_write_status" if info["aof_enabled"] else "rdb_last_bgsave_status"
        facts["saves"] = info[written] == "ok"
        return facts

    def last_words(self, *phrases):
        """Return the newest line of the server's log since its start that has one of the phrases, or "".

        The time and the like at its beginning are left out.
        """
        try:
            with operating_system.open_plain(self.layout.log_file) as log:
                log.seek(max(0, log.seek(0, 2) - _END_OF_LOG))
                lines = log.read().decode(errors="replace").rpartition(_START)[2].splitlines()
        except OSError as error:
            LOG.debug("%s: the server's log cannot be read: %s", CONF.guest_id, error)
            return ""
        return next((line.partition(" # ")[2] or line.partition(" * ")[2] or line for line in reversed(lines)
                     if any(phrase in line for phrase in phrases)), "")[:200]

    # Commands

    def apply_overrides(self, overrides):
        """See the base. Raises redis.RedisError when the server does not answer."""
        refused = {}
        for name, value in sorted(overrides.items()):
            text = self.configuration.file_format.text(value)
            try:
                if name == "appendonly":
                    self.data.switch_append_only(text == "yes")
                else:
                    self.client().config_set(name, text)
            except (redis.exceptions.ResponseError, exception.TroveError) as error:
                LOG.warning("%s: the server did not take %s: %s", CONF.guest_id, name, error)
                refused[name] = str(error).rpartition(" - ")[2]
        return refused


def knows_offset(status):
    """Return whether a server knows how far it has followed a source: not after a restart. status: of ``role``."""
    return status.get("slave_repl_offset", 0) > 1 or status.get("master_link_status") == "up"


def connect(user, password, timeout, **where):
    """Return a client of a server. timeout: seconds for one command; where: arguments of redis.Redis.

    A connection that is broken is made again once, which suits commands that may come twice.
    """
    return redis.Redis(
        username=user, password=password, socket_timeout=timeout, socket_connect_timeout=min(timeout, 5),
        decode_responses=True, protocol=2, retry=redis.retry.Retry(redis.backoff.NoBackoff(), 1), **where)


class RedisRoot(Root):
    """Root is the password of the server, which always has one; a user who asks for it gets to know it."""

    def __init__(self, app, manager):
        self.app = app
        self.manager = manager

    def enable_root(self, root_password=None):
        """See the base. Without a password it is the one that the server has."""
        return {"_name": access.DEFAULT, "_password": self.app.access.ask(root_password), "_host": "%"}

    def disable_root(self):
        """See the base: the password becomes one that nobody knows."""
        self.app.access.renew()

    def is_root_enabled(self):
        """See the base."""
        return self.app.access.asked
