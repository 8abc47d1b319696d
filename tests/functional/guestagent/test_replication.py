"""Sources and replicas: real servers that follow each other over TCP, driven by the agent's own code."""
import contextlib
import shutil
import threading
import time

import pymysql
import pytest

from tests.functional.guestagent.conftest import end, make_guest
from tests.functional.guestagent.test_backup import FULL, Machine
from tests.guests import PASSWORD, Backups
from tests.waiting import wait_until
from trove.common import exception, utils

pytestmark = pytest.mark.slow
# A clone (MySQL) does not tell the position in its source's log: nothing can follow it by position.
_BINLOG = ("mariadb", "binlog")
each_way = pytest.mark.parametrize(
    ("tested", "by"), [("mariadb", "gtid"), _BINLOG, ("mysql", "gtid")], indirect=True, scope="session")
# The contract has it for the default strategies.
by_binlog = pytest.mark.parametrize(("tested", "by"), [_BINLOG], indirect=True, scope="session")

BINLOG = ("MysqlBinlogReplication", "trove.guestagent.strategies.replication.mysql_binlog")


class Node(Machine):
    """A guest with its agent whose server others reach."""

    def __init__(self, conf, guest, name):
        super().__init__(conf, guest)
        self.name, guest.name = name, name
        text = guest.config_contents().replace("skip_networking", "bind_address = 127.0.0.1")
        self.contents = text.replace("port = 3306", f"port = {self.port}").replace(
            f"server_id = {utils.stable_server_id('i-1')}", f"server_id = {utils.stable_server_id(name)}")

    @property
    def port(self):
        """Where others reach the server."""
        return self.guest.port

    def config(self, role):
        """The settings of a role."""
        return self.role(role)

    def values(self):
        return [row[0] for row in self.sql("SELECT v FROM t ORDER BY n")]


@pytest.fixture(scope="session")
def by(request):
    """By what a replica finds its place in its source's log."""
    return request.param


@pytest.fixture
def nodes(by, conf, direct, reports, tested, packaged_data, container):
    """Makes guests; all servers are ended and all files removed at the end."""
    if by == "binlog":
        conf.set_override("replication_strategy", BINLOG[0], group=tested.datastore)
        conf.set_override("replication_namespace", BINLOG[1], group=tested.datastore)
    made = []

    def make(name):
        guest = make_guest(tested)
        conf.set_override("guest_id", "i-1")
        conf.set_override("guest_key", "the key of this guest only")
        guest.layout.template.symlink_to(packaged_data)
        made.append(Node(conf, guest, name))
        return made[-1]
    yield make
    for node in made:
        node.enter()
        end(node.manager.app)
        shutil.rmtree(node.guest.root)


@pytest.fixture
def pair(nodes, reports):
    """A source, and two replicas that were made of one snapshot of it."""
    source, first, second = nodes("a"), nodes("b"), nodes("c")
    source.prepare(config_contents=source.contents)
    source.sql("CREATE TABLE t (n INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) ENGINE=InnoDB",
               "INSERT INTO t (v) VALUES ('before')")
    snapshot = source.call("get_replication_snapshot", {"accounts": [first.account, second.account]},
                           source.config("replica_source"))
    assert snapshot["dataset"]["dataset_size"] > 0
    source.sql("INSERT INTO t (v) VALUES ('logged')")
    taken = Backups(reports).take(source, FULL[source.guest.engine][0])
    source.sql("INSERT INTO t (v) VALUES ('after')")
    for replica in (first, second):
        info = source.info(replica)
        replica.prepare(databases=[], users=[], config_contents=replica.contents,
                        backup_info={"id": taken["id"], "type": taken["type"], "chain": [taken]},
                        snapshot={**info, "config": replica.config("replica")})
        assert reports.statuses[-1] == "running", reports.causes
    return source, first, second


def caught_up(source, *replicas):
    txn = source.call("get_latest_txn_id")
    for replica in replicas:
        assert replica.call("wait_for_txn", txn) is True


