"""The table of the servers' errors: what users see of each, and what they never see."""
import contextlib

import pymysql
import pytest

from trove.common import exception, wsgi
from trove.guestagent.common.operating_system import ProcessError
from trove.guestagent.datastore.mysql_common import dialect, errors

SECRET = "the tenant's data"


class Session:
    """Answers the queries about locks."""

    def __init__(self, engine, held=(), transactions=(), visible=True):
        self.dialect = dialect.Dialect(engine, (1, 0))
        self.held, self.transactions, self.visible = held, transactions, visible

    def execute(self, statement):
        if "INNODB_TRX" in statement:
            return self.transactions
        if statement.startswith("SELECT 1"):
            return [(1,)] if self.visible else []
        return self.held


class App:
    """A server with one such session."""

    def __init__(self, *args, **kwargs):
        self.made = args, kwargs

    @contextlib.contextmanager
    def session(self, timeout):
        if not self.made[0]:
            raise pymysql.err.OperationalError(2003, "Can't connect")
        yield Session(*self.made[0], **self.made[1])


def explained(number, text="", kind=pymysql.err.OperationalError, app=None, databases=()):
    error = kind(number, f"{text} {SECRET}")
    error.databases = databases
    return errors.explain(error, app or App())


@pytest.mark.parametrize(("number", "text", "code", "cause", "cure"), [
    (1205, "Lock wait timeout exceeded", 409, "waited in vain for a lock", "SHOW PROCESSLIST"),
    (1213, "Deadlock found", 503, "deadlock", "Try again"),
    (1020, "Record has changed since last read in table 't'", 503, "took the whole transaction back", "Try again"),
    (1040, "Too many connections", 503, "no connection left", "max_connections"),
    (1203, "max_user_connections", 503, "no connection left", "max_connections"),
    (1226, "max_user_connections resource", 503, "no connection left", "max_connections"),
    (1290, "running with the --read-only option", 409, "is read-only", "change its source"),
    (1290, "running with the --skip-grant-tables option", 409, "refused the command", "log"),
    (1836, "Running in read-only mode", 409, "is read-only", "change its source"),
    (1792, "Cannot execute statement in a READ ONLY transaction", 409, "is read-only", "change its source"),
    (1021, "Disk full", 409, "volume of the database server is full", "Resize the volume"),
    (1114, "The table is full", 409, "volume of the database server is full", "Resize the volume"),
    (1030, "Got error 28 from storage engine", 409, "volume of the database server is full", "Resize the volume"),
    (1030, "Got error 168 from storage engine", 409, "refused the command", "log"),
    (3, "Error writing file (Errcode: 28)", 409, "volume of the database server is full", "Resize the volume"),
    (1044, "Access denied", 503, "os_admin", "by itself"),
    (1045, "Access denied", 503, "os_admin", "by itself"),
    (1142, "command denied", 503, "os_admin", "by itself"),
    (1227, "you need SUPER", 503, "os_admin", "by itself"),
    (4151, "account has been locked", 503, "os_admin", "by itself"),
    (3118, "account is locked", 503, "os_admin", "by itself"),
    (2002, "Can't connect", 503, "was lost or was not made", "restart"),
    (2003, "Can't connect", 503, "was lost or was not made", "restart"),
    (2006, "gone away", 503, "was lost or was not made", "restart"),
    (2013, "Lost connection", 503, "was lost or was not made", "restart"),
    (1053, "Server shutdown in progress", 503, "was lost or was not made", "restart"),
    (1927, "Connection was killed", 503, "was lost or was not made", "restart"),
    (1317, "Query execution was interrupted", 503, "somebody ended the command", "Try again"),
    (1969, "max_statement_time exceeded", 503, "in time", "less to do"),
    (3024, "maximum statement execution time", 503, "in time", "less to do"),
    (1041, "Out of memory", 503, "no memory left", "flavor"),
    (1049, "Unknown database", 404, "does not exist", "List the databases"),
    (1008, "Can't drop database", 404, "does not exist", "List the databases"),
    (1141, "no such grant", 404, "does not exist", "List the users"),
    (1007, "Can't create database", 409, "exists already", "another name"),
    (1396, "Operation CREATE USER failed", 409, "exists already, or does not exist", "List the users"),
    (1819, "password does not satisfy", 400, "rules of the database server for passwords", "another password"),
    (3638, "password history", 400, "rules of the database server for passwords", "another password"),
    (1470, "too long for user name", 400, "does not take this name", "shorter"),
    (1115, "Unknown character set", 400, "character set or collation", "leave them out"),
    (1273, "Unknown collation", 400, "character set or collation", "leave them out"),
    (1231, "can't be set to the value of", 400, "does not take this value", "its value"),
    (9999, "something new", 409, "refused the command", "log"),
])
def test_each_error_has_a_cause_a_cure_and_a_code(number, text, code, cause, cure):
    found = explained(number, text)
    said = str(found).lower()
    assert (found.code, cause in said, cure.lower() in said) == (code, True, True), said
    assert f"(error {number})" in str(found)
    assert SECRET not in str(found) and str(found)[0].isupper() and str(found).endswith(".")


def test_no_number_stands_in_two_places():
    numbers = [number for cause in errors.CAUSES for number in cause.numbers]
    assert len(numbers) == len(set(numbers))


def test_errors_without_a_number_and_those_that_are_none_of_the_servers():
    assert explained(0, kind=pymysql.err.InterfaceError).code == 503
    assert errors.explain(pymysql.err.MySQLError(), None).code == 503
    assert errors.explain(exception.BadValue(field="a", reason="b"), None) is None
    assert errors.explain(KeyError("a"), None) is None


