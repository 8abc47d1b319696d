"""Errors of the servers of the MySQL family as users see them: a cause, a cure and a code for each error number.

The server's own words stay in the agent's log: they may hold data of the tenant, and they do not say what to do.
"""
import re
from dataclasses import dataclass

import pymysql
from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.mysql_common import dialect

LOG = logging.getLogger(__name__)

# Codes: the request is wrong, names what is not there, meets a state that the user ends, or comes at a bad moment.
_WRONG, _MISSING, _STATE, _LATER = (
    exception.BadRequest, exception.NotFound, exception.GuestConflict, exception.GuestUnavailable)


@dataclass(frozen=True)
class Cause:
    """numbers: of the server (1000 and more) and of its client library (2000 to 2999); sentence: without its full stop;
    cure: the sentence that says what to do; kind: class of the error that is raised.
    """

    numbers: tuple
    sentence: str
    cure: str
    kind: type


LOCK = Cause((1205, 3572, 1223, 1099, 1100), "the database server waited in vain for a lock",
             "Let the session that holds it end, or end it (KILL), and try again.", _STATE)
DISK_FULL = Cause((3, 1005, 1021, 1025, 1026, 1030, 1114, 3019), "the volume of the database server is full",
                  "Resize the volume or remove data, and try again.", _STATE)
GONE = Cause((0, 1053, 1077, 1079, 1080, 1152, 1184, 1927, 2002, 2003, 2005, 2006, 2012, 2013, 2014, 2026, 2027, 2055,
              4031),
             "the connection to the database server was lost or was not made",
             "Try again when the instance is ACTIVE; restart it if it stays so.", _LATER)
DENIED = Cause((1044, 1045, 1095, 1130, 1131, 1142, 1143, 1227, 1370, 1419, 1524, 1698, 1820, 1862, 3118, 4151),
               "the database server denies Trove's own account (os_admin) what it needs",
               "The guest repairs that account by itself: try again in a minute. If this stays, restart the instance.",
               _LATER)
CAUSES = (
    LOCK, DISK_FULL, GONE, DENIED,
    Cause((1213, 1614, 3058, 3101), "the database server ended the command because of a deadlock with another session",
          "Try again.", _LATER),
    Cause((1020,), "another session changed what the command had read, so the database server took the whole "
          "transaction back (innodb_snapshot_isolation)", "Try again.", _LATER),
    Cause((1040, 1203, 1226), "the database server has no connection left",
          "Close connections of the application, or raise max_connections in a configuration group, and try again.",
          _LATER),
    Cause((1290, 1792, 1836, 3100), "the database server is read-only",
          "If the instance is a replica, change its source; otherwise try again when its promotion has ended.", _STATE),
    Cause((5, 1037, 1038, 1041, 1135, 3170), "the database server has no memory left",
          "Try again with fewer connections, or resize the flavor of the instance.", _LATER),
    Cause((1158, 1159, 1160, 1161, 1969, 3024), "the database server did not finish the command in time",
          "Try again when it has less to do.", _LATER),
    Cause((1094, 1317, 1028, 3169), "somebody ended the command in the database server (KILL)", "Try again.", _LATER),
    Cause((1049, 1008, 1146, 1051, 1305), "the database or table does not exist",
          "List the databases and check the name.", _MISSING),
    Cause((1133, 1141, 1147, 1269, 1449, 3162), "the user, or the right that it names, does not exist",
          "List the users and check name and host.", _MISSING),
    Cause((1007, 1050, 1304, 3163), "a database, table or user of this name exists already",
          "Choose another name, or delete it first.", _STATE),
    Cause((1396,), "the user exists already, or does not exist", "List the users, and try again.", _STATE),
    Cause((1010, 1217, 1451, 3730), "the database cannot be dropped: something else needs what is in it",
          "Remove foreign keys of other databases that refer to it, and files in its directory.", _STATE),
    Cause((1819, 1387, 1372, 3638, 3639, 3786, 3878, 4080, 4165),
          "the rules of the database server for passwords refuse this password", "Choose another password.", _WRONG),
    Cause((1059, 1102, 1103, 1470, 1300, 1366, 1468), "the database server does not take this name",
          "Choose a shorter or simpler name.", _WRONG),
    Cause((1115, 1253, 1273, 1302), "the database server does not know this character set or collation, or they do not "
          "fit to each other", "Choose others, or leave them out.", _WRONG),
    Cause((1193, 1231, 1232, 1238, 1229, 1621), "the database server does not take this value",
          "Check the name of the parameter and its value.", _WRONG),
    Cause((1033, 1034, 1035, 126, 127, 1194, 1195, 1712, 1728, 1805, 1932),
          "a table or a file of the database server is damaged", "Restore a backup, or repair the table as root.",
          _STATE),
    Cause((1236, 1198, 1199, 1200, 1201, 1218, 1593, 1594, 1777, 1782, 1787, 1794, 1872, 3021, 3081, 13114, 13117,
           13121, 13122),
          "the database server cannot replicate as it was told", "Delete the replica and create a new one.", _STATE),
)
_OTHER = Cause((), "the database server refused the command", "The log of the instance's agent has its words.", _STATE)
_BY_NUMBER = {number: cause for cause in CAUSES for number in cause.numbers}