@by_binlog
def test_replicas_of_one_snapshot_follow_and_refuse_writes(pair):
    source, *replicas = pair
    caught_up(source, *replicas)
    for replica in replicas:
        assert replica.values() == ["before", "logged", "after"]
        context = replica.call("get_replica_context")
        assert (context["running"], context["lag"], context["error"]) == (True, 0, None)
        with pytest.raises(pymysql.err.OperationalError, match="read-only"):
            replica.sql("INSERT INTO t (v) VALUES ('wrong')")
        replica.call("restart")
        with pytest.raises(pymysql.err.OperationalError, match="read-only"):
            replica.sql("INSERT INTO t (v) VALUES ('wrong')")
    assert source.call("get_replica_context")["running"] is False
    source.sql("INSERT INTO t (v) VALUES ('later')")
    caught_up(source, *replicas)
    assert replicas[1].values()[-1] == "later"


@each_way
def test_not_even_root_writes_to_a_replica(pair):
    source, first, _ = pair
    root = source.call("enable_root_with_password", "the password of root")
    caught_up(source, first)
    connection = pymysql.connect(host="127.0.0.1", port=first.port, user="root", password=root["_password"],
                                 autocommit=True)
    with connection, connection.cursor() as cursor:
        # MySQL has no privilege for this alone: there root can open a replica, if that is what it wants.
        more = ("SET GLOBAL read_only = 0",) if first.guest.engine == "mariadb" else ()
        for statement in ("CREATE DATABASE mine", *more):
            with pytest.raises(pymysql.err.OperationalError):
                cursor.execute(statement)


@by_binlog
def test_a_backup_of_a_replica_becomes_an_instance_that_follows_nobody(pair, nodes, reports):
    source, first, _ = pair
    caught_up(source, first)
    taken = Backups(reports).take(first, FULL[first.guest.engine][0])
    alone = nodes("d")
    alone.prepare(databases=[], users=[], config_contents=alone.contents,
                  backup_info={"id": taken["id"], "type": taken["type"], "chain": [taken]})
    assert reports.statuses[-1] == "running", reports.causes
    alone.call("restart")
    assert alone.call("get_replica_context")["error"] == "it follows nobody"
    source.sql("INSERT INTO t (v) VALUES ('not for it')")
    caught_up(source, first)
    alone.sql("INSERT INTO t (v) VALUES ('its own')")
    assert "not for it" not in alone.values()


@each_way
def test_accounts_are_hidden_and_go_with_the_replica(pair):
    source, first, second = pair
    assert [user["_name"] for user in source.call("list_users")[0]] == ["u1"]
    first.call("detach_replica")
    first.sql("INSERT INTO t (v) VALUES ('its own')")
    source.call("cleanup_source_on_replica_detach", {"user": first.account["user"]})
    with pytest.raises(exception.TroveError, match=r"[Aa]ccess denied"):
        first.follow(source)
    first.call("detach_replica")
    source.sql("INSERT INTO t (v) VALUES ('not for it')")
    caught_up(source, second)
    assert "not for it" not in first.values()
    assert first.call("get_replica_context")["error"] == "it follows nobody"
    assert first.manager._replication_health() == (True, None)


@each_way
def test_a_replica_that_is_told_to_follow_once_more_goes_on_where_it_is(pair):
    source, first, _ = pair
    caught_up(source, first)
    source.sql("INSERT INTO t (v) VALUES ('later')")
    first.call("attach_replica", {**source.info(first), "log_position": None}, first.config("replica"))
    caught_up(source, first)
    assert first.values() == source.values()


@by_binlog
def test_heartbeats_of_replicas_tell_how_they_do(pair, reports):
    source, first, _ = pair
    first.enter()
    first.manager.update_status()
    assert reports.payloads[-1]["replication"] == {"running": True, "lag": 0, "error": None}
    source.enter()
    source.manager.update_status()
    assert "replication" not in reports.payloads[-1]


@each_way
def test_what_replicas_have_of_a_dead_source_can_be_compared_after_a_restart_of_one(pair):
    source, first, second = pair
    caught_up(source, first, second)
    source.call("stop_db")
    before = first.call("get_last_txn")
    first.call("restart")
    after = first.call("get_last_txn")
    assert after["source"] in ("", before["source"])
    assert after["count"] == before["count"]
    assert second.call("wait_for_txn", after["txn"]) is True
    assert second.call("get_last_txn") == before


