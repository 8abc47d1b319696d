"""The PostgreSQL server in a guest: its files, its data directory, its administrator, starting and stopping.

The agent connects over the Unix socket as ``os_admin``, the superuser that initdb makes: the kernel vouches for the
system's root (peer), so there is no password. Who may log in stands in a file outside of the data directory, which the
server's own user cannot write.
"""
import contextlib
import functools
import os
import pwd
import re
import shutil
import signal
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.common.files.pairs import Pairs
from trove.common.instance import ServiceStatuses
from trove.conf.datastores.postgresql import TRAITS
from trove.guestagent.common import configuration, host_service, operating_system
from trove.guestagent.common.waiting import wait_until
from trove.guestagent.datastore import server
from trove.guestagent.datastore.experimental.postgresql import access, errors, identity, sql, standby
from trove.guestagent.datastore.experimental.postgresql.sql import ADMIN_USER, ROOT
from trove.guestagent.datastore.service import BaseDbStatus

LOG = logging.getLogger(__name__)

# The names of the accounts of replicas begin so; and the group to which they all belong.
REPLICATION_USERS = TRAITS.replica_account.prefix
REPLICAS = f"{REPLICATION_USERS}accounts"
# The database that agents and tools connect to.
MAINTENANCE = "postgres"
# Where the programs of each major version are, as Debian has them.
PROGRAMS = Path("/usr/lib/postgresql")
UNIT = "postgresql.service"
# Seconds for one statement of a look at the server.
LOOK = 10
# The server reads this file last, after those of the agent.
AUTO_CONF = "postgresql.auto.conf"

# Who may log in: the first line that fits counts. {agent}: the system's user that the agent runs as. The accounts of
# replicas get the log of changes, and no session.
ACCESS = """\
# Written by Trove.
local  all          {admin}  peer map=trove
local  replication  {admin}  peer map=trove
local  all          {root}   peer map=trove
local  all          all       scram-sha-256
host   all          {admin}  all  reject
host   all          +{replicas}  all  reject
host   replication  {admin}  all  reject
host   all          all       all  scram-sha-256
host   replication  all       all  scram-sha-256
"""
IDENTITIES = """\
# Written by Trove.
trove  {agent}  {admin}
trove  {agent}  {root}
# Restores run SQL that users have made as this user, not as the system's root.
trove  {server}  {admin}
"""

# Change id of the layer with values for the running server only.
_RUNNING = "running"
_WRONG = "the server does not take this value"
# It starts, recovers or stops.
_CANNOT_CONNECT_NOW = "57P03"
_TOO_MANY = "53300"


@dataclass(frozen=True)
class Layout(server.Layout):
    """The files of the base; overrides: directory that the configuration includes."""

    # Not Debian's directory, which the server's user may write.
    config_file: Path = Path("/etc/postgresql-trove/postgresql.conf")
    run_dir: Path = Path("/run/postgresql")
    template: Path = server.TEMPLATE
    log_file: Path = Path("/var/log/postgresql/postgresql.log")
    user: str = "postgres"
    overrides: Path = Path("/etc/postgresql-trove/conf.d")

    @property
    def access_file(self):
        """Who may log in, and how."""
        return self.config_file.with_name("pg_hba.conf")

    @property
    def identity_file(self):
        """Which user of the system may log in as which role."""
        return self.config_file.with_name("pg_ident.conf")

    @property
    def certificate_file(self):
        """Key and certificate of the server and the CA's certificate, in one file."""
        return self.config_file.with_name("trove-server.pem")

    @property
    def pid_file(self):
        """Written by the server; left behind when it does not end cleanly."""
        return self.data / "postmaster.pid"


class PostgreSqlStatus(BaseDbStatus):
    """Looks at the server through its socket, its process and its pid file."""

    def __init__(self, app):
        super().__init__()
        self.app = app
        self._full = False

    def get_actual_db_status(self):
        """RUNNING when it answers; BLOCKED while it starts, recovers or stops; else CRASHED or SHUTDOWN."""
        try:
            try:
                with self.app.look() as session:
                    session.execute("SELECT 1")
            except sql.InterfaceError:
                self.app.forget_look()
                with self.app.look() as session:  # the heartbeat's connection ended with its server
                    session.execute("SELECT 1")
        except sql.DatabaseError as error:
            # It answers: it is full, or denies the agent's account, which is told in another way.
            self._note_whether_full(sql.code_of(error) == _TOO_MANY)
            return ServiceStatuses.BLOCKED if sql.code_of(error) == _CANNOT_CONNECT_NOW else ServiceStatuses.RUNNING
        except (sql.Error, OSError):
            if self.app.service.is_running():
                return ServiceStatuses.BLOCKED
            return ServiceStatuses.CRASHED if self.app.layout.pid_file.exists() else ServiceStatuses.SHUTDOWN
        self._note_whether_full(False)
        return ServiceStatuses.RUNNING

    def _note_whether_full(self, is_full):
        if is_full != self._full:
            self._full = is_full
            LOG.warning("%s: %s", CONF.guest_id, "no connection is left in the database server, not even for the agent"
                        if is_full else "the database server has connections again")