# What stops a replica. The user repairs it at the server, so each says what is wrong there.
REPLICATION = {
    1007: "the source created a database that the replica has already",
    1008: "the source dropped a database that the replica does not have",
    1032: "the source changed or deleted a row that the replica does not have",
    1050: "the source created a table that the replica has already",
    1051: "the source dropped a table that the replica does not have",
    1054: "the source used a column that the replica does not have",
    1062: "the source inserted a row that the replica has already",
    1091: "the source dropped a column or key that the replica does not have",
    1146: "the source changed a table that the replica does not have",
    1236: "the source has no longer the part of its log that the replica needs",
    1396: "the source changed a user that the replica does not have, or made one that it has",
    1593: "the source and the replica cannot work together",
    1594: "the replica's copy of the source's log is damaged",
    1677: "the source and the replica have different column types in a table",
    13114: "the source has no longer the part of its log that the replica needs",
    13121: "the replica's copy of the source's log is damaged",
    1040: "the source has no connection left",
    1045: "Access denied: the source refuses the account of the replica",
    1129: "the source has blocked the replica's address after too many failed connections",
    **dict.fromkeys((2002, 2003, 2005, 2013), "the source cannot be reached"),
}

# What programs of the engines say of an error, and its number.
_IN_TEXT = (
    (re.compile(r"No space left on device|Errcode: 28\b|error number 28\b|Disk is full", re.IGNORECASE), 1021),
    (re.compile(r"Too many connections", re.IGNORECASE), 1040),
    (re.compile(r"Lock wait timeout", re.IGNORECASE), 1205),
    (re.compile(r"Access denied for user", re.IGNORECASE), 1045),
    (re.compile(r"server has gone away|Lost connection|Can't connect to", re.IGNORECASE), 2013))
_NUMBERED = re.compile(r"(?:ERROR|[Ee]rror:?) (\d{4})\b")


def cause_of(number, text=""):
    """Return the Cause of an error number. text: the server's words, which tell some of one number apart."""
    # A storage engine's own number stands in the text: 28 is that of a full disk.
    if number in (1030, 1005, 1025, 1026, 3) and not re.search(r"\b28\b", text):
        return _OTHER
    if number == 1290 and not re.search("read.only", text):  # some other option forbids the statement
        return _OTHER
    return _BY_NUMBER.get(number, _OTHER)


def reason(error):
    """Return why the server did not take a value (pymysql error), as part of a sentence."""
    number = _number(error)
    return {1193: "the server does not know this parameter", 1238: "the server takes it only when it starts",
            1231: "the server does not take this value", 1232: "the value has the wrong type",
            1621: "the server takes it only when it starts"}.get(number) or _sentence(number, str(error))