def test_what_passes_says_when_to_come_back():
    answer = wsgi.error_response(explained(1040))
    assert (answer.status_int, answer.headers["Retry-After"]) == (503, "30")
    assert "Retry-After" not in wsgi.error_response(explained(1007)).headers


MARIADB_HELD = [
    (5, "MDL_SHARED_READ", "shop", "t", "app", "10.0.0.4:3000", "Sleep", 900, None),
    (7, "MDL_BACKUP_DDL", "", "", "app", "10.0.0.5:4000", "Sleep", 35, None),
    (7, "MDL_SHARED_NO_READ_WRITE", "shop", "film", "app", "10.0.0.5:4000", "Sleep", 35, None),
    (8, "MDL_EXCLUSIVE", "other", "u", "os_admin", "127.0.0.1:1", "Query", 3, "SELECT 1")]


@pytest.mark.parametrize(("arguments", "databases", "said"), [
    ((dialect.MARIADB, MARIADB_HELD), (), "Session 7 of 'app'@'10.0.0.5' holds a lock on the table shop.film by LOCK "
     "TABLES ... WRITE; it has been idle for 35 s. 1 more sessions hold locks."),
    ((dialect.MARIADB, MARIADB_HELD), ("shop",), "Session 7 "),
    ((dialect.MARIADB, MARIADB_HELD[:1]), ("shop",),
     "Session 5 of 'app'@'10.0.0.4' holds a lock on the table shop.t by "
     "an open transaction that has read; it has been idle for 900 s. Let"),
    ((dialect.MARIADB, MARIADB_HELD), ("nobodys",), "does not tell which session"),
    ((dialect.MARIADB, [(9, "MDL_BACKUP_FTWRL2", "", "", "dump", "h", "Sleep", 2, None)]), ("shop",),
     "Session 9 of 'dump'@'h' holds a lock on the server by FLUSH TABLES WITH READ LOCK or a backup"),
    ((dialect.MYSQL, [(4, "EXCLUSIVE", "shop", "t", "app", "h", "Query", 8, f"/* {SECRET} */ ALTER TABLE t")]),
     (), "it has been executing a statement for 8 s"),
    ((dialect.MYSQL, [(4, "EXCLUSIVE", "shop", "t", "app", "h", "Query", 8, f"alter table t comment '{SECRET}'")]),
     (), "it has been executing ALTER for 8 s"),
    ((dialect.MYSQL, [], [(6, "TRANSACTION", None, None, "app", "h:1", "Sleep", 60, None)]), (),
     "Session 6 of 'app'@'h' holds a lock on the server by an open transaction; it has been idle for 60 s."),
    ((), (), "does not tell which session"),
])
def test_a_lock_names_who_holds_it_and_no_data(arguments, databases, said):
    found = explained(1205, app=App(*arguments), databases=databases)
    assert said in str(found)
    assert SECRET not in str(found) and found.code == 409
    if "Session" in said:
        assert f"KILL {said.split()[1]} as root" in str(found)


def test_a_server_that_shows_no_locks_shows_transactions():
    app = App(dialect.MYSQL, MARIADB_HELD, [(6, "TRANSACTION", None, None, "app", "h:1", "Sleep", 60, None)],
              visible=False)
    assert "Session 6 " in str(explained(1205, app=app))


@pytest.mark.parametrize(("said", "text", "code"), [
    ("line 1\nmariadb-backup: Error writing file (Errcode: 28 \"No space left on device\")", "volume of the", 409),
    ("mysqldump: Got error: 1045: \"Access denied for user 'os_admin'\"", "os_admin", 503),
    ("ERROR 1049 (42000): Unknown database 'x'", "does not exist (error 1049)", 404),
    ("Failed to connect to MySQL server: Too many connections.", "no connection left", 503),
    ("Job for mariadb.service failed because the control process exited with error code.\n"
     "See \"systemctl status mariadb.service\" and \"journalctl -xeu mariadb.service\" for details.\n",
     "Job for mariadb.service failed because the control process exited", 409),
    ("a\nTraceback: b\n\n  the last line.\n", "The program mysqldump failed (code 2): the last line.", 409),
    ("", "The program mysqldump failed (code 2): it said nothing.", 409)])
def test_programs_say_one_sentence(said, text, code):
    found = errors.explain(ProcessError(command="/usr/bin/mysqldump", code="code 2", stderr=said), App())
    assert text in str(found) and found.code == code
    assert "\n" not in str(found)


@pytest.mark.parametrize(("number", "text", "said"), [
    (0, "", None), (None, None, None),
    (1062, f"Could not execute Write_rows_v1 event on table shop.t; Duplicate entry '{SECRET}' for key", (
        "the source inserted a row that the replica has already (table shop.t), error 1062")),
    (1236, "Got fatal error 1236", "the source has no longer the part of its log that the replica needs, error 1236"),
    (1114, "The table is full", "the volume of the database server is full, error 1114"),
    (12345, SECRET, "the database server refused the command, error 12345")])
def test_what_stopped_a_replica(number, text, said):
    assert errors.stopped_by(number, text) == said


@pytest.mark.parametrize(("number", "said"), [
    (1193, "the server does not know this parameter"), (1238, "the server takes it only when it starts"),
    (1231, "the server does not take this value"),
    (1205, "the database server waited in vain for a lock (error 1205)")])
def test_why_a_value_was_not_taken(number, said):
    assert errors.reason(pymysql.err.OperationalError(number, SECRET)) == said
