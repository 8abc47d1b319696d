"""Backups and replication of real PostgreSQL servers, driven by the agent's own code in directories of its own."""
import os
import signal
import time

import pytest

from tests import guests
from tests.engines.postgresql import engines
from tests.waiting import wait_until
from trove.backup import archive_store
from trove.common import exception
from trove.db import models as db_models
from trove.guestagent.common.operating_system import ProcessError
from trove.guestagent.datastore.experimental.postgresql import sql, standby, wal

pytestmark = pytest.mark.slow
FULL, INCREMENT = "PgBaseBackup", "PgBaseBackupIncremental"


class Node(guests.Machine):
    """A guest with its agent, without a tenant."""

    def prepare(self, **more):
        """See the base."""
        super().prepare(**{"databases": [], "users": [], **more})

    def sql(self, *statements, database="postgres"):
        """The answer to the last statement."""
        self.enter()
        with self.app.session(database=database) as session:
            for statement in ("SET search_path = public, pg_catalog", *statements):
                rows = session.execute(statement)
        return [tuple(row) for row in rows]

    def end_server(self):
        """Kill the server."""
        self.enter()
        self.guest.tested.kill(self.app)

    def values(self):
        """The rows of the table t in their order."""
        return [row[0] for row in self.sql("SELECT v FROM t ORDER BY n")]

    def restore(self, *chain, **more):
        """Prepare with the data of a chain of backups."""
        self.prepare(backup_info=guests.backup_info(*chain), **more)


@pytest.fixture(scope="module")
def tested():
    """The Engine of the version that is installed here."""
    tested = engines()[0]
    with tested.programs():
        yield tested


@pytest.fixture(scope="module")
def packaged(tested):
    """A data directory as an image has it."""
    with guests.packaged(tested) as template:
        yield template


@pytest.fixture
def nodes(conf, direct, reports, container, tested, packaged):
    """Makes guests; all servers are ended and all files removed at the end."""
    made = []

    def make(name="a"):
        guest = guests.make(tested, name)
        guest.layout.template.symlink_to(packaged)
        made.append(Node(conf, guest))
        return made[-1]
    yield make
    for node in made:
        node.end()


@pytest.fixture
def backups(reports, container):
    """Takes backups as the control plane lets them be taken."""
    return guests.Backups(reports)


@pytest.fixture
def source(nodes):
    node = nodes()
    node.prepare()
    node.sql("CREATE TABLE t (n INT PRIMARY KEY GENERATED ALWAYS AS IDENTITY, v TEXT)",
             "INSERT INTO t (v) VALUES ('one'), ('two')")
    return node


def slots(node):
    """The slots of replicas and of backups that are being taken."""
    return sorted(row[0] for row in node.sql("SELECT slot_name FROM pg_replication_slots "
                                             "WHERE slot_name <> 'trove_increments'"))


def test_a_chain_of_increments(source, nodes, backups, reports):
    if source.app.version < 17:
        source.sql("ALTER SYSTEM SET work_mem = '77MB'")
    chain = [backups.take(source, FULL)]
    assert reports.backups[-1]["state"] == "SAVING", reports.backups
    for number in range(2):
        source.sql(f"INSERT INTO t (v) VALUES ('increment {number}')")
        chain.append(backups.take(source, INCREMENT, chain[-1]))
        assert reports.backups[-1]["state"] == "SAVING", reports.backups
    source.sql("INSERT INTO t (v) VALUES ('later')")
    assert slots(source) == []
    target = nodes("b")
    target.restore(*chain)
    assert reports.statuses[-1] == "running", reports.causes
    assert target.values() == ["one", "two", "increment 0", "increment 1"]
    assert slots(target) == []
    assert target.sql("SHOW work_mem") != [("77MB",)]
    assert target.sql("SELECT pg_is_in_recovery()") == [(False,)]
    target.sql("INSERT INTO t (v) VALUES ('its own')")


def test_the_servers_user_cannot_touch_what_the_agent_keeps_on_the_volume(source, backups):
    backups.take(source, FULL)
    parents, app = source.app.layout.mount_point / "parents", source.app
    if app.version < 17:
        assert parents.exists()
    for argv in (("mv", parents, f"{parents}.old"), ("ln", "-s", "/etc", app.layout.mount_point / "linked"),
                 ("mv", app.layout.data, f"{app.layout.data}.old")):
        with pytest.raises(ProcessError, match="Permission denied"):
            app.run_as_server(*argv)