def stopped_by(number, text):
    """Return why a replica has stopped, as part of a sentence; number, text: the server's last error, 0 for none.

    A table is named if the text names one; data are not.
    """
    if not number:
        return None
    table = re.search(r"on table ([^\s;,']+)", text or "")
    where = f" (table {table[1]})" if table else ""
    return f"{REPLICATION.get(number) or cause_of(number, text or '').sentence}{where}, error {number}"


def explain(error, app):
    """Return the error to raise to the control plane in the place of one that the server or a program raised.

    app: the server (MySqlApp), which is asked who holds a lock. Returns None for an error that has a sentence already.
    """
    if isinstance(error, operating_system.ProcessError):
        return _of_program(error, app)
    if not isinstance(error, pymysql.err.MySQLError):
        return None
    number, text = _number(error), str(error)
    LOG.warning("%s: the database server reported error %s: %s", CONF.guest_id, number, text)
    return _raised(number, text, getattr(error, "databases", ()), app)


def _raised(number, text, databases, app):
    cause = cause_of(number, text)
    if cause is LOCK:
        return cause.kind(f"{_capital(cause.sentence)} (error {number}). {holder(app, databases)}")
    return cause.kind(f"{_capital(_sentence(number, text))}. {cause.cure}")


def _sentence(number, text):
    return f"{cause_of(number, text).sentence} (error {number})"


def _capital(sentence):
    return sentence[:1].upper() + sentence[1:]


def _of_program(error, app):
    command, said = str(error.kwargs.get("command")), str(error.kwargs.get("stderr"))
    LOG.warning("%s: %s", CONF.guest_id, error)
    found = _NUMBERED.search(said)
    number = next((number for pattern, number in _IN_TEXT if pattern.search(said)), found and int(found[1]))
    if number in _BY_NUMBER:
        return _raised(number, said, (), app)
    # The last line of systemctl says where to read more, which a user cannot.
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip() and not line.startswith("See ")),
                "it said nothing")
    return exception.GuestConflict(f"The program {command.rpartition('/')[2]} failed ({error.kwargs.get('code')}): "
                                   f"{last[:200].rstrip('.')}.")


def _number(error):
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


# Who holds a lock

# Granted locks: (id, lock, schema, table, user, host, command, seconds, statement) of each.
_HELD = {
    dialect.MARIADB: (
        "SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'METADATA_LOCK_INFO' AND "
        "PLUGIN_STATUS = 'ACTIVE'",
        "SELECT p.ID, l.LOCK_MODE, l.TABLE_SCHEMA, l.TABLE_NAME, p.USER, p.HOST, p.COMMAND, p.TIME, p.INFO "
        "FROM information_schema.METADATA_LOCK_INFO l JOIN information_schema.PROCESSLIST p ON p.ID = l.THREAD_ID "
        "WHERE p.ID <> CONNECTION_ID()"),
    dialect.MYSQL: (
        "SELECT 1 FROM DUAL WHERE @@performance_schema",
        "SELECT t.PROCESSLIST_ID, IF(l.OBJECT_TYPE IN ('GLOBAL', 'COMMIT') AND l.LOCK_TYPE = 'SHARED', 'FTWRL', "
        "l.LOCK_TYPE), l.OBJECT_SCHEMA, l.OBJECT_NAME, t.PROCESSLIST_USER, t.PROCESSLIST_HOST, t.PROCESSLIST_COMMAND, "
        "t.PROCESSLIST_TIME, t.PROCESSLIST_INFO FROM performance_schema.metadata_locks l "
        "JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID WHERE l.LOCK_STATUS = 'GRANTED' AND "
        "t.PROCESSLIST_ID <> CONNECTION_ID()"),
}
# Sessions with an open transaction, which may hold locks of rows.
_TRANSACTIONS = (
    "SELECT p.ID, 'TRANSACTION', NULL, NULL, p.USER, p.HOST, p.COMMAND, "
    "TIMESTAMPDIFF(SECOND, t.trx_started, NOW()), p.INFO FROM information_schema.INNODB_TRX t "
    "JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id WHERE p.ID <> CONNECTION_ID() "
    "ORDER BY t.trx_started")
