"""One application, run before and after each thing that management does to its server: it may do the same."""
import pymysql
import pytest

from tests.functional.guestagent.test_backup import FULL
from tests.functional.guestagent.test_replication import by, caught_up, nodes  # noqa: F401
from tests.guests import PASSWORD, Backups

pytestmark = [pytest.mark.slow, pytest.mark.parametrize(
    ("tested", "by"), [("mariadb", "gtid"), ("mysql", "gtid")], indirect=True, scope="session")]

# Of an ordinary user of one database, without any word that would make them easier to replicate.
APPLICATION = (
    "CREATE TABLE app (n INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200), made TIMESTAMP NULL)",
    "CREATE FUNCTION twice(x INT) RETURNS INT RETURN 2 * x",
    "CREATE DEFINER = 'u1'@'%' FUNCTION moment() RETURNS CHAR(36) RETURN UUID()",
    "CREATE DEFINER = 'u1'@'%' TRIGGER stamp BEFORE INSERT ON app FOR EACH ROW SET NEW.made = NOW(), NEW.v = twice(21)",
    "CREATE PROCEDURE fill() MODIFIES SQL DATA INSERT INTO app (v) VALUES (moment())",
    "CREATE DEFINER = 'u1'@'%' SQL SECURITY DEFINER VIEW seen AS SELECT v FROM app",
    "CREATE EVENT later ON SCHEDULE EVERY 1 DAY STARTS NOW() + INTERVAL 1 DAY DO CALL fill()",
    "CALL fill()",
    "SELECT v FROM seen",
    "CREATE TEMPORARY TABLE held SELECT n, v FROM app",
    "INSERT INTO app (v) SELECT v FROM held LIMIT 1",
    "CREATE TABLE copied AS SELECT v FROM app",
    "ALTER TABLE copied ADD COLUMN more INT, ADD INDEX (v)",
    "SELECT COUNT(*) FROM copied",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "UPDATE app SET v = 'x' LIMIT 1",
    "DROP TEMPORARY TABLE held",
    "DROP TABLE copied",
    "DROP EVENT later",
    "DROP VIEW seen",
    "DROP PROCEDURE fill",
    "DROP TRIGGER stamp",
    "DROP FUNCTION moment",
    "DROP FUNCTION twice",
    "DROP TABLE app",
    "SET GLOBAL max_connections = 10",
)


def run(node):
    """What the application saw: {statement: its rows, or the number of its error}."""
    seen = {}
    connection = pymysql.connect(unix_socket=str(node.guest.layout.socket), user="u1", password=PASSWORD,
                                 database="db1", charset="utf8mb4", autocommit=True)
    with connection, connection.cursor() as cursor:
        for statement in APPLICATION:
            try:
                cursor.execute(statement)
                seen[statement] = cursor.fetchall()
            except pymysql.err.MySQLError as error:
                seen[statement] = error.args[0]
    return seen


def attach(node, values):
    """Attach a configuration group, with a restart."""
    node.call("update_overrides", values, not values)
    node.call("restart")


def test_the_same_before_and_after_everything(nodes, reports):  # noqa: F811
    source, replica = nodes("a"), nodes("b")
    source.prepare(config_contents=source.contents)
    before = run(source)
    denied = "SET GLOBAL max_connections = 10"
    assert {statement: seen for statement, seen in before.items() if isinstance(seen, int)} == {denied: 1227}
    full = FULL[source.guest.engine][0]

    for name, act in (
            ("restart", lambda: source.call("restart")),
            ("backup", lambda: Backups(reports).take(source, full)),
            ("root enabled", lambda: source.call("enable_root_with_password", "the password of root")),
            ("root disabled", lambda: source.call("disable_root")),
            ("group attached", lambda: attach(source, {"max_connections": 70})),
            ("group detached", lambda: attach(source, {})),
            ("resized", lambda: source.call("start_db_with_conf_changes", source.contents)),
            ("first replica", lambda: source.call("get_replication_snapshot", {"accounts": [replica.account]},
                                                  source.config("replica_source"))),
            ("restart as a source", lambda: source.call("restart")),
            ("resized as a source", lambda: source.call("start_db_with_conf_changes", source.contents)),
            ("group attached to a source", lambda: attach(source, {"max_connections": 70})),
            ("group detached from a source", lambda: attach(source, {}))):
        act()
        assert run(source) == before, name

    taken = Backups(reports).take(source, full)
    info = {"id": taken["id"], "type": taken["type"], "chain": [taken]}
    replica.prepare(databases=[], users=[], config_contents=replica.contents, backup_info=info,
                    snapshot={**source.info(replica), "config": replica.config("replica")})
    assert reports.statuses[-1] == "running", reports.causes
    # Promoted, the other way round.
    source.call("make_read_only", True)
    caught_up(source, replica)
    replica.call("detach_replica", True)
    replica.sources(source)
    replica.call("make_read_only", False)
    source.call("demote_replication_master")
    source.follow(replica)
    assert run(replica) == before
    caught_up(replica, source)
    source.call("detach_replica")
    assert run(source) == before
    restored = nodes("c")
    restored.prepare(databases=[], users=[], config_contents=restored.contents, backup_info=info)
    assert run(restored) == before


def test_an_instance_of_an_earlier_release_that_becomes_a_source(nodes):  # noqa: F811
    source, replica = nodes("a"), nodes("b")
    source.prepare(config_contents="".join(line for line in source.contents.splitlines(keepends=True)
                                           if "log_bin_trust_function_creators" not in line))
    before = run(source)
    source.call("get_replication_snapshot", {"accounts": [replica.account]}, source.config("replica_source"))
    assert run(source) == before
    attach(source, {"log_bin_trust_function_creators": False})  # what a user wants to be strict is
    assert run(source)["CREATE FUNCTION twice(x INT) RETURNS INT RETURN 2 * x"] in (1418, 1419)
