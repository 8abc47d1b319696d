"""The agent's way into its server: accounts that the tenant's root can drop, lock, rename or overwrite with a dump.

They are looked at with every heartbeat and made again: by the agent's account itself if it has one left that may, by
the local root or the server's own user, whom the system vouches for, and only where none of them gets in by a restart
of the server with a file of statements. No statement of these reaches replicas.

The accounts of replicas are kept in the same way. Their passwords are kept for that in a file of the agent's.
"""
import json

import pymysql
from oslo_log import log as logging

from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.datastore import access
from trove.guestagent.datastore.mysql_common import dialect, sql

LOG = logging.getLogger(__name__)

# The server rejects the account or what it wants to do: unknown, another password, locked, expired, at its limit, of a
# plug-in that is not there, without the privilege.
DENIED = (1044, 1045, 1130, 1142, 1143, 1226, 1227, 1251, 1524, 1698, 1820, 1862, 2059, 3118, 4150, 4151)
# The server went away, or did not answer in time.
GONE = (2002, 2003, 2006, 2013)
# Seconds for one statement of a look at the server.
LOOK = 10


class Access(access.Keeper):
    """Keeps the accounts of one server. app: MySqlApp."""

    errors = (pymysql.err.MySQLError,)

    # Memory

    @property
    def _file(self):
        return operating_system.state_dir() / "accounts.json"

    def _remembered(self):
        """{"prints": {"name@host": fingerprint}, "replicas": {name: password}} of the accounts as they should be."""
        text = operating_system.read_file(self._file)
        return json.loads(text) if text else {"prints": {}, "replicas": {}}

    def _remember(self, session, names):
        memory = self._remembered()
        for name, host in names:
            memory["prints"][f"{name}@{host}"] = session.fingerprint(name, host)
        self._write(memory)

    def _write(self, memory):
        operating_system.write_file(self._file, json.dumps(memory), mode=0o600)

    # The agent's own account

    def _names(self):
        return [(self.app.admin_user, host) for host in sql.ADMINISTRATOR_HOSTS]

    def is_whole(self):
        """Whether the agent's accounts are as it made them; None when the server does not answer."""
        try:
            with self.app.look() as session:
                prints = self._remembered()["prints"]
                for name, host in self._names():
                    known = prints.get(f"{name}@{host}")
                    if known is None or session.fingerprint(name, host) != known:
                        self.reason = f"{name}@{host} is missing or was changed" if known else None
                        return False
        except pymysql.err.MySQLError as error:
            if error.args[0] not in DENIED:
                return None
            self.reason = str(error.args[-1])
            return False
        return True

    def make_without_restart(self):
        """The same without a restart. Returns how it was done, or None when nobody may.

        Raises pymysql.err.MySQLError when the server does not answer.
        """
        # Root before the agent's own account, which may have lost its rights and cannot know what it lacks.
        ways = [("as the local root", lambda: self._make_as("root")),
                ("by itself", lambda: self._make_as(self.app.admin_user))]
        if self.app.engine.dialect == dialect.MARIADB:
            ways.append(("as the server's own user", self._make_as_server))
        for how, work in ways:
            if self._works(work):
                return how
        return None

    def make_with_restart(self):
        """The same by a restart of the server with a file of statements. Raises TroveError, pymysql.err.MySQLError."""
        self.app.restart_with_administrator()
        self._note_made()

    def _works(self, work):
        try:
            work()
            self._note_made()
        except pymysql.err.MySQLError as error:
            if error.args[0] in GONE:
                raise
            LOG.debug("%s: the agent's account cannot be made in this way: %s", CONF.guest_id, error)
            return False
        except operating_system.ProcessError as error:
            LOG.debug("%s: the agent's account cannot be made in this way: %s", CONF.guest_id, error)
            return False
        return True

    def _note_made(self):
        with self.app.session(timeout=LOOK) as session:
            self._remember(session, self._names())

    def _make_as(self, user):
        with self.app.account_session(user=user, timeout=LOOK) as session:
            session.make_administrator(self.app.admin_user, self.app.admin_password())

    def _make_as_server(self):
        """MariaDB lets in the system's user that it runs as, under the same name and without a password."""
        user = self.app.layout.user
        operating_system.run(
            ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--", self.app.client_program(),
             "--no-defaults", f"--socket={self.app.layout.socket}", f"--user={user}", "--batch"],
            stdin=sql.making_of_administrator(dialect.MARIADB, self.app.admin_user, self.app.admin_password()),
            timeout=LOOK)

    # Replicas' accounts

    def make_replica_accounts(self, session, accounts):
        """Let exactly these accounts ({name: password}) follow this server, and keep them."""
        memory = self._remembered()
        for name in session.replica_accounts():
            if name not in accounts:
                session.execute("DROP USER IF EXISTS %s@'%%'", (name,))
                memory["prints"].pop(f"{name}@%", None)
        memory["replicas"] = accounts
        self._write(memory)
        for name, password in sorted(accounts.items()):
            session.make_replica_account(name, password)
        self._remember(session, [(name, "%") for name in accounts])

    def remove_replica_account(self, session, name):
        """Let one follow no more."""
        if name in session.replica_accounts():
            session.execute("DROP USER IF EXISTS %s@'%%'", (name,))
        memory = self._remembered()
        memory["replicas"].pop(name, None)
        memory["prints"].pop(f"{name}@%", None)
        self._write(memory)

    def keep_others(self):
        """Keep the accounts of replicas."""
        memory = self._remembered()
        if not memory["replicas"]:
            return
        with self.app.look() as session:
            damaged = [name for name in memory["replicas"]
                       if session.fingerprint(name, "%") != memory["prints"].get(f"{name}@%")]
        if not damaged:
            return
        with self.app.account_session(timeout=LOOK) as session:
            session.execute("FLUSH LOCAL PRIVILEGES")
            for name in damaged:
                session.make_replica_account(name, memory["replicas"][name])
            self._remember(session, [(name, "%") for name in damaged])
        self.repairs += len(damaged)
        LOG.warning("%s: made accounts of replicas again that were missing or changed: %s", CONF.guest_id,
                    ", ".join(sorted(damaged)))
