"""Databases, users, grants and root of a PostgreSQL server.

Each database belongs to a role of its own that nobody can log in as (``os_db_...``). The users of the database are its
members, and their sessions there begin as this role (ALTER ROLE ... IN DATABASE ... SET role). So all of them own what
any of them makes. After SET ROLE NONE or DISCARD ALL a session makes things under the user's own name; default
privileges open these to the others. Nobody else can connect to the database.
"""
import contextlib
import secrets

from trove.common import exception
from trove.guestagent.common import paging
from trove.guestagent.datastore.admin import Admin, Root
from trove.guestagent.datastore.experimental.postgresql import sql
from trove.guestagent.datastore.experimental.postgresql.service import ADMIN_USER, MAINTENANCE, ROOT
from trove.guestagent.db import models
from trove.guestagent.db.postgresql import OWNERS, encoding_of

# A client holds a lock for longer than is waited for it, or another session is in the way.
_LOCKED = ("55P03", "40P01", "55006")
# Milliseconds that the end of a session is waited for.
_END = 5000
_SHARED = ("TABLES", "SEQUENCES", "SCHEMAS")

_DATABASES = ("SELECT datname, pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE NOT datistemplate "
              "ORDER BY datname")
_OWNER = ("SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = $1 AND "
          "starts_with(r.rolname, $2)")
_ACCESS = ("SELECT u.rolname, d.datname FROM pg_database d JOIN pg_roles g ON g.oid = d.datdba "
           "JOIN pg_auth_members m ON m.roleid = g.oid JOIN pg_roles u ON u.oid = m.member "
           "WHERE starts_with(g.rolname, $1) ORDER BY d.datname")
# The databases in which something depends on a role, and those that belong to it.
_TRACES = ("SELECT DISTINCT d.datname FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid "
           "JOIN pg_authid r ON r.oid = s.refobjid AND s.refclassid = 'pg_authid'::regclass WHERE r.rolname = $1")
_BELONGINGS = "SELECT datname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE r.rolname = $1"
# {0} becomes the owner of the database {1}, and what is in it already is open to that role. One transaction.
_ADOPT = """\
CREATE ROLE {0} NOLOGIN; ALTER DATABASE {1} OWNER TO {0}; REVOKE ALL ON DATABASE {1} FROM PUBLIC;
DO $do$ DECLARE name text; BEGIN
FOR name IN SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' LOOP
EXECUTE format('GRANT ALL ON SCHEMA %I TO {0}', name);
EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %I TO {0}', name);
EXECUTE format('GRANT ALL ON ALL SEQUENCES IN SCHEMA %I TO {0}', name);
END LOOP; END $do$"""