class Writer(threading.Thread):
    """Writes to whichever node takes it and remembers what was acknowledged."""

    def __init__(self, *nodes):
        super().__init__()
        self.nodes, self.acknowledged, self.ending = nodes, [], threading.Event()

    def run(self):
        number = 0
        while not self.ending.is_set():
            for node in self.nodes:
                with contextlib.suppress(pymysql.err.MySQLError):
                    connection = pymysql.connect(unix_socket=str(node.guest.layout.socket), user="u1",
                                                 password=PASSWORD, database="db1", autocommit=True)
                    with connection, connection.cursor() as cursor:
                        while not self.ending.is_set():
                            number += 1
                            cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"w{number}",))
                            self.acknowledged.append(f"w{number}")
                            time.sleep(0.003)


@by_binlog
def test_a_switchover_loses_no_acknowledged_write(pair):
    source, first, second = pair
    writer = Writer(source, first)
    writer.start()
    try:
        wait_until(lambda: len(writer.acknowledged) >= 50)
        source.call("make_read_only", True)
        txn = source.call("get_latest_txn_id")
        assert first.call("wait_for_txn", txn)
        assert second.call("wait_for_txn", txn)
        first.call("detach_replica", True)
        first.sources(source, second)
        # Where the others begin must be known before anything is written.
        position = first.call("get_replica_context")["log_position"]
        first.call("make_read_only", False)
        source.call("demote_replication_master")
        before = len(writer.acknowledged)
        for replica in (second, source):
            replica.follow(first, log_position=position)
        wait_until(lambda: len(writer.acknowledged) >= before + 50)
    finally:
        writer.ending.set()
        writer.join()
    caught_up(first, second, source)
    for node in pair:
        written = [value for value in node.values() if value.startswith("w")]
        assert set(writer.acknowledged) <= set(written)
    # And back again, the other way round: nothing has been left behind that would be in the way.
    first.call("make_read_only", True)
    caught_up(first, source, second)
    source.call("detach_replica", True)
    source.sources(first, second)
    position = source.call("get_replica_context")["log_position"]
    source.call("make_read_only", False)
    first.call("demote_replication_master")
    for replica in (second, first):
        replica.follow(source, log_position=position)
    source.sql("INSERT INTO t (v) VALUES ('home')")
    caught_up(source, first, second)
    assert first.values()[-1] == second.values()[-1] == "home"


@by_binlog
def test_the_best_replica_of_a_dead_source(pair):
    source, first, second = pair
    caught_up(source, first, second)
    second.enter()
    with second.manager.app.session() as session:
        session.execute(f"STOP {second.manager.replication.words.replica}")
    source.sql("INSERT INTO t (v) VALUES ('only the first has it')")
    caught_up(source, first)
    source.enter()
    source.manager.app.stop()
    said = {node.name: node.call("get_last_txn") for node in (first, second)}
    assert said["b"]["source"] == said["c"]["source"]
    assert said["b"]["count"] > said["c"]["count"]
    assert first.call("wait_for_txn", said["b"]["txn"])


@each_way
def test_an_open_transaction_does_not_hold_up_a_source_that_becomes_read_only(pair):
    source = pair[0]
    connection = pymysql.connect(unix_socket=str(source.guest.layout.socket), user="u1", password=PASSWORD,
                                 database="db1")
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO t (v) VALUES ('never committed')")
        source.call("make_read_only", True)
        with pytest.raises(pymysql.err.MySQLError):
            connection.commit()
    source.call("make_read_only", False)
    assert "never committed" not in source.values()


@by_binlog
def test_attaching_to_a_source_that_is_not_there(pair, conf):
    source, first, _ = pair
    info = source.info(first)
    source.enter()
    source.manager.app.stop()
    conf.set_override("agent_call_high_timeout", 2)
    with pytest.raises(exception.TroveError, match="does not follow its source"):
        first.call("attach_replica", info, first.config("replica"))
    first.call("attach_replica", {**info, "must_connect": False}, first.config("replica"))


