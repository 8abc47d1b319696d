"""Replication of PostgreSQL: standbys that get the write-ahead log of their source as a stream.

Roles, with the accounts of replicas among them, are part of what is replicated. A standby, which cannot make any, notes
the accounts of its future replicas and makes them when it is promoted. Each replica has a slot with the name of its
account at its source, which keeps the log that it has not got yet, up to the limit that ``standby`` sets.
"""
import contextlib
import json
import re

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent import volume
from trove.guestagent.common import operating_system
from trove.guestagent.common.configuration import SYSTEM_GROUP
from trove.guestagent.common.waiting import wait_until
from trove.guestagent.datastore.experimental.postgresql import history, sql, standby, wal
from trove.guestagent.datastore.experimental.postgresql.service import REPLICAS, REPLICATION_USERS
from trove.guestagent.strategies.replication.base import Replication

LOG = logging.getLogger(__name__)

# Change ids of the layers over the configuration.
_ROLE, _SOURCE = "replication", "source"
# The server's word for a role that objects depend on.
_DEPENDENT = "2BP01"
# Names of accounts are names of slots too.
_NAME = re.compile(REPLICATION_USERS + r"[a-z0-9_]{1,40}")
# What the server writes into its log when it cannot follow its source.
_REASONS = re.compile(
    r"(?:FATAL|ERROR|LOG):  ((?:could not connect to the primary server|could not start WAL streaming"
    r"|could not receive data from WAL stream|could not receive timeline history|could not identify system"
    r"|database system identifier differs|highest timeline \d+ of the primary|new timeline \d+ forked off"
    r"|terminating walreceiver).*)")
_LOG_TAIL = 64 * 1024
_LONGEST_REASON = 300


def _checked(name):
    if not _NAME.fullmatch(name):
        raise exception.BadValue(field="user", reason=f"must match {_NAME.pattern}.")
    return name


def _pass_quoted(text):
    """A field of a password file."""
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _conninfo_quoted(text):
    """A value of a connection string."""
    return "'{}'".format(text.replace("\\", "\\\\").replace("'", "\\'"))