def test_the_owner_of_a_database_does_not_shut_the_agent_out(source):
    source.sql("ALTER DATABASE template1 SET idle_session_timeout = '1ms'")
    source.enter()
    with source.app.session(database="template1") as session:
        time.sleep(0.1)
        assert session.execute("SHOW idle_session_timeout") == [["0"]]


def test_what_cannot_be_an_increment_is_refused_by_name(source, nodes, backups, reports):
    full = backups.take(source, FULL)
    other = nodes("b")
    other.restore(full)
    refused = backups.take(other, INCREMENT, full)
    assert "not taken of this server" in refused["note"]
    if source.app.version >= 17:
        return
    # The log since the parent is gone.
    source.sql("SELECT pg_drop_replication_slot('trove_increments')")
    for _ in range(3):
        source.sql("INSERT INTO t (v) VALUES ('x')", "SELECT pg_switch_wal()", "CHECKPOINT")
    refused = backups.take(source, INCREMENT, full)
    assert "is gone" in refused["note"] and "Take a full backup" in refused["note"]
    assert slots(source) == []


def test_a_chain_that_does_not_fit_is_an_error(source, nodes, backups, reports):
    full = backups.take(source, FULL)
    chain = [full]
    for number in range(2):
        source.sql(f"INSERT INTO t (v) VALUES ('{number}')")
        chain.append(backups.take(source, INCREMENT, chain[-1]))
    target = nodes("b")
    with pytest.raises(exception.TroveError, match="does not follow the backup before it"):
        target.restore(full, chain[2])
    assert reports.statuses[-1] == "failed to spawn", reports.statuses
    assert not (target.guest.layout.data).exists()
    # Prepare comes again, with what is right.
    target.restore(*chain)
    assert target.values() == ["one", "two", "0", "1"]


def test_a_dump_keeps_verifiers_and_leaves_the_own_account_alone(source, nodes, backups, reports):
    source.sql("CREATE ROLE u1 LOGIN PASSWORD 'it''s a secret'", "CREATE DATABASE \"d ' 1\" OWNER u1",
               "CREATE ROLE os_replica_0123 LOGIN REPLICATION")
    source.sql("CREATE TABLE notes AS SELECT 'CREATE ROLE os_admin;'::text AS v", database="d ' 1")
    [(verifier,)] = source.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'u1'")
    full = backups.take(source, "PgDump")
    assert reports.backups[-1]["state"] == "SAVING", reports.backups
    target = nodes("b")
    target.restore(full)
    assert reports.statuses[-1] == "running", reports.causes
    assert target.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'u1'") == [(verifier,)]
    assert target.sql("SELECT v FROM notes", database="d ' 1") == [("CREATE ROLE os_admin;",)]
    assert target.sql("SELECT 1 FROM pg_roles WHERE rolname = 'os_replica_0123'") == []
    assert target.values() == ["one", "two"]


def test_what_a_killed_backup_left_is_removed(source, backups, reports):
    source.sql("SELECT pg_create_physical_replication_slot('trove_backup', true)")
    backups.take(source, FULL)
    assert source.sql("SELECT slot_name FROM pg_replication_slots") == [("trove_increments",)]


@pytest.fixture
def pair(source, nodes, backups, reports):
    """A source, and two replicas that were made of one snapshot of it."""
    replicas = [nodes("b"), nodes("c")]
    snapshot = source.call("get_replication_snapshot", {"accounts": [each.account for each in replicas]},
                           source.role("replica_source"))
    assert snapshot["dataset"]["dataset_size"] > 0
    taken = backups.take(source, FULL)
    source.sql("INSERT INTO t (v) VALUES ('after')")
    for replica in replicas:
        replica.restore(taken, snapshot={**source.info(replica), "config": replica.role("replica")})
        assert reports.statuses[-1] == "running", reports.causes
    return source, *replicas


def caught_up(source, *replicas):
    txn = source.call("get_latest_txn_id")
    for replica in replicas:
        assert replica.call("wait_for_txn", txn) is True


def insert(node, value):
    node.sql(f"INSERT INTO t (v) VALUES ('{value}')")


def assert_refuses_writes(node):
    with pytest.raises(sql.DatabaseError, match="read-only transaction"):
        insert(node, "wrong")


