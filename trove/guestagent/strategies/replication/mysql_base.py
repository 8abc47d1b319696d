"""Replication of the MySQL family: roles, accounts, read-only servers. A strategy decides how positions are given.

What is done here for one server alone - accounts, passwords - is kept out of its binary log: replicas must not get it,
nor may it look like a change that the source does not have.
"""
import abc
import contextlib
import functools
from dataclasses import dataclass

import pymysql
from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.conf.mysql_family import OPTION_FILE
from trove.guestagent import volume
from trove.guestagent.common import operating_system
from trove.guestagent.common.configuration import DEFAULT_GROUP, SYSTEM_GROUP
from trove.guestagent.common.waiting import wait_until
from trove.guestagent.datastore.mysql_common import dialect, errors
from trove.guestagent.datastore.mysql_common.service import POSITION_FILENAME
from trove.guestagent.strategies.replication.base import Replication

LOG = logging.getLogger(__name__)

# Change ids of the layers over the configuration.
_ROLE, _READ_ONLY, _STILL = "replication", "readonly", "still"
# The settings of a role that a configuration group may change.
_OF_USERS = ("sync_binlog", "binlog_expire_logs_seconds", "max_binlog_size")
_LOCK_WAIT_TIMEOUT, _NO_SUCH_THREAD, _ACCESS_DENIED = 1205, 1094, 1045
# Seconds that writers have to finish before they are cut off, when the server becomes read-only.
_PATIENCE = 5


@dataclass(frozen=True)
class Words:
    """The words of a server program for the same things.

    ready: query that tells whether it keeps a log that replicas and their replicas can follow; read_only: the variable
    that stops everybody's writes but the agent's; replica, source: how the statements call them.
    """

    ready: str
    read_only: str
    replica: str
    source: str
    change: str


MARIADB = Words("SELECT @@log_bin AND @@log_slave_updates", "read_only", "SLAVE", "MASTER", "CHANGE MASTER TO")
MYSQL = Words("SELECT @@log_bin AND @@log_replica_updates AND @@gtid_mode = 'ON'", "super_read_only", "REPLICA",
              "SOURCE", "CHANGE REPLICATION SOURCE TO")


@dataclass(frozen=True)
class Word:
    """A value of an option that SQL does not have in quotes."""

    word: str


def is_connected(status):
    """Whether a replica, by its status, follows its source now."""
    return status.get("Slave_IO_Running") == "Yes" and status.get("Slave_SQL_Running") == "Yes"


def health_of(status):
    """The health of a replica with this status (dict), None for an empty one: it is none."""
    if not status:
        return None
    error = errors.stopped_by(status.get("Last_SQL_Errno"), status.get("Last_SQL_Error")) or errors.stopped_by(
        status.get("Last_IO_Errno"), status.get("Last_IO_Error"))
    return {"running": is_connected(status), "lag": status.get("Seconds_Behind_Master"), "error": error}


def source_of(status):
    """Return the id of the server that a replica's transactions come from, as a text.

    status: row of SHOW REPLICA STATUS. Empty if the replica has not reached its source since it was started.
    """
    return str(status.get("Master_UUID") or status.get("Master_Server_Id") or "")