class PostgreSqlApp(server.Server):
    """The one server of this guest. Every method may be repeated."""

    layout_class = Layout
    identity = ("postmaster.pid", "postmaster.opts", AUTO_CONF)

    def __init__(self, layout):
        super().__init__(layout, PostgreSqlStatus(self), configuration.IncludedLayers(
            layout.config_file, layout.overrides, Pairs(), extension="conf"))
        self.access = access.Access(self)
        self._service = None
        self._looks = threading.local()

    # Programs and the process

    @functools.cached_property
    def programs(self):
        """The directory of the newest version's programs. Raises TroveError."""
        found = [path for path in PROGRAMS.glob("*/bin") if (path / "postgres").exists()]
        if not found:
            raise exception.TroveError(f"There is no PostgreSQL below {PROGRAMS} in this guest.")
        return max(found, key=lambda path: int(path.parent.name))

    @functools.cached_property
    def version(self):
        """The major version of the server, as a number."""
        return int(self.programs.parent.name)

    @property
    def command(self):
        """The server's command line."""
        return [str(self.programs / "postgres"), "-D", str(self.layout.data),
                "-c", f"config_file={self.layout.config_file}"]

    @property
    def service(self):
        """Who starts and stops the process."""
        if self._service is None:
            # The server's own process writes its log once it has read where; this takes what comes before.
            self._service = host_service.get_service(
                UNIT, self.command, self.layout.log_file.with_name("start.log"), user=self.layout.user,
                stop_signal=signal.SIGINT)
        return self._service

    def as_server(self, *argv):
        """Return the argument list that runs a program as the server's user."""
        user = self.layout.user
        return ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--init-groups", "--",
                *(str(argument) for argument in argv)]

    def run_as_server(self, *argv, **kwargs):
        """Run a program as the server's user. kwargs: of ``operating_system.run``. Raises ProcessError."""
        return operating_system.run(self.as_server(*argv), **kwargs)

    def client(self, program, *arguments):
        """Return the argument list of a client program that connects as the agent's account over the socket."""
        return [str(self.programs / program), f"--host={self.layout.run_dir}", f"--port={self.port}",
                f"--username={ADMIN_USER}", "--no-password", *arguments]

    # Sessions

    @property
    def port(self):
        """The TCP port, which is also a part of the socket's name."""
        return CONF.postgresql.postgresql_port

    @property
    def socket(self):
        """Where local clients connect."""
        return self.layout.run_dir / f".s.PGSQL.{self.port}"

    def connect(self, database=MAINTENANCE, user=ADMIN_USER, timeout=None):
        """Return a new Session (``sql``) as a superuser. Raises sql.Error.

        timeout: seconds for one statement, agent_call_high_timeout if None.
        """
        return sql.Session(sql.connect(user, self.socket, database, timeout or CONF.agent_call_high_timeout,
                                       self.version))

    @contextlib.contextmanager
    def session(self, **kwargs):
        """A Session for the time of the block. kwargs: of ``connect``."""
        session = self.connect(**kwargs)
        try:
            yield session
        finally:
            session.close()

    @contextlib.contextmanager
    def look(self):
        """A Session for a few short statements that change nothing. Raises sql.Error.

        Within ``looking`` it is that thread's one session, else one of its own.
        """
        if not getattr(self._looks, "shared", False):
            with self.session(timeout=LOOK) as session:
                yield session
            return
        if getattr(self._looks, "session", None) is None:
            self._looks.session = self.connect(timeout=LOOK)
        yield self._looks.session

    def forget_look(self):
        """Let the next look of this thread make a new connection."""
        session, self._looks.session = getattr(self._looks, "session", None), None
        if session is not None:
            session.close()

    @contextlib.contextmanager
    def looking(self):
        """Let all looks of this thread within the block share one connection."""
        self._looks.shared = True
        try:
            yield
        finally:
            self._looks.shared = False
            self.forget_look()

    # Volume, configuration, data

    def is_data(self, directory):
        """See the base."""
        return (directory / "PG_VERSION").is_file()

    def initialise(self, directory):
        """See the base."""
        operating_system.make_directory(directory, self.layout.user, 0o700)
        self.run_as_server(
            self.programs / "initdb", "-D", directory, "-U", ADMIN_USER, "--auth=reject", "--encoding=UTF8",
            "--locale=C.UTF-8", "--data-checksums", "--no-sync", timeout=CONF.state_change_wait_time)

    def prepare_data(self, fill=None):
        """See the base."""
        operating_system.make_directory(self.layout.log_file.parent, self.layout.user)
        super().prepare_data(fill)
        # Root of users may run programs as the server's user: they must not put links where the agent writes.
        os.chown(self.layout.mount_point, os.geteuid(), -1)

    def become_another(self, directory):
        """Give a copy of the image's data an identifier of its own: a server rejects the log and replicas of others."""
        operating_system.change_owner(directory, self.layout.user)
        identity.renew(directory)
        self.run_as_server(self.programs / "pg_resetwal", "-f", "-D", directory)

    def write_own_configuration(self):
        """Write who may log in, and the settings that the agent relies on."""
        names = {"admin": ADMIN_USER, "root": ROOT, "replicas": REPLICAS, "server": self.layout.user,
                 "agent": pwd.getpwuid(os.geteuid()).pw_name}
        operating_system.write_file(self.layout.access_file, ACCESS.format(**names))
        operating_system.write_file(self.layout.identity_file, IDENTITIES.format(**names))
        own = {"hba_file": self.layout.access_file, "ident_file": self.layout.identity_file, "port": self.port,
               "password_encryption": "scram-sha-256", "log_destination": "stderr", "logging_collector": "on",
               "log_directory": self.layout.log_file.parent, "log_filename": self.layout.log_file.name,
               "log_rotation_age": 0, "log_rotation_size": 0, "log_file_mode": "0640",
               "restart_after_crash": "on"}
        if self.version >= 17:
            own["allow_alter_system"] = "off"
        self.configuration.apply_override(own, configuration.SYSTEM_GROUP, "server")

    def write_certificate(self, text):
        """Let the server use a key and a certificate (PEM text, with the CA's) from its next start on."""
        path = self.layout.certificate_file
        operating_system.write_file(path, text, mode=0o600, owner=self.layout.user)
        self.configuration.apply_override({"ssl": "on", "ssl_cert_file": path, "ssl_key_file": path},
                                          configuration.SYSTEM_GROUP, "tls")

    def install_certificate(self, text):
        """Let the server use a key and a certificate (PEM text) from now on; new connections get it.

        Raises sql.Error.
        """
        self.write_certificate(text)
        self.reload()

    def secure(self, keep_root=False):
        """Let nobody in but the agent. keep_root: leave root's access, for data that came from a backup.

        initdb makes no account but the agent's, which has no password. A standby has the accounts of its source.
        """
        if self.is_standby():
            return
        self.access.make()
        with self.session() as session:
            if not keep_root and session.execute("SELECT 1 FROM pg_roles WHERE rolname = $1", [ROOT]):
                session.execute("ALTER ROLE {} NOSUPERUSER NOLOGIN PASSWORD NULL", names=[ROOT])

    # Starting and stopping

    def remove_auto_conf(self):
        """Empty the file of ALTER SYSTEM, which would win over the agent's files. Returns whether something was in it.

        The data directory belongs to the server's user, so no symbolic link in it is followed.
        """
        try:
            directory = os.open(self.layout.data, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            return self._empty_auto_conf(directory)
        finally:
            os.close(directory)

    def _empty_auto_conf(self, directory):
        found = None
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(AUTO_CONF, dir_fd=directory, follow_symlinks=False)
        if found and stat.S_ISREG(found.st_mode) and not found.st_size:
            return False
        if found and stat.S_ISDIR(found.st_mode):
            shutil.rmtree(AUTO_CONF, dir_fd=directory)
        elif found:
            os.unlink(AUTO_CONF, dir_fd=directory)
        # Each process of the server would complain of a missing one.
        descriptor = os.open(AUTO_CONF, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
        try:
            account = pwd.getpwnam(self.layout.user)
            os.fchown(descriptor, account.pw_uid, account.pw_gid)
        finally:
            os.close(descriptor)
        return found is not None

    def start(self):
        """See the base. With a value that it does not take the server would not start: an instance that is built fails
        with it, one that is in use goes on without it.
        """
        self.remove_auto_conf()
        self.configuration.remove_override(change_id=_RUNNING)
        wrong = self.leave_out_wrong()
        if wrong and not self.status.prepare_completed:
            raise exception.TroveError(f"The server does not take the values of {', '.join(sorted(wrong))} of the "
                                       "configuration group. Remove or change them.")
        standby.prepare_start(self)
        super().start()

    def leave_out_wrong(self):
        """Take those values out of the layers of users that the server does not take.

        Returns {name: reason}.
        """
        wrong = {}
        while found := self._find_wrong():
            before = len(wrong)
            for layer in (configuration.COMMON, _RUNNING):
                values = self.configuration.read_override(change_id=layer)
                bad = {name: _WRONG for name in values if name.lower() in found}
                if bad:
                    wrong.update(bad)
                    self.configuration.apply_override({name: values[name] for name in values if name not in bad},
                                                      change_id=layer)
            if len(wrong) == before:
                break  # it is in none of them: the start will tell
        if wrong:
            LOG.warning("%s: the server does not take the values of %s, which are left out", CONF.guest_id,
                        ", ".join(sorted(wrong)))
        return wrong

    def _find_wrong(self):
        """Return the names of settings that the server does not take; an unknown one hides the others."""
        program, *arguments = self.command
        try:
            # Reads all files as a start does, prints one value, and ends.
            self.run_as_server(program, *arguments, "-C", "data_directory")
        except operating_system.ProcessError as error:
            LOG.debug("%s: %s", CONF.guest_id, error)
            said = str(error.kwargs.get("stderr"))
            return {name.lower() for name in re.findall(r'parameter "([^"]+)"', said)}
        return set()

    def update_overrides(self, overrides, remove=False):
        """See the base. Values that the server does not take are left out, and ``apply_overrides`` reports them."""
        self.configuration.remove_override(change_id=_RUNNING)
        super().update_overrides(overrides, remove)
        self.leave_out_wrong()

    def start_at_boot(self):
        """See the base."""
        started = super().start_at_boot()
        if started:
            self.access.keep(contextlib.nullcontext)
        return started

    def restart(self):
        """See the base. A damaged account of the agent is made again by the way."""
        if self.access.needs_restart():
            self.access.make_with_restart()
            return
        super().restart()

    def is_standby(self):
        """Return whether the server is to follow another one, whose accounts it has then."""
        return standby.is_marked(self)

    def carry_out_alone(self, *statements):
        """Run statements, each on one line, in the stopped server, where nobody's rights are asked for.

        An error of one does not keep the next from being run. Raises ProcessError.
        """
        self.remove_auto_conf()
        operating_system.make_directory(self.layout.run_dir, self.layout.user, 0o755)
        server_program, *arguments = self.command
        said = self.run_as_server(server_program, "--single", *arguments, "template1",
                                  stdin="".join(f"{statement}\n" for statement in statements),
                                  timeout=CONF.state_change_wait_time)
        LOG.debug("%s: the server alone said: %s", CONF.guest_id, said)

    def explain(self, error):
        """See the base."""
        return errors.explain(error, self)

    def look_after(self, idle, may_write):
        """Keep the agent's account, and the agent's settings against those of ALTER SYSTEM."""
        self.access.keep(idle, may_write)
        if self.remove_auto_conf():
            LOG.warning("%s: settings made by ALTER SYSTEM were removed; configuration groups change settings",
                        CONF.guest_id)
            try:
                self.reload()
            except (sql.Error, OSError, exception.TroveError) as error:
                LOG.warning("%s: the server did not read its settings again: %s", CONF.guest_id, error)

    def facts(self):
        """For the heartbeat: {"access": whether the agent has its account, "repairs": how often it was repaired}."""
        facts = {"repairs": self.access.repairs}
        if self.access.whole is not None:
            facts["access"] = self.access.whole
        return facts

    def reload(self):
        """Let the running server read its files again, and wait until it has. Raises sql.Error or PollTimeOut."""
        self.remove_auto_conf()
        with self.session(timeout=LOOK) as session:
            before = session.execute("SELECT pg_conf_load_time()")[0][0]
            session.execute("SELECT pg_reload_conf()")

        def loaded():
            with self.session(timeout=LOOK) as session:
                return session.execute("SELECT pg_conf_load_time() > $1", (before,))[0][0]

        wait_until(loaded, "The reading of the server's configuration", option="agent_call_low_timeout", pause=0.02)

    def apply_overrides(self, overrides):
        """Set values in the running server, by a layer that lasts until its next start, and with it those of its files.

        Returns {name: reason} of those that it did not take. Raises sql.Error when it does not answer.
        """
        self.configuration.apply_override({name: value for name, value in overrides.items() if value is not None},
                                          change_id=_RUNNING)
        wrong = self.leave_out_wrong()
        self.reload()
        with self.session() as session:
            known = dict(session.execute("SELECT name, pending_restart FROM pg_settings"))
        refused = {}
        for name in overrides:
            if name in wrong:
                refused[name] = wrong[name]
            elif name.lower() not in known and "." not in name:
                refused[name] = "the server does not know this parameter"
            elif known.get(name.lower()):
                refused[name] = "the server takes it only when it starts"
        return refused
