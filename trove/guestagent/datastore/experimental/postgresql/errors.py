"""Errors of PostgreSQL as users see them: a cause, a cure and a code for each error code (SQLSTATE).

The server's own words stay in the agent's log: they may hold data of the tenant, and they do not say what to do.
"""
import re
from dataclasses import dataclass

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.experimental.postgresql import sql

LOG = logging.getLogger(__name__)

# Codes: the request is wrong, names what is not there, meets a state that the user ends, or comes at a bad moment.
_WRONG, _MISSING, _STATE, _LATER = (
    exception.BadRequest, exception.NotFound, exception.GuestConflict, exception.GuestUnavailable)


@dataclass(frozen=True)
class Cause:
    """codes: of the server, or the first two characters of a class of them; sentence: without its full stop; cure: the
    sentence that says what to do; kind: class of the error that is raised.
    """

    codes: tuple
    sentence: str
    cure: str
    kind: type


LOCK = Cause(("55P03",), "the database server waited in vain for a lock",
             "Let the session that holds it end, or end it (pg_terminate_backend), and try again.", _STATE)
GONE = Cause(("", "57P01", "57P02", "57P03", "08"), "the connection to the database server was lost or was not made",
             "Try again when the instance is ACTIVE; restart it if it stays so.", _LATER)
CAUSES = (
    LOCK, GONE,
    Cause(("53100",), "the volume of the database server is full", "Resize the volume or remove data, and try again.",
          _STATE),
    Cause(("28", "42501", "0LP01"), "the database server denies Trove's own account (os_admin) what it needs",
          "The guest repairs that account by itself: try again in a minute. If this stays, restart the instance.",
          _LATER),
    Cause(("40P01", "40001"), "the database server ended the command because of a conflict with another session",
          "Try again.", _LATER),
    Cause(("53300",), "the database server has no connection left",
          "Close connections of the application, or raise max_connections in a configuration group, and try again.",
          _LATER),
    Cause(("25006",), "the database server is read-only",
          "If the instance is a replica, change its source; otherwise try again when its promotion has ended.", _STATE),
    Cause(("53200", "53000"), "the database server has no memory left",
          "Try again with fewer connections, or resize the flavor of the instance.", _LATER),
    Cause(("57014",), "the database server did not finish the command in time, or somebody ended it",
          "Try again when it has less to do.", _LATER),
    Cause(("55006",), "other sessions, prepared transactions or subscriptions use the database",
          "End them and try again.", _STATE),
    Cause(("55000",), "the database does not accept connections (ALLOW_CONNECTIONS)", "Allow them as root.", _STATE),
    Cause(("3D000", "42P01", "3F000"), "the database or table does not exist", "List the databases and check the name.",
          _MISSING),
    Cause(("42704",), "the user, or another object, does not exist", "List the users and check the name.", _MISSING),
    Cause(("42P04", "42710"), "a database or user of this name exists already",
          "Choose another name, or delete it first.", _STATE),
    Cause(("2BP01",), "something else needs what is to be deleted", "Remove as root what depends on it.", _STATE),
    Cause(("42939", "42602", "42622"), "the database server does not take this name", "Choose another name.", _WRONG),
    Cause(("42809", "22023", "22P02", "42P22", "0A000", "22021"),
          "the database server does not know this encoding or collation, or they do not fit to each other",
          "Choose others, or leave them out: C.UTF-8 and C are there always.", _WRONG),
    Cause(("XX", "58"), "a file of the database server is damaged or missing", "Restore a backup.", _STATE),
)
_OTHER = Cause((), "the database server refused the command", "The log of the instance's agent has its words.", _STATE)
_BY_CODE = {code: cause for cause in CAUSES for code in cause.codes}


def cause_of(code):
    """Return the Cause of an error code."""
    return _BY_CODE.get(code) or _BY_CODE.get(code[:2]) or _OTHER


def explain(error, app):
    """Return the error to raise to the control plane in the place of one that the server or a program raised.

    app: the server (PostgreSqlApp), which is asked who holds a lock. Returns None for an error that has a sentence.
    """
    if isinstance(error, operating_system.ProcessError):
        return _of_program(error)
    if not isinstance(error, sql.Error):
        return None
    code = sql.code_of(error)
    LOG.warning("%s: the database server reported error %s: %s", CONF.guest_id, code or "(none)", sql.text_of(error))
    cause = cause_of(code)
    numbered = f"{cause.sentence[:1].upper()}{cause.sentence[1:]}{f' (error {code})' if code else ''}."
    return cause.kind(f"{numbered} {holder(app) if cause is LOCK else cause.cure}")


def _of_program(error):
    said = str(error.kwargs.get("stderr"))
    LOG.warning("%s: %s", CONF.guest_id, error)
    if re.search("No space left on device", said):
        cause = cause_of("53100")
        return cause.kind(f"{cause.sentence[:1].upper()}{cause.sentence[1:]}. {cause.cure}")
    # The last line of systemctl says where to read more, which a user cannot.
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip() and not line.startswith("See ")),
                "it said nothing")
    command = str(error.kwargs.get("command")).rpartition("/")[2]
    return exception.GuestConflict(f"The program {command} failed ({error.kwargs.get('code')}): "
                                   f"{last[:200].rstrip('.')}.")


# Sessions with locks on tables or databases: the strongest lock first, then the oldest.
_HOLDERS = """\
SELECT a.pid, a.usename, coalesce(host(a.client_addr), 'local'), a.datname, l.mode, a.state,
       extract(epoch FROM now() - a.state_change)::int, upper(substring(a.query FROM '^\\W*(\\w+)'))
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.locktype IN ('relation', 'object', 'database') AND a.usename <> $1 AND a.pid <> pg_backend_pid()
  AND l.mode <> 'AccessShareLock'
ORDER BY array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock',
  'ShareUpdateExclusiveLock', 'RowExclusiveLock', 'RowShareLock'], l.mode), a.xact_start"""
# Words that a statement begins with and that may be said; the rest of it is the tenant's.
_VERBS = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "ALTER", "CREATE", "DROP", "TRUNCATE", "COPY",
                    "CALL", "LOCK", "REINDEX", "VACUUM", "ANALYZE", "CLUSTER", "REFRESH", "WITH", "COMMIT", "GRANT",
                    "REVOKE"))


def holder(app):
    """Return sentences on the session that holds the strongest lock now, and how to end it. Raises nothing."""
    try:
        with app.session(timeout=CONF.agent_call_low_timeout) as session:
            found = session.execute(_HOLDERS, [sql.ADMIN_USER])
    except (sql.Error, OSError, exception.TroveError) as error:
        LOG.warning("%s: cannot look who holds a lock: %s", CONF.guest_id, error)
        found = []
    if not found:
        return "The server does not tell which session holds it: pg_stat_activity lists them. " + LOCK.cure
    pid, user, host, database, _, state, seconds, verb = found[0]
    others = len({row[0] for row in found}) - 1
    doing = (f"has been executing {verb if verb in _VERBS else 'a statement'} for {seconds or 0} s"
             if state == "active" else f"has been idle for {seconds or 0} s")
    return (f"Session {pid} of '{user}' from {host} holds a lock in the database {database}; it {doing}."
            f"{f' {others} more sessions hold locks.' if others else ''} "
            f"Let it end, or end it (SELECT pg_terminate_backend({pid}) as root), and try again.")