@each_way
def test_damage_to_the_agent_s_account_comes_to_replicas_and_its_repair_stays_at_home(pair, reports):
    source, first, second = pair
    caught_up(source, first, second)
    for node in pair:
        node.enter()
        node.manager.update_status()
        assert node.manager.app.access.whole
    source.enter()
    with source.manager.app.session() as session:  # as the tenant's root: logged
        for host in ("localhost", "127.0.0.1"):
            session.execute("DROP USER %s@%s", ("os_admin", host))
    logged = "SELECT @@GLOBAL." + ("gtid_binlog_pos" if source.guest.engine == "mariadb" else "gtid_executed")
    before = source.sql(logged)
    source.manager.update_status()
    assert source.manager.app.access.is_whole()
    assert source.sql(logged) == before, "what repairs is not logged"
    for node in (first, second):
        node.enter()
        wait_until(lambda node=node: not node.manager.app.access.is_whole(), pause=0.2)
        node.manager.update_status()
        assert reports.payloads[-1]["facts"]["repairs"] == 1
        assert node.manager.app.access.is_whole()
    source.sql("INSERT INTO t (v) VALUES ('afterwards')")
    caught_up(source, first, second)
    for node in (first, second):
        assert node.values()[-1] == "afterwards"
        node.manager.update_status()
        assert reports.payloads[-1]["replication"]["running"]
        with pytest.raises(pymysql.err.MySQLError, match="read.only"):
            node.sql("INSERT INTO t (v) VALUES ('here')")


@each_way
def test_a_replica_tells_that_it_was_stopped_and_that_it_follows_nobody(pair, reports):
    _, replica, _ = pair
    word = "SLAVE" if replica.guest.engine == "mariadb" else "REPLICA"

    def told(*statements):
        replica.enter()
        with replica.manager.app.session() as session:
            for statement in statements:
                session.execute(statement)
        replica.manager.update_status()
        payload = reports.payloads[-1]
        return payload["facts"]["follows"], payload.get("replication", {}).get("running")
    assert told(f"STOP {word}") == (True, False)
    assert told(f"STOP {word}", f"RESET {word} ALL") == (False, None)


@each_way
def test_events_run_at_the_source_only_and_those_that_were_off_stay_off(pair):
    source, first, second = pair

    def events(node):
        return {event["name"]: event["state"] for event in node.call("list_events")}
    source.enter()
    with source.manager.app.session() as session:  # as the tenant's root: logged
        session.execute("CREATE USER 'planner'@'%%' IDENTIFIED BY 'Sd93-fkLw02'", ())
        for name, state in (("runs", "ENABLE"), ("re`sts", "DISABLE")):
            session.execute(f"CREATE DEFINER = 'planner'@'%%' EVENT {{}}.{{}} ON SCHEDULE EVERY 1 HOUR {state} DO "
                            "INSERT INTO t (v) VALUES ('planned')", (), ("db1", name))
    caught_up(source, first, second)
    assert events(source) == {"runs": "enabled", "re`sts": "disabled"}
    off = {"runs": "replica", "re`sts": "replica"}
    assert events(first) == events(second) == off
    ran = [event for event in source.call("list_events") if event["state"] == "enabled"]
    source.call("make_read_only", True)
    for _ in range(2):  # each command may come twice
        source.call("switch_events", ran, False)
    caught_up(source, first, second)
    assert events(source) == {"runs": "replica", "re`sts": "disabled"}
    first.call("detach_replica", True)
    first.sources(source, second)
    position, before = first.call("get_replica_context")["log_position"], first.call("get_latest_txn_id")
    first.call("make_read_only", False)
    for _ in range(2):
        first.call("switch_events", ran, True)
    assert events(first) == {"runs": "enabled", "re`sts": "replica"}
    assert first.call("get_latest_txn_id") == before  # replicas do not get it
    first.enter()
    with first.manager.app.session() as session:
        definers = session.execute("SELECT DISTINCT DEFINER FROM information_schema.EVENTS")
    assert [tuple(row) for row in definers] == [("planner@%",)]
    for replica in (source, second):
        if replica is source:
            source.call("demote_replication_master")
        replica.follow(first, log_position=position)
    first.sql("INSERT INTO t (v) VALUES ('later')")
    caught_up(first, source, second)
    assert "enabled" not in {**events(source), **events(second)}.values()