class PgStreamingReplication(Replication):
    """Streaming replication with physical slots; asynchronous."""

    # Roles

    def _write_role(self, config):
        values = self.app.configuration.file_format.parse(config)
        self.app.configuration.apply_override(values, SYSTEM_GROUP, _ROLE)
        return values

    def _take_role(self, config):
        values = self._write_role(config)
        self.app.reload()
        with self.app.session() as session:
            waiting = {name for (name,) in session.execute("SELECT name FROM pg_settings WHERE pending_restart")}
        if waiting & values.keys():
            LOG.info("%s: the server is restarted for its role", CONF.guest_id)
            self.app.restart()

    def configure(self, config):
        """See the base."""
        self._write_role(config)
        standby.want(True)

    def hold_still(self, still):
        """See the base. Data that are restored never begin as a standby unless they are to."""
        if still:
            standby.want(False)

    def enable_as_master(self, config, accounts):
        """See the base."""
        self._take_role(config)
        self._set_accounts({_checked(account["user"]): account["password"] for account in accounts})

    def get_replication_snapshot(self, snapshot_info, config):
        """See the base. The slots keep from now on what the replicas will need."""
        self.enable_as_master(config, snapshot_info["accounts"])
        return {"dataset": {"datastore_manager": CONF.datastore_manager,
                            "dataset_size": volume.used_gb(self.app.layout.mount_point)},
                "replication_strategy": type(self).__name__}

    def demote_replication_master(self):
        """See the base."""
        standby.close(self.app)
        self._set_accounts({})
        with self.app.session() as session:
            history.forget(self.app, session)

    # Accounts

    @property
    def _pending(self):
        return operating_system.state_dir() / "postgresql.accounts"

    def _set_accounts(self, accounts):
        """Have exactly these accounts ({name: password}) and their slots."""
        with self.app.session() as session:
            present = session.execute("SELECT slot_name FROM pg_replication_slots WHERE starts_with(slot_name, $1)",
                                      (REPLICATION_USERS,))
            for (slot,) in present:
                if slot not in accounts:
                    wal.drop_slot(session, slot)
            for name in accounts:
                wal.make_slot(session, name)
            if wal.in_recovery(session):
                operating_system.write_file(self._pending, json.dumps(accounts), mode=0o600)
            else:
                self._make_roles(session, accounts)

    def _make_roles(self, session, accounts):
        present = {name for (name,) in session.execute(
            "SELECT rolname FROM pg_roles WHERE starts_with(rolname, $1)", (REPLICATION_USERS,))}
        for name in present - accounts.keys() - {REPLICAS}:
            self._drop_role(session, name)
        if REPLICAS not in present and accounts:
            session.execute("CREATE ROLE {} NOLOGIN", names=[REPLICAS])
        for name, password in accounts.items():
            if name not in present:
                session.execute("CREATE ROLE {}", names=[name])
            session.execute("GRANT {} TO {}", names=[REPLICAS, name])
            session.execute("ALTER ROLE {} LOGIN REPLICATION PASSWORD {}", names=[name], texts=[sql.verifier(password)])
        self._pending.unlink(missing_ok=True)

    @staticmethod
    def _drop_role(session, name):
        if not _NAME.fullmatch(name):  # a user's own
            return
        session.execute("ALTER ROLE {} NOLOGIN NOREPLICATION", names=[name])
        session.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1", (name,))
        try:
            session.execute("DROP ROLE {}", names=[name])
        except sql.DatabaseError as error:
            if sql.code_of(error) != _DEPENDENT:
                raise
            LOG.warning("%s: the account %s stays, without a way in: somebody has granted it something: %s",
                        CONF.guest_id, name, sql.text_of(error))

    def cleanup_source_on_replica_detach(self, replica_info):
        """See the base."""
        name = _checked(replica_info["user"])
        with self.app.session() as session:
            if not wal.in_recovery(session) and session.execute("SELECT 1 FROM pg_roles WHERE rolname = $1", (name,)):
                self._drop_role(session, name)
            wal.drop_slot(session, name)
        accounts = json.loads(operating_system.read_file(self._pending) or "{}")
        if accounts.pop(name, None):
            operating_system.write_file(self._pending, json.dumps(accounts), mode=0o600)

    # Reading and writing

    def make_read_only(self, read_only):
        """See the base. A server that takes no writes is a standby: not even a superuser writes there."""
        if read_only:
            standby.close(self.app)
            return
        standby.open_(self.app)
        pending = operating_system.read_file(self._pending)
        if pending is not None:
            self._set_accounts(json.loads(pending))

    def list_events(self):
        """See the base. PostgreSQL has no events."""
        return []

    def switch_events(self, events, on):
        """See the base."""
        LOG.debug("%s: PostgreSQL has no events", CONF.guest_id)

    # Following

    @property
    def _password_file(self):
        return self.app.layout.mount_point / ".replica.pgpass"

    def attach_replica(self, info, config):
        """See the base."""
        master = info["master"]
        standby.close(self.app)
        self._take_role(config)
        operating_system.write_file(
            self._password_file, f"*:*:*:{_pass_quoted(master['user'])}:{_pass_quoted(master['password'])}\n",
            mode=0o600, owner=self.app.layout.user)
        source = {"host": master["host"], "port": master["port"], "user": master["user"],
                  "passfile": self._password_file, "application_name": _checked(master["user"]),
                  "connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3}
        self.app.configuration.apply_override(
            {"primary_conninfo": " ".join(f"{name}={_conninfo_quoted(str(value))}" for name, value in source.items()),
             "primary_slot_name": master["user"]}, SYSTEM_GROUP, _SOURCE)
        self.app.reload()
        standby.want(False)
        if info.get("must_connect", True):
            self._wait_connected()
        LOG.info("%s: follows %s", CONF.guest_id, master["host"])

    def _wait_connected(self):
        # Half of it: the caller waits that long for the whole command.
        with contextlib.suppress(exception.PollTimeOut):  # the server's own reason says more
            wait_until(lambda: self.health()["running"], "The replica's connection to its source",
                       option="agent_call_high_timeout", seconds=CONF.agent_call_high_timeout / 2, pause=0.1)
        health = self.health()
        if not health["running"]:
            raise exception.TroveError(
                f"The replica does not follow its source: {health['error'] or 'it is not connected'}.")

    def detach_replica(self, for_failover=False):
        """See the base."""
        with self.app.session() as session:
            is_standby = wal.in_recovery(session)
            if is_standby:
                standby.check_goes_on(session)
        self.app.configuration.apply_override({}, SYSTEM_GROUP, _SOURCE)
        self._password_file.unlink(missing_ok=True)
        self.app.reload()
        if is_standby:
            with self.app.session() as session:
                wait_until(lambda: not session.execute("SELECT 1 FROM pg_stat_wal_receiver"),
                           "The end of the replica's connection to its source", longest=0.5)
            if for_failover:
                return
            standby.open_(self.app)
        self._set_accounts({})
        LOG.info("%s: follows nobody any more", CONF.guest_id)

    # How it does

    def health(self):
        """See the base."""
        with self.app.look() as session:
            rows = session.execute(
                "SELECT pg_is_in_recovery() AND current_setting('primary_conninfo') <> '', "
                "CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() END, "
                "(SELECT status FROM pg_stat_wal_receiver), "
                "pg_last_wal_replay_lsn() >= (SELECT latest_end_lsn FROM pg_stat_wal_receiver), "
                "extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::bigint")
        [(follows, paused, status, is_near, age)] = rows
        if not follows:
            return None
        if paused != "not paused":
            return {"running": False, "lag": None, "error": standby.PAUSED}
        if status != "streaming":
            return {"running": False, "lag": None, "error": self._reason()}
        return {"running": True, "lag": 0 if is_near else max(0, age) if age is not None else None, "error": None}

    def _reason(self):
        """The last thing that the server's log says about its source, None if it says nothing."""
        try:
            with operating_system.open_plain(self.app.layout.log_file) as file:
                file.seek(max(0, file.seek(0, 2) - _LOG_TAIL))
                text = file.read().decode(errors="replace")
        except OSError as error:
            LOG.debug("%s: the server's log cannot be read: %s", CONF.guest_id, error)
            return None
        found = _REASONS.findall(text)
        return found[-1][:_LONGEST_REASON].strip() if found else None

    def get_replica_context(self):
        """See the base."""
        nothing = {"running": False, "lag": None, "error": "it follows nobody"}
        return {**(self.health() or nothing), "log_position": None}

    def get_latest_txn_id(self):
        """See the base."""
        with self.app.session() as session:
            return wal.format_lsn(wal.position(session)[1])

    def get_last_txn(self):
        """See the base."""
        with self.app.session() as session:
            [(system, lsn)] = session.execute(
                "SELECT (SELECT system_identifier FROM pg_control_system()), CASE WHEN pg_is_in_recovery() "
                "THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text "
                "ELSE pg_current_wal_flush_lsn()::text END")
        return {"source": str(system), "count": wal.parse_lsn(lsn), "txn": lsn}

    def wait_for_txn(self, txn, seconds):
        """See the base."""
        wanted = wal.parse_lsn(txn)
        with self.app.session() as session:
            try:
                wait_until(lambda: wal.position(session)[1] >= wanted, "The replay of a transaction", seconds=seconds)
            except exception.PollTimeOut:
                if wal.in_recovery(session) and standby.is_paused(session):
                    raise exception.TroveError(f"The replica does not go on: {standby.PAUSED}.") from None
                return False
        return True