def test_promotion_and_ejection(pair):
    source, first, second = pair
    caught_up(source, first, second)
    for replica in (first, second):
        assert replica.values() == ["one", "two", "after"]
        context = replica.call("get_replica_context")
        assert (context["running"], context["lag"], context["error"]) == (True, 0, None)
        assert_refuses_writes(replica)
    first.call("restart")
    assert_refuses_writes(first)
    assert source.call("get_replica_context")["running"] is False
    # A promotion as the task manager makes it.
    first.sources(second, source)
    insert(source, "acknowledged")
    source.call("make_read_only", True)
    assert_refuses_writes(source)
    txn = source.call("get_latest_txn_id")
    assert first.call("wait_for_txn", txn)
    first.call("detach_replica", True)
    assert_refuses_writes(first)
    first.call("make_read_only", False)
    insert(first, "promoted")
    second.follow(first)
    source.call("demote_replication_master")
    source.follow(first)
    caught_up(first, second, source)
    assert source.values() == second.values() == ["one", "two", "after", "acknowledged", "promoted"]
    assert slots(source) == [] and slots(first) == sorted([second.account["user"], source.account["user"]])
    # The new source is killed; who has received most wins.
    os.kill(int(first.app.service._pid_file.read_text()), signal.SIGKILL)
    answers = [node.call("get_last_txn") for node in (second, source)]
    assert answers[0]["source"] == answers[1]["source"]
    best = max(zip(answers, (second, source), strict=True), key=lambda pair: pair[0]["count"])[1]
    other = source if best is second else second
    wait_until(lambda: best.call("get_replica_context")["error"])
    best.call("detach_replica", True)
    best.sources(other)
    best.call("make_read_only", False)
    insert(best, "ejected")
    other.follow(best)
    caught_up(best, other)
    assert other.values()[-1] == "ejected"
    # An instance of its own.
    other.call("detach_replica", False)
    insert(other, "its own")
    best.call("cleanup_source_on_replica_detach", {"user": other.account["user"]})
    assert slots(best) == [] and slots(other) == []
    assert best.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'os_replica%' AND rolcanlogin") == []


def test_a_promotion_is_taken_back(pair):
    source, first, second = pair
    source.call("make_read_only", True)
    first.call("detach_replica", True)
    first.follow(source, must_connect=False)
    source.call("make_read_only", False)
    insert(source, "goes on")
    caught_up(source, first, second)
    assert first.values()[-1] == second.values()[-1] == "goes on"


def test_a_replica_gets_the_settings_of_its_source_or_tells(pair):
    source, first, _ = pair
    source.enter()
    source.app.configuration.apply_override({"max_connections": 150})
    source.call("restart")
    insert(source, "more")
    wait_until(lambda: first.call("get_replica_context")["error"] == standby.PAUSED)
    with pytest.raises(exception.TroveError, match="Restart the replica"):
        first.call("detach_replica", False)
    first.call("restart")
    first.follow(source)
    caught_up(source, first)
    assert first.sql("SHOW max_connections") == [("150",)]
    assert first.values()[-1] == "more"


def test_a_slot_does_not_fill_the_volume(pair, monkeypatch):
    source, first, _ = pair
    first.enter()
    first.end_server()
    monkeypatch.setattr(wal, "slot_limit_mb", lambda mount_point: 16)
    source.call("restart")
    for _ in range(4):
        source.sql("INSERT INTO t (v) VALUES ('x')", "SELECT pg_switch_wal()", "CHECKPOINT")
    assert source.sql("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'os_replica_b'") == [("lost",)]
    first.enter()
    first.app.start()
    wait_until(lambda: "removed" in (first.call("get_replica_context")["error"] or "") or
               "slot" in (first.call("get_replica_context")["error"] or ""))


class Archive:
    """An archive of the log of a node, as the control plane has it filled."""

    def __init__(self, node):
        self.node, self.id = node, db_models.new_id()
        self.key = "ab" * 32
        archive_store.open_container(self.id)

    def begin(self):
        return self.node.call("begin_archive", {
            "id": self.id, "pieces": 0, "key": self.key,
            "storage": archive_store.signatures(self.id, "PUT", 600)}, FULL)

    def fill(self):
        """Store all that is committed now."""
        self.node.enter()
        archiver = self.node.manager.archiver
        archiver._rotated = float("-inf")
        while archiver.step() and self.node.manager.archiver.strategy.closed(archiver._remembered()["position"]):
            pass

    @property
    def fact(self):
        self.node.enter()
        return self.node.manager.archiver.facts()["archive"]

    def until(self, point, **changes):
        """What prepare gets of it."""
        return {"id": self.id, "key": self.key, "first": 0, "count": self.fact["pieces"], "point": point,
                "storage": archive_store.signatures(self.id, "GET", 600), **changes}