class PostgreSqlAdmin(Admin, Root):
    """See the bases. app: PostgreSqlApp; manager: name of the datastore manager, whose options say what is reserved."""

    def __init__(self, app, manager):
        self._open_session, self._explain = app.session, app.explain
        self._names = models.of(manager)

    @contextlib.contextmanager
    def open_session(self, database=MAINTENANCE):
        """A Session with the server. Raises GuestUnavailable for a lock: the same may be tried later."""
        try:
            with self._open_session(database=database) as session:
                yield session
        except sql.DatabaseError as error:
            if sql.code_of(error) in _LOCKED:  # the session that is in the way may end soon
                raise exception.GuestUnavailable(str(self._explain(error))) from error
            raise

    @contextlib.contextmanager
    def _changing(self):
        """A Session for a change. Raises GuestUnavailable for a lock, and while only the replication may write."""
        with self.open_session() as session:
            if session.execute("SELECT pg_is_in_recovery()")[0][0]:
                raise exception.GuestUnavailable(
                    "The database server is read-only: it is a replica, or is about to change its role.")
            yield session

    # Databases

    def create_database(self, databases):
        """Make databases (dicts); those that exist are left alone. Raises BadValue for a reserved name."""
        wanted = [self._database(values) for values in databases]
        with self._changing() as session:
            for database in wanted:
                self._create_database(session, database)

    def _create_database(self, session, database):
        if not session.execute("SELECT 1 FROM pg_database WHERE datname = $1", [database.name]):
            words, texts = "", []
            encoding = database.character_set and encoding_of(database.character_set)
            # The default collation fits to UTF8 only; that of C fits to all.
            collation = database.collate or ("C" if encoding not in (None, "UTF8") else None)
            for clause, value in ((" ENCODING {}", encoding), (" LC_COLLATE {}", collation),
                                  (" LC_CTYPE {}", collation)):
                if value:
                    words += clause
                    texts.append(value)
            session.execute("CREATE DATABASE {} TEMPLATE template0" + words, names=[database.name], texts=texts)
        self._owner(session, database.name)

    def delete_database(self, database):
        """Drop a database (dict) and what was granted on it, if it exists."""
        name = self._database(database).name
        with self._changing() as session:
            owner = session.execute(_OWNER, [name, OWNERS])
            session.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", names=[name])
            if owner and not session.execute(_BELONGINGS, owner[0]):
                self._drop_role(session, owner[0][0])

    def list_databases(self, limit=None, marker=None, include_marker=False):
        """Return a page of databases: (dicts in the order of names, marker of the next page or None)."""
        with self.open_session() as session:
            rows = session.execute(_DATABASES)
        rows = {row[0]: row for row in rows if not self._names.is_ignored_database(row[0])}
        names, following = paging.page(rows, limit, marker, include_marker)
        return [models.Database(*rows[name]).serialize() for name in names], following

    def _database(self, values):
        database = models.Database.deserialize(values)
        if self._names.is_ignored_database(database.name):
            raise exception.BadValue(field="database", reason=f"'{database.name}' is reserved.")
        return database

    def _owner(self, session, database):
        """Return the role that owns a database and in which its users are members; make it if there is none yet."""
        found = session.execute(_OWNER, [database, OWNERS])
        if found:
            return found[0][0]
        if not session.execute("SELECT 1 FROM pg_database WHERE datname = $1", [database]):
            raise exception.NotFound(resource="database", id=database)
        owner = OWNERS + secrets.token_hex(8)
        with self.open_session(database) as inside:
            inside.execute(_ADOPT, names=[owner, database])
        return owner

    # Users

    def create_user(self, users):
        """Make users (dicts) with passwords and grants; one that exists gets the password and the grants."""
        wanted = [self._user(values) for values in users]
        for user in wanted:
            if not user.password:
                raise exception.BadValue(field="password", reason=f"the user '{user.name}' needs one.")
        with self._changing() as session:
            for user in wanted:
                verb = "ALTER" if self._exists(session, user.name) else "CREATE"
                self._set_password(session, user.name, user.password, f"{verb} ROLE {{}} LOGIN")
                self._grant(session, user.name, [database.name for database in user.databases])

    @staticmethod
    def _set_password(session, name, password, statement="ALTER ROLE {}"):
        session.execute(f"{statement} PASSWORD {{}}", names=[name], texts=[sql.verifier(password)])

    def delete_user(self, user):
        """Drop a user (dict), if it exists. What it owns in a database becomes the property of the database's users."""
        name = self._user(user).name
        with self._changing() as session:
            if self._exists(session, name):
                self._drop_role(session, name)

    def _drop_role(self, session, name):
        # Nothing new of its may come while the old is given away.
        session.execute("ALTER ROLE {} NOLOGIN", names=[name])
        self._end_sessions(session, name)
        for (database,) in session.execute(_BELONGINGS, [name]):
            self._owner(session, database)
        for (database,) in session.execute(_TRACES, [name]):
            owner = ADMIN_USER if self._names.is_ignored_database(database) else self._owner(session, database)
            with self.open_session(database) as inside:
                inside.execute("REASSIGN OWNED BY {} TO {}; DROP OWNED BY {}", names=[name, owner, name])
        session.execute("DROP OWNED BY {}; DROP ROLE IF EXISTS {}", names=[name, name])

    @staticmethod
    def _end_sessions(session, user, database=None):
        session.execute("SELECT pg_terminate_backend(pid, $1) FROM pg_stat_activity WHERE usename = $2 AND "
                        "(datname = $3 OR $3 IS NULL) AND pid <> pg_backend_pid()", [_END, user, database])

    def get_user(self, username, hostname):
        """Return a user as a dict without its password, or None."""
        if self._names.is_ignored_user(username):
            return None
        with self.open_session() as session:
            return self._serialized(session, [username])[0] if self._exists(session, username) else None

    def list_users(self, limit=None, marker=None, include_marker=False):
        """Return a page of users: (dicts in the order of names, marker of the next page or None)."""
        with self.open_session() as session:
            names = [name for (name,) in session.execute("SELECT rolname FROM pg_roles WHERE rolcanlogin")
                     if not self._names.is_ignored_user(name)]
            names, following = paging.page(names, limit, marker, include_marker)
            return self._serialized(session, names), following

    def change_passwords(self, users):
        """Set passwords: list of {"name", "host", "password"}. Raises NotFound for an unknown user and changes none."""
        wanted = [self._user({"_name": user.get("name"), "_host": user.get("host"), "_password": user.get("password")})
                  for user in users]
        with self._changing() as session:
            for user in wanted:
                self._require_user(session, user.name)
            for user in wanted:
                self._set_password(session, user.name, user.password)

    def update_attributes(self, username, hostname, user_attrs):
        """Change those of name and password that user_attrs has. Raises NotFound for an unknown user."""
        self._user({"_name": username, "_host": hostname})
        new = self._user({"_name": user_attrs.get("name") or username, "_host": user_attrs.get("host"),
                          "_password": user_attrs.get("password")})
        with self._changing() as session:
            if new.name != username and (self._exists(session, username) or not self._exists(session, new.name)):
                self._require_user(session, username)
                session.execute("ALTER ROLE {} RENAME TO {}", names=[username, new.name])
            self._require_user(session, new.name)
            if new.password:
                self._set_password(session, new.name, new.password)

    def _user(self, values):
        user = models.User.deserialize(values)
        self._names.check_host(user.host, "user.host")
        if self._names.is_ignored_user(user.name):
            raise exception.BadValue(field="user", reason=f"'{user.name}' is reserved.")
        return user

    @staticmethod
    def _exists(session, name):
        return bool(session.execute("SELECT 1 FROM pg_roles WHERE rolname = $1 AND rolcanlogin", [name]))

    def _require_user(self, session, name):
        if self._names.is_ignored_user(name) or not self._exists(session, name):
            raise exception.NotFound(resource="user", id=name)

    @staticmethod
    def _serialized(session, names):
        granted = {name: [] for name in names}
        for name, database in session.execute(_ACCESS, [OWNERS]):
            if name in granted:
                granted[name].append(models.Database(database))
        return [models.User(name, databases=granted[name]).serialize() for name in names]

    # Grants

    def list_access(self, username, hostname):
        """Return the databases (dicts) that a user may use. Raises NotFound for an unknown user."""
        with self.open_session() as session:
            self._require_user(session, username)
            return self._serialized(session, [username])[0]["_databases"]

    def grant_access(self, username, hostname, databases):
        """Let a user use databases (names). Raises NotFound for an unknown user."""
        for name in databases:
            self._database({"_name": name})
        with self._changing() as session:
            self._require_user(session, username)
            self._grant(session, username, databases)

    def revoke_access(self, username, hostname, database):
        """Take a user's right to use a database (name) and end its sessions there.

        Raises NotFound for an unknown user and a right it has not.
        """
        with self._changing() as session:
            self._require_user(session, username)
            if [username, database] not in session.execute(_ACCESS, [OWNERS]):
                raise exception.NotFound(resource="grant on", id=database)
            owner = self._owner(session, database)
            with self.open_session(database) as inside:
                for kind in _SHARED:
                    inside.execute(f"ALTER DEFAULT PRIVILEGES FOR ROLE {{}} REVOKE ALL ON {kind} FROM {{}}",
                                   names=[username, owner])
            session.execute("ALTER ROLE {} IN DATABASE {} RESET role; REVOKE {} FROM {}",
                            names=[username, database, owner, username])
            self._end_sessions(session, username, database)

    def _grant(self, session, user, databases):
        for database in databases:
            owner = self._owner(session, database)
            with self.open_session(database) as inside:
                for kind in _SHARED:
                    inside.execute(f"ALTER DEFAULT PRIVILEGES FOR ROLE {{}} GRANT ALL ON {kind} TO {{}}",
                                   names=[user, owner])
            session.execute("ALTER ROLE {} IN DATABASE {} SET role TO {}; GRANT {} TO {}",
                            names=[user, database, owner, owner, user])

    # Root

    def enable_root(self, root_password=None):
        """Let root in over the network, with this or a fresh password. Returns its dict with the password."""
        user = models.User(ROOT, password=root_password or self._names.generate_password())
        with self._changing() as session:
            known = session.execute("SELECT 1 FROM pg_roles WHERE rolname = $1", [ROOT])
            self._set_password(session, ROOT, user.password,
                               f"{'ALTER' if known else 'CREATE'} ROLE {{}} SUPERUSER LOGIN VALID UNTIL 'infinity'")
        return user.serialize()

    def disable_root(self):
        """Let root in from nowhere, also if it was not enabled. What it owns stays its property."""
        with self._changing() as session:
            close_root(session)
            self._end_sessions(session, ROOT)

    def is_root_enabled(self):
        """Return whether root may log in over the network."""
        with self.open_session() as session:
            return bool(session.execute("SELECT 1 FROM pg_roles WHERE rolname = $1 AND rolcanlogin", [ROOT]))


def close_root(session):
    """Let root log in no more, if it is there."""
    if session.execute("SELECT 1 FROM pg_roles WHERE rolname = $1", [ROOT]):
        session.execute("ALTER ROLE {} NOSUPERUSER NOLOGIN PASSWORD NULL", names=[ROOT])
