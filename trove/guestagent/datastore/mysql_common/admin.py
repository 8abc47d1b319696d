"""Databases, users, grants and root of a server of the MySQL family.

Names and passwords may be anything the server can store; the API's stricter rules are not repeated here, but what is
reserved (``ignore_users``, ``ignore_dbs``) is neither shown nor touched.
"""
import contextlib
import re

import pymysql

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import paging
from trove.guestagent.datastore.admin import Admin, Root
from trove.guestagent.datastore.mysql_common import dialect, sql
from trove.guestagent.db import models

# Accounts that the servers make for themselves, all at localhost.
_SYSTEM_USERS = ("mysql", "mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema", "debian-sys-maint", "root")
ROOT = "root"
# A client holds a lock for longer than is waited for it, or changes the rows that a command has read.
_LOCKED = (1020, 1205, 1213)


class MySqlAdmin(Admin, Root):
    """See the bases. app: MySqlApp; manager: name of the datastore manager, whose options say what is reserved."""

    def __init__(self, app, manager):
        self._open_session, self._explain = app.session, app.explain
        self._names = models.of(manager)

    @contextlib.contextmanager
    def open_session(self):
        """A Session with the server. Raises GuestUnavailable for a lock: the same may be tried later."""
        try:
            with self._open_session() as session:
                yield session
        except pymysql.err.MySQLError as error:
            if error.args and error.args[0] in _LOCKED:  # the session that is in the way may end soon
                raise exception.GuestUnavailable(str(self._explain(error))) from error
            raise

    @contextlib.contextmanager
    def _changing(self):
        """A Session for a change. Raises GuestUnavailable for a lock, and while only the replication may write.

        MariaDB lets the agent's account write to a read-only server, which would then differ from its source.
        """
        with self.open_session() as session:
            if session.execute("SELECT @@GLOBAL.read_only")[0][0]:
                raise exception.GuestUnavailable(
                    "The database server is read-only: it is a replica, or is about to change its role.")
            yield session

    # Databases

    def create_database(self, databases):
        """Make databases (dicts); those that exist are left alone. Raises BadValue for a reserved name."""
        wanted = [self._database(values) for values in databases]
        with self._changing() as session:
            for database in wanted:
                # What is not said is the server's own, which a configuration group may have changed.
                said = [(words, value) for words, value in ((" CHARACTER SET %s", database.character_set),
                                                            (" COLLATE %s", database.collate)) if value]
                session.execute("CREATE DATABASE IF NOT EXISTS {}" + "".join(words for words, _ in said),
                                [value for _, value in said], [database.name])

    def delete_database(self, database):
        """Drop a database (dict) and what was granted on it; none is fine."""
        name = self._database(database).name
        with self._changing() as session:
            session.execute("DROP DATABASE IF EXISTS {}", names=[name])
            for user, host, pattern in session.execute("SELECT User, Host, Db FROM mysql.db"):
                if sql.from_pattern(pattern) == name:
                    self._revoke(session, user, host, pattern)

    def list_databases(self, limit=None, marker=None, include_marker=False):
        """A page of databases: (dicts in the order of names, marker of the next page or None)."""
        with self.open_session() as session:
            rows = session.execute("SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME "
                                   "FROM information_schema.SCHEMATA")
        rows = {row[0]: row for row in rows if not self._names.is_ignored_database(row[0])}
        names, following = paging.page(rows, limit, marker, include_marker)
        return [models.Database(*rows[name]).serialize() for name in names], following

    def _database(self, values):
        database = models.Database.deserialize(values)
        if self._names.is_ignored_database(database.name):
            raise exception.BadValue(field="database", reason=f"'{database.name}' is reserved.")
        return database

    # Users

    def create_user(self, users):
        """Make users (dicts) with passwords and grants; one that exists gets the password and the grants."""
        wanted = [self._user(values) for values in users]
        for user in wanted:
            if not user.password:
                raise exception.BadValue(field="password", reason=f"the user '{user.name}' needs one.")
        with self._changing() as session:
            for user in wanted:
                session.set_password(user.name, user.host, user.password)
                self._grant(session, user.name, user.host, [database.name for database in user.databases])

    def delete_user(self, user):
        """Drop a user (dict); none is fine."""
        user = self._user(user)
        with self._changing() as session:
            session.execute("DROP USER IF EXISTS %s@%s", (user.name, user.host))

    def get_user(self, username, hostname):
        """A user as a dict without its password, or None."""
        if self._is_hidden(username, hostname):
            return None
        with self.open_session() as session:
            if not session.user_exists(username, hostname):
                return None
            return self._serialized(session, [(username, hostname)])[0]

    def list_users(self, limit=None, marker=None, include_marker=False):
        """A page of users: (dicts in the order of name@host, marker of the next page or None)."""
        with self.open_session() as session:
            accounts = {f"{user}@{host}": (user, host)
                        for user, host in session.execute("SELECT User, Host FROM mysql.user")
                        if not self._is_hidden(user, host)}
            ids, following = paging.page(accounts, limit, marker, include_marker)
            return self._serialized(session, [accounts[user_id] for user_id in ids]), following

    def change_passwords(self, users):
        """Set passwords: list of {"name", "host", "password"}. NotFound for an unknown user, and nobody is changed."""
        wanted = [self._user({"_name": user.get("name"), "_host": user.get("host"), "_password": user.get("password")})
                  for user in users]
        with self._changing() as session:
            for user in wanted:
                self._require_user(session, user.name, user.host)
            for user in wanted:
                session.execute("ALTER USER %s@%s IDENTIFIED BY %s", (user.name, user.host, user.password))

    def update_attributes(self, username, hostname, user_attrs):
        """Change what user_attrs names of a user: name, host, password. NotFound for an unknown user."""
        self._refuse_hidden(username, hostname)
        new = self._user({"_name": user_attrs.get("name") or username, "_host": user_attrs.get("host") or hostname,
                          "_password": user_attrs.get("password")})
        with self._changing() as session:
            if (new.name, new.host) != (username, hostname) and (
                    session.user_exists(username, hostname) or not session.user_exists(new.name, new.host)):
                self._require_user(session, username, hostname)
                session.execute("RENAME USER %s@%s TO %s@%s", (username, hostname, new.name, new.host))
            self._require_user(session, new.name, new.host)
            if new.password:
                session.execute("ALTER USER %s@%s IDENTIFIED BY %s", (new.name, new.host, new.password))

    def _user(self, values):
        user = models.User.deserialize(values)
        self._refuse_hidden(user.name, user.host)
        return user

    def _is_hidden(self, name, host):
        return (not name or not host  # anonymous accounts and MariaDB's roles
                or self._names.is_ignored_user(name) or (host == "localhost" and name in _SYSTEM_USERS))

    def _refuse_hidden(self, name, host):
        if self._is_hidden(name, host):
            raise exception.BadValue(field="user", reason=f"'{name}' is reserved.")

    def _require_user(self, session, name, host):
        if self._is_hidden(name, host) or not session.user_exists(name, host):
            raise exception.NotFound(resource="user", id=f"{name}@{host}")

    def _serialized(self, session, accounts):
        granted = {account: [] for account in accounts}
        if accounts:
            for user, host, pattern in session.execute(
                    "SELECT User, Host, Db FROM mysql.db WHERE (User, Host) IN %s ORDER BY Db", [accounts]):
                granted.setdefault((user, host), []).append(models.Database(sql.from_pattern(pattern)))
        return [models.User(user, host, databases=granted[user, host]).serialize() for user, host in accounts]

    # Grants

    def list_access(self, username, hostname):
        """The databases (dicts) that a user may use. NotFound for an unknown user."""
        with self.open_session() as session:
            self._require_user(session, username, hostname)
            return self._serialized(session, [(username, hostname)])[0]["_databases"]

    def grant_access(self, username, hostname, databases):
        """Let a user use databases (names). NotFound for an unknown user."""
        for name in databases:
            self._database({"_name": name})
        with self._changing() as session:
            self._require_user(session, username, hostname)
            self._grant(session, username, hostname, databases)

    def revoke_access(self, username, hostname, database):
        """Take a user's right to use a database (name). NotFound for an unknown user or a right that is not there."""
        with self._changing() as session:
            self._require_user(session, username, hostname)
            patterns = [pattern for (pattern,) in session.execute(
                "SELECT Db FROM mysql.db WHERE User = %s AND Host = %s", (username, hostname))
                if sql.from_pattern(pattern) == database]
            if not patterns:
                raise exception.NotFound(resource="grant on", id=database)
            for pattern in patterns:
                self._revoke(session, username, hostname, pattern)

    @staticmethod
    def _grant(session, name, host, databases):
        for database in databases:
            session.execute("GRANT ALL PRIVILEGES ON {}.* TO %s@%s", (name, host), [sql.as_pattern(database)])

    @staticmethod
    def _revoke(session, name, host, pattern):
        session.execute("REVOKE ALL PRIVILEGES ON {}.* FROM %s@%s", (name, host), [pattern])

    # Root

    def enable_root(self, root_password=None):
        """Let root in over the network, with this or a fresh password: its dict with the password."""
        user = models.User(ROOT, password=root_password or self._names.generate_password())
        option = " WITH GRANT OPTION" if CONF.root_grant_option else ""
        with self._changing() as session:
            session.set_password(user.name, user.host, user.password)
            session.execute(f"GRANT {_privileges()} ON *.* TO %s@%s{option}", (user.name, user.host))
            # Not even root writes to a replica. MySQL has no such privilege: there nobody does.
            if session.dialect.engine == dialect.MARIADB:
                session.execute("REVOKE READ_ONLY ADMIN ON *.* FROM %s@%s", (user.name, user.host))
        return user.serialize()

    def disable_root(self):
        """Let root in from nowhere but the guest itself; not enabled is fine."""
        with self._changing() as session:
            for (host,) in session.execute("SELECT Host FROM mysql.user WHERE User = %s AND Host <> 'localhost'",
                                           (ROOT,)):
                session.execute("DROP USER IF EXISTS %s@%s", (ROOT, host))

    def is_root_enabled(self):
        """Whether root may log in over the network."""
        with self.open_session() as session:
            return bool(session.execute("SELECT 1 FROM mysql.user WHERE User = %s AND Host <> 'localhost'", (ROOT,)))


def _privileges():
    """The privileges of root as SQL has them. They cannot be parameters: plain words only, else BadValue."""
    names = [name.strip() for name in CONF.root_grant]
    for name in names:
        if not re.fullmatch(r"[A-Za-z]+( [A-Za-z]+)*", name):
            raise exception.BadValue(field="root_grant", reason=f"'{name}' is no privilege.")
    return ", ".join(names)