def now(node):
    """The server's time; what is committed later has a later one."""
    [(text,)] = node.sql("SELECT extract(epoch FROM clock_timestamp())::text")
    time.sleep(0.01)
    return float(text)


def restore_until(node, chain, archive):
    node.prepare(backup_info={"id": chain[-1]["id"], "type": chain[-1]["type"], "chain": list(chain),
                              "archive": archive})


def test_a_point_in_time(source, nodes, backups, reports, conf):
    archive = Archive(source)
    early = now(source) - 5
    assert archive.begin() == {"id": archive.id, "next": 0}
    for _ in range(6):  # the backup begins later, and a restore does not ask for these segments
        source.sql("CREATE TABLE o (n INT)", "DROP TABLE o", "SELECT pg_switch_wal()")
    chain = [backups.take(source, FULL)]
    insert(source, "before")
    chain.append(backups.take(source, INCREMENT, chain[-1]))
    insert(source, "kept")
    point = now(source)
    insert(source, "too late")
    for _ in range(6):
        source.sql("INSERT INTO t (v) SELECT repeat('x', 100) FROM generate_series(1, 1000)", "SELECT pg_switch_wal()")
    archive.fill()
    last = now(source)
    archive.fill()
    assert archive.fact["state"] == "on" and archive.fact["covers"] >= last - 1
    target = nodes("b")
    restore_until(target, chain, archive.until(point))
    assert reports.statuses[-1] == "running", reports.causes
    assert target.values() == ["one", "two", "before", "kept"]
    assert target.sql("SELECT pg_is_in_recovery(), pg_walfile_name(pg_current_wal_insert_lsn()) LIKE '00000002%'") == [
        (False, True)]
    insert(target, "its own")
    target.call("restart")
    # Nobody wrote between the end of the log and this time.
    newest = nodes("c")
    restore_until(newest, chain[:1], archive.until(last))
    assert newest.sql("SELECT count(*), max(v) FILTER (WHERE v LIKE 'too%') FROM t") == [(6005, "too late")]
    # A time before the backup; the server would open a later state.
    with pytest.raises(exception.TroveError, match="Restore an older backup"):
        restore_until(nodes("d"), chain, archive.until(early))
    source.enter()
    source.call("renew_archive", archive.id, None)
    assert slots(source) == []


def test_an_archive_ends_with_a_gap_that_is_told(source, conf):
    archive = Archive(source)
    archive.begin()
    archive.fill()
    source.sql("SELECT pg_drop_replication_slot('trove_archive')")
    for _ in range(3):
        source.sql("INSERT INTO t (v) VALUES ('x')", "SELECT pg_switch_wal()", "CHECKPOINT")
    archive.fill()
    assert archive.fact["state"] == "gap"
    assert slots(source) == []


def test_a_backup_of_a_replica_becomes_a_server_of_its_own(pair, nodes, backups, reports):
    source, first, _ = pair
    caught_up(source, first)
    chain = [backups.take(first, FULL)]
    insert(source, "increment")
    caught_up(source, first)
    chain.append(backups.take(first, INCREMENT, chain[-1]))
    assert reports.backups[-1]["state"] == "SAVING", reports.backups
    alone = nodes("d")
    alone.restore(*chain)
    assert reports.statuses[-1] == "running", reports.causes
    alone.call("restart")
    assert alone.call("get_replica_context")["running"] is False
    insert(source, "later")
    insert(alone, "its own")
    assert alone.values() == ["one", "two", "after", "increment", "its own"]
    assert alone.sql("SELECT 1 FROM pg_roles WHERE rolname LIKE 'os_replica%' AND rolcanlogin") == []
    with pytest.raises(exception.TroveError, match="The server is a replica"):
        Archive(first).begin()
    # An account of a replica gets the log of changes, and no session.
    with pytest.raises(sql.DatabaseError, match="reject"):
        source.probe(first.account["user"], first.account["password"], "postgres").hello()