# Kinds of locks, the strongest first, and what holds such a lock.
_KINDS = (
    ("FTWRL", "FLUSH TABLES WITH READ LOCK or a backup"),
    ("SHARED_NO_READ_WRITE", "LOCK TABLES ... WRITE"),
    ("EXCLUSIVE", "a change of its definition (ALTER, DROP, CREATE)"),
    ("SHARED_NO_WRITE", "a change of its definition (ALTER, CREATE INDEX)"),
    ("SHARED_UPGRADABLE", "a change of its definition (ALTER)"),
    ("SHARED_READ_ONLY", "LOCK TABLES ... READ"),
    ("SHARED_WRITE", "an open transaction that has written"),
    ("SHARED_READ", "an open transaction that has read"),
    ("TRANSACTION", "an open transaction"))
# Words that a statement begins with and that may be said; the rest of it is the tenant's.
_VERBS = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "ALTER", "CREATE", "DROP", "TRUNCATE", "LOAD",
                    "CALL", "LOCK", "FLUSH", "OPTIMIZE", "ANALYZE", "REPAIR", "RENAME", "WITH", "COMMIT", "BACKUP"))
# Accounts whose sessions are the agent's or the server's own.
_OWN = ("os_admin", "system user", "event_scheduler", "event_scheduler@localhost")


def holder(app, databases=()):
    """Return sentences on the session that holds a lock now, and how to end it.

    databases: names of those whose tables were wanted, empty for the whole server. Raises nothing.
    """
    try:
        with app.session(timeout=CONF.agent_call_low_timeout) as session:
            found = _holders(session, databases)
    except (pymysql.err.MySQLError, exception.TroveError) as error:
        LOG.warning("%s: cannot look who holds a lock: %s", CONF.guest_id, error)
        found = []
    if not found:
        return "The server does not tell which session holds it: SHOW PROCESSLIST lists them. " + LOCK.cure
    ids = sorted({row[0] for row in found})
    number, lock, schema, table, user, host, command, seconds, statement = found[0]
    more = f" {len(ids) - 1} more sessions hold locks." if len(ids) > 1 else ""
    place = f"table {schema}.{table}" if schema and table else f"database {schema}" if schema else "server"
    return (f"Session {number} of '{user}'@'{(host or '').rpartition(':')[0] or host}' holds a lock on the {place} by "
            f"{dict(_KINDS)[lock]}; it {_doing(command, seconds, statement)}.{more} "
            f"Let it end, or end it (KILL {number} as root), and try again.")


def _doing(command, seconds, statement):
    verb = re.match(r"\W*(\w+)", statement or "")
    verb = verb and verb[1].upper()
    if command == "Sleep" or verb is None:
        return f"has been idle for {seconds or 0} s"
    return f"has been executing {verb if verb in _VERBS else 'a statement'} for {seconds or 0} s"


def _holders(session, databases):
    """Return rows as of ``_HELD``, the strongest lock first."""
    is_there, held = _HELD[session.dialect.engine]
    order = [kind for kind, _ in _KINDS]
    rows = []
    for row in session.execute(held) if session.execute(is_there) else ():
        kind = "FTWRL" if "FTWRL" in row[1] else row[1].removeprefix("MDL_")
        if kind in order and row[4] and row[4] not in _OWN and (
                not databases or kind == "FTWRL" or row[2] in databases):
            rows.append((row[0], kind, *row[2:]))
    rows.sort(key=lambda row: (order.index(row[1]), -(row[7] or 0), row[0]))
    # One that has read disturbs nobody but who drops the table.
    if rows and (databases or order.index(rows[0][1]) < order.index("SHARED_READ_ONLY")):
        return rows
    return rows + [row for row in session.execute(_TRANSACTIONS) if row[4] not in _OWN]