class MysqlReplicationBase(Replication):
    """The common part of the strategies."""

    @functools.cached_property
    def words(self):
        """The Words of the server, which must be running. Raises TroveError for a MySQL that is too old."""
        with self.app.session() as session:
            server = session.dialect
        if not server.can_replicate:
            raise exception.TroveError("There is no replication with this server: MySQL 8.0.26 or later is needed.")
        return MARIADB if server.engine == dialect.MARIADB else MYSQL

    # Implemented by each strategy

    @abc.abstractmethod
    def follow(self, session, info, position):
        """The options of the CHANGE statement that say where to begin: {name without prefix: value or Word}.

        info: of ``attach_replica``; position: what the snapshot was taken at (text of the backup's own file), None for
        a server whose data has come here otherwise. May set variables of the server before.
        """

    # Roles

    def configure(self, config):
        """See the base."""
        self._write_role(config)
        self.app.configuration.apply_override({"read_only": 1}, SYSTEM_GROUP, _READ_ONLY)

    def hold_still(self, still):
        """See the base."""
        options = {"loose_skip_slave_start": 1, "loose_skip_replica_start": 1}
        self.app.configuration.apply_override(options if still else {}, SYSTEM_GROUP, _STILL)

    def _write_role(self, config):
        values = OPTION_FILE.parse(config)
        # Base files of earlier releases do not say these. With a log of changes users could not make triggers and
        # functions any more without the first.
        defaults = {"loose_log_bin_trust_function_creators": 1,
                    **{name: values.pop(name) for name in _OF_USERS if name in values}}
        self.app.configuration.apply_override(values, SYSTEM_GROUP, _ROLE)
        self.app.configuration.apply_override(defaults, DEFAULT_GROUP, _ROLE)

    def _take_role(self, config):
        self._write_role(config)
        with self.app.session() as session:
            [(ready,)] = session.execute(self.words.ready)
        if not ready:
            LOG.info("%s: the server is restarted, as it keeps no log of changes yet", CONF.guest_id)
            self.app.restart()

    def enable_as_master(self, config, accounts):
        """See the base."""
        self._take_role(config)
        self._set_accounts(accounts)

    def get_replication_snapshot(self, snapshot_info, config):
        """See the base."""
        self.enable_as_master(config, snapshot_info["accounts"])
        return {"dataset": {"datastore_manager": CONF.datastore_manager,
                            "dataset_size": volume.used_gb(self.app.layout.mount_point)},
                "replication_strategy": type(self).__name__}

    def demote_replication_master(self):
        """See the base."""
        self._set_accounts([])
        self.make_read_only(True)

    # Accounts

    def _set_accounts(self, accounts):
        with self.app.account_session() as session:
            self.app.access.make_replica_accounts(
                session, {account["user"]: account["password"] for account in accounts})

    def cleanup_source_on_replica_detach(self, replica_info):
        """See the base."""
        with self.app.account_session() as session:
            self.app.access.remove_replica_account(session, replica_info["user"])

    # Reading and writing

    def make_read_only(self, read_only):
        """See the base."""
        name = self.words.read_only
        self.app.configuration.apply_override({name: 1} if read_only else {}, SYSTEM_GROUP, _READ_ONLY)
        with self.app.session() as session:
            if not read_only:
                session.set_global("read_only", 0)
                return
            [(already,)] = session.execute(f"SELECT @@{name}")
            if already:
                return
            session.execute("SET SESSION lock_wait_timeout = %s", (_PATIENCE,))
            try:
                session.set_global(name, 1)
            except pymysql.err.OperationalError as error:
                if error.args[0] != _LOCK_WAIT_TIMEOUT:
                    raise
                self._end_transactions(session)
                session.set_global(name, 1)
        LOG.info("%s: the server is read-only", CONF.guest_id)

    @staticmethod
    def _end_transactions(session):
        """Close the connections with open transactions. Their transactions were never acknowledged."""
        for (thread,) in session.execute("SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX"):
            try:
                session.execute("KILL %s", (thread,))
            except pymysql.err.MySQLError as error:
                if error.args[0] != _NO_SUCH_THREAD:
                    raise

    # Events

    def list_events(self):
        """See the base."""
        with self.app.session() as session:
            rows = session.execute("SELECT EVENT_SCHEMA, EVENT_NAME, STATUS FROM information_schema.EVENTS "
                                   "ORDER BY EVENT_SCHEMA, EVENT_NAME")
        states = {"ENABLED": "enabled", "DISABLED": "disabled"}
        return [{"database": database, "name": name, "state": states.get(status, "replica")}
                for database, name, status in rows]

    def switch_events(self, events, on):
        """See the base."""
        wanted = {(event["database"], event["name"]) for event in events}
        with self.app.account_session() as session:
            state = "ENABLE" if on else session.dialect.event_off
            for database, name, definer, status in session.execute(
                    "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER, STATUS FROM information_schema.EVENTS"):
                changes = status not in ("ENABLED", "DISABLED") if on else status == "ENABLED"
                if changes and (database, name) in wanted:
                    user, _, host = definer.rpartition("@")
                    # Who changes an event becomes its definer, unless another one is named.
                    session.execute(f"ALTER DEFINER = %s@%s EVENT {{}}.{{}} {state}", (user, host),
                                    (database, name))

    # Following

    def attach_replica(self, info, config):
        """See the base."""
        self._take_role(config)
        self.make_read_only(True)
        master, words = info["master"], self.words
        position_file = self.app.layout.data / POSITION_FILENAME
        with self.app.session() as session:
            session.execute(f"STOP {words.replica}")
            options = {"HOST": master["host"], "PORT": master["port"], "USER": master["user"],
                       "PASSWORD": master["password"], "CONNECT_RETRY": 3, "RETRY_COUNT": 1000000,
                       "HEARTBEAT_PERIOD": 5,
                       **self.follow(session, info, operating_system.read_file(position_file))}
            if words is MARIADB:
                del options["RETRY_COUNT"]  # an option of its server, with as high a default
                # Else MariaDB 11.4 and later reject every source without TLS, and each server of an older version.
                options["SSL_VERIFY_SERVER_CERT"] = 0
            else:
                options["SSL"] = 0
                options["PUBLIC_KEY"] = 1
            self._change(session, options)
            session.execute(f"START {words.replica}")
        self._wait_connected(info.get("must_connect", True))
        position_file.unlink(missing_ok=True)
        LOG.info("%s: follows %s", CONF.guest_id, master["host"])

    def _change(self, session, options):
        words = self.words
        prefixed = [("GET_SOURCE_PUBLIC_KEY" if name == "PUBLIC_KEY" else f"{words.source}_{name}", value)
                    for name, value in options.items()]
        assignments = ", ".join(f"{name} = {value.word}" if isinstance(value, Word) else f"{name} = %s"
                                for name, value in prefixed)
        session.execute(f"{words.change} {assignments}",
                        [value for _, value in prefixed if not isinstance(value, Word)])

    def _wait_connected(self, must_connect):
        """Raises TroveError with what the server says, if it does not follow its source in time."""
        if not must_connect:
            return
        status = {}

        def decided():
            nonlocal status
            status = self._status()
            return is_connected(status) or status.get("Last_SQL_Error") or status.get("Last_IO_Errno") == _ACCESS_DENIED

        # Half of it: the caller waits that long for the whole command.
        with contextlib.suppress(exception.PollTimeOut):  # the server's own reason says more
            wait_until(decided, "The replica's connection to its source", option="agent_call_high_timeout",
                       seconds=CONF.agent_call_high_timeout / 2, pause=0.1)
        if not is_connected(status):
            error = health_of(status)["error"] if status else None
            raise exception.TroveError(f"The replica does not follow its source: {error or 'it is not connected'}.")

    def detach_replica(self, for_failover=False):
        """See the base."""
        with self.app.session() as session:
            if not session.dialect.can_replicate:
                return  # nor was it ever a replica
            session.execute(f"STOP {self.words.replica}")
            session.execute(f"RESET {self.words.replica} ALL")
        (self.app.layout.data / POSITION_FILENAME).unlink(missing_ok=True)
        if not for_failover:
            self.make_read_only(False)
            self._set_accounts([])
            LOG.info("%s: follows nobody any more", CONF.guest_id)

    def _status(self, look=None):
        """The status of the replication as a dict with the words of MariaDB, empty for a server that follows nobody.

        look: gives a Session (``MySqlApp.session`` by default).
        """
        with (look or self.app.session)() as session:
            rows = session.execute(f"SHOW {self.words.replica} STATUS")
            names = [column[0].replace("Source", "Master").replace("Replica", "Slave")
                     for column in session.cursor.description]
        return dict(zip(names, rows[0], strict=True)) if rows else {}

    def health(self):
        """See the base."""
        return health_of(self._status(self.app.look))

    def get_replica_context(self):
        """See the base."""
        nothing = {"running": False, "lag": None, "error": "it follows nobody"}
        return {**(self.health() or nothing), "log_position": self.log_position()}

    def log_position(self):
        """Where others would begin to follow this server, if the strategy needs that, else None."""
        return

    def _query(self, statement, values=()):
        """The one value that a query gives."""
        with self.app.session() as session:
            [(value,)] = session.execute(statement, values)
        return value
