"""The agent's way into its server: the superuser of initdb, which the tenant's root can lock, rename or strip.

It is looked at with every heartbeat and made again: by itself if it still may, as the tenant's root while that is a
superuser, and else by a restart with the server in single-user mode in between, where nobody's rights are asked for.
The server keeps it from being dropped. Its number is the same in all servers.
"""
from oslo_log import log as logging

from trove.common.cfg import CONF
from trove.guestagent.datastore import access
from trove.guestagent.datastore.experimental.postgresql import sql

LOG = logging.getLogger(__name__)

# The server rejects the account, what it wants to do, or the database that it connects to.
DENIED = ("28000", "28P01", "42501", "3D000", "55000", "42704", "0LP01")
# Databases to which the agent can connect for it.
_DOORS = ("postgres", "template1")
_WHOLE = ("SELECT r.oid = 10 AND r.rolsuper AND r.rolcanlogin AND r.rolcreatedb AND r.rolcreaterole AND "
          "r.rolreplication AND r.rolbypassrls AND r.rolinherit AND EXISTS (SELECT FROM pg_database WHERE "
          "datname = 'postgres' AND datallowconn AND datconnlimit < 0 AND NOT datistemplate) "
          "FROM pg_roles r WHERE r.rolname = $1")
# 10 is the number of the superuser of initdb. Single-user mode reads each statement from one line. Somebody else's
# account of the name gives it up.
_REPAIR = (
    "DO $do$ BEGIN "
    # ALTER ROLE ... RENAME does not take the role of the session itself.
    "IF EXISTS (SELECT FROM pg_authid WHERE oid = 10 AND rolname <> {literal}) THEN "
    "UPDATE pg_authid SET rolname = left(rolname, 50) || '_' || oid WHERE rolname = {literal}; "
    "UPDATE pg_authid SET rolname = {literal} WHERE oid = 10; END IF; "
    "EXECUTE 'ALTER ROLE {name} SUPERUSER LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS INHERIT PASSWORD NULL'; "
    "EXECUTE 'ALTER ROLE {name} RESET ALL'; "
    "IF EXISTS (SELECT FROM pg_database WHERE datname = 'postgres') THEN "
    "EXECUTE 'ALTER DATABASE postgres ALLOW_CONNECTIONS true CONNECTION LIMIT -1 IS_TEMPLATE false'; END IF; "
    "END $do$")
_MAKE_DATABASE = "CREATE DATABASE postgres TEMPLATE template0"


class Access(access.Keeper):
    """Keeps the agent's account in one server. app: PostgreSqlApp."""

    errors = (sql.Error, OSError)

    def is_whole(self):
        """See the base."""
        try:
            with self.app.look() as session:
                found = session.execute(_WHOLE, [sql.ADMIN_USER])
        except sql.DatabaseError as error:
            # A replica has the accounts of its source, whose agent repairs them.
            if sql.code_of(error) not in DENIED or self.app.is_standby():
                return None
            self.reason = sql.text_of(error)
            return False
        except self.errors:
            return None
        if found and found[0][0]:
            return True
        if self.app.is_standby():
            return None
        self.reason = "its rights, or the database postgres, were changed"
        return False

    def make_without_restart(self):
        """See the base. A standby has the accounts of its source."""
        if self.app.is_standby():
            return "at its source"
        for user, how in ((sql.ADMIN_USER, "by itself"), (sql.ROOT, "as the tenant's root")):
            for database in _DOORS:
                try:
                    self._make(user, database)
                    return how
                except sql.DatabaseError as error:
                    if sql.code_of(error).startswith(("57", "08")):
                        raise
                    LOG.debug("%s: the agent's account cannot be made as %s in %s: %s", CONF.guest_id, user, database,
                              sql.text_of(error))
        return None

    def _make(self, user, database):
        with self.app.session(user=user, database=database, timeout=10) as session:
            session.execute(self._statement())
            if not session.execute("SELECT FROM pg_database WHERE datname = 'postgres'"):
                session.execute(_MAKE_DATABASE)
        if self.is_whole() is False:
            raise sql.DatabaseError({"C": "", "M": "it is not whole after its repair"})

    def _statement(self):
        return _REPAIR.replace("{literal}", sql.literal(sql.ADMIN_USER)).replace("{name}", sql.quote(sql.ADMIN_USER))

    def make_with_restart(self):
        """See the base."""
        app = self.app
        app.status.begin_restart()
        try:
            app.stop()
            try:
                # Without the database postgres only the second is needed, with it only the first is carried out.
                app.carry_out_alone(self._statement(), _MAKE_DATABASE)
            finally:
                app.start()
        finally:
            app.status.end_restart()
