"""Binary logs of real servers, archived by the agent's own code in minicloud's Swift, and replayed to a second."""
import socket
import time

import pytest

from tests.functional.guestagent.conftest import end
from tests.functional.guestagent.test_backup import (  # noqa: F401 - fixtures
    PASSWORD,
    backups,
    machines,
    source,
)
from tests.waiting import wait_until
from trove.backup import archive_store
from trove.common import exception
from trove.common.context import TroveContext
from trove.db import models as db_models
from trove.guestagent.common.configuration import SYSTEM_GROUP
from trove.guestagent.strategies.archive import mysql_impl

pytestmark = pytest.mark.slow

KEY = "cd" * 32
FULL = {"mariadb": "MariaBackup", "mysql": "MySQLClone"}


class Archive:
    """The archive of a machine, as the control plane and the agent's thread treat it."""

    def __init__(self, machine):
        self.machine, self.id = machine, db_models.new_id()
        archive_store.open_container(self.id)

    @property
    def archiver(self):
        self.machine.enter()
        return self.machine.manager.archiver

    def begin(self):
        return self.machine.manager.begin_archive(TroveContext(), {
            "id": self.id, "pieces": 0, "key": KEY, "storage": archive_store.signatures(self.id, "PUT", 600)},
            FULL[self.machine.guest.engine])

    def store(self):
        """What there is, until nothing is left."""
        self.archiver._rotated = float("-inf")
        while True:
            before = self.archiver._remembered()["pieces"]
            self.archiver.step()
            if self.archiver._remembered()["pieces"] == before:
                return before

    def at(self, point, first=0):
        return {"id": self.id, "key": KEY, "first": first, "count": self.store(), "point": point,
                "storage": archive_store.signatures(self.id, "GET", 600)}


@pytest.fixture
def archived(source, backups):  # noqa: F811
    """(machine, Archive, link of a backup) with a change after the backup."""
    mine = Archive(source)
    assert mine.begin()["id"] == mine.id
    source.sql("INSERT INTO t (v) VALUES ('before')")
    link = backups.take(source)
    return source, mine, link


def restore(machine, link, point):
    machine.prepare(databases=[], users=[], backup_info={"id": link["id"], "type": link["type"], "chain": [link],
                                                        "archive": point})


def tick():
    """Let a new second begin; returns it."""
    now = int(time.time()) + 1
    time.sleep(max(0.0, now + 0.02 - time.time()))
    return now


def test_to_a_second_with_everything_that_users_do(archived, machines, reports):  # noqa: F811
    source, mine, link = archived  # noqa: F811
    root = source.manager.enable_root(TroveContext(user_id="user-1"))
    source.sql("CREATE TABLE made (n INT PRIMARY KEY, v VARCHAR(20)) ENGINE=InnoDB",
               "CREATE TABLE seen (n INT) ENGINE=InnoDB",
               "CREATE TRIGGER tr AFTER INSERT ON made FOR EACH ROW INSERT INTO seen VALUES (NEW.n)",
               "INSERT INTO made VALUES (1, 'one'), (2, 'two')",
               "SET SESSION time_zone = '+09:00'", "INSERT INTO t (v) VALUES (NOW())",
               "CREATE EVENT ev ON SCHEDULE EVERY 1 SECOND DO INSERT INTO seen VALUES (-1)",
               "ALTER TABLE made ADD COLUMN w INT DEFAULT 7")
    source.manager.create_user(TroveContext(), [{"_name": "later", "_host": "%", "_password": PASSWORD,
                                                 "_databases": [{"_name": "db1"}]}])
    mine.store()
    source.sql("UPDATE made SET v = 'changed' WHERE n = 1", "DELETE FROM t WHERE v = 'two'")
    point = tick()
    source.sql("DROP TABLE made")
    mine.store()
    source.sql("INSERT INTO t (v) VALUES ('too late')")
    target = machines()
    restore(target, link, mine.at(point))
    assert reports.statuses[-1] == "running", reports.causes
    assert target.sql("SELECT n, v, w FROM made ORDER BY n") == ((1, "changed", 7), (2, "two", 7))
    assert target.sql("SELECT n FROM seen WHERE n > 0 ORDER BY n") == ((1,), (2,))
    values = [row[0] for row in target.sql("SELECT v FROM t ORDER BY n")]
    assert values[:2] == ["one", "before"]
    assert len(values) == 3
    assert target.sql("SELECT EVENT_NAME FROM information_schema.EVENTS") == (("ev",),)
    names = [user["_name"] for user in target.manager.list_users(TroveContext())[0]]
    assert names == ["later", "u1"]
    assert root["_name"] == "root"
    # Nothing of the replay is left, and the server can be archived itself.
    with target.manager.app.session() as session:
        assert session.execute("SELECT User FROM mysql.user WHERE User LIKE 'os\\_replay%%'") == ()
        assert session.binary_log() == "on"
    assert not list(target.guest.layout.run_dir.glob("replay*"))
    assert not list(target.guest.layout.mount_point.glob("data.*"))


def test_the_newest_point_without_a_write_after_it(archived, machines, reports):  # noqa: F811
    source, mine, link = archived  # noqa: F811
    source.sql("INSERT INTO t (v) VALUES ('last')")
    point = tick()
    told = mine.at(point)
    assert mine.archiver.facts()["archive"]["covers"] >= point
    target = machines()
    restore(target, link, told)
    assert [row[0] for row in target.sql("SELECT v FROM t ORDER BY n")] == ["one", "two", "before", "last"]
    assert reports.statuses[-1] == "running", reports.causes


def test_deaths_of_server_and_agent_lose_nothing(archived, machines, reports):  # noqa: F811
    source, mine, link = archived  # noqa: F811
    for number in range(3):
        source.sql(f"INSERT INTO t (v) VALUES ('{number}')")
        if number:
            mine.store()
        end(source.manager.app)
        source.manager = source.guest.manager()
        source.manager.app.start()
    point = tick()
    target = machines()
    restore(target, link, mine.at(point))
    assert [row[0] for row in target.sql("SELECT v FROM t ORDER BY n")] == ["one", "two", "before", "0", "1", "2"]
    assert reports.statuses[-1] == "running", reports.causes


def test_a_replay_that_died_begins_again(archived, machines, reports, monkeypatch):  # noqa: F811
    source, mine, link = archived  # noqa: F811
    source.sql("INSERT INTO t (v) VALUES ('a')")
    mine.store()
    source.sql("INSERT INTO t (v) VALUES ('b')")
    told = mine.at(tick())
    real, calls = mysql_impl._Private.replay, []

    def dying(self, *args):
        with pytest.raises(ConnectionRefusedError):  # nor is the agent's own port open
            socket.create_connection(("127.0.0.1", target.guest.layout.own_port), timeout=5)
        real(self, *args)
        calls.append(args)
        if len(calls) == 1:
            raise exception.TroveError("killed by the test")
    monkeypatch.setattr(mysql_impl._Private, "replay", dying)
    target = machines()
    with pytest.raises(exception.TroveError, match="killed by the test"):
        restore(target, link, told)
    assert not target.guest.layout.data.exists()
    restore(target, link, told)
    assert [row[0] for row in target.sql("SELECT v FROM t ORDER BY n")] == ["one", "two", "before", "a", "b"]
    assert reports.statuses[-1] == "running", reports.causes


def test_a_missing_log_is_named(archived, machines, reports):  # noqa: F811
    source, mine, link = archived  # noqa: F811
    told = {**mine.at(tick()), "first": 1}
    for _ in range(2):
        source.sql("INSERT INTO t (v) VALUES ('x')")
        mine.store()
    told["count"] = mine.store()
    target = machines()
    with pytest.raises(exception.TroveError, match="lacks the binary log"):
        restore(target, link, told)
    assert reports.statuses[-1] == "failed to spawn"


def test_what_the_server_keeps_and_deletes(archived):  # noqa: F811
    source, mine, _link = archived  # noqa: F811
    strategy, app = source.manager.archiver.strategy, source.manager.app

    def names():
        with app.session() as session:
            return [name for name, _ in strategy._logs(session)]
    mine.store()
    settled = names()
    for _ in range(3):
        assert strategy.rotate() is None
    assert names() == settled, "a log without a change of users is not closed"
    assert len(settled) == 1
    source.sql("INSERT INTO t (v) VALUES ('x')")
    strategy.rotate()
    strategy.rotate()
    assert len(names()) == 2
    with app.session() as session:
        assert session.execute("SELECT @@GLOBAL.binlog_expire_logs_seconds") == ((0,),)

        def purged():
            session.execute("PURGE BINARY LOGS TO %s", (names()[-1],))
            return len(names()) == 1
        wait_until(purged, pause=0.1)  # MariaDB keeps one until a checkpoint
    mine.archiver._rotated = float("-inf")
    assert mine.archiver.step() is False
    assert mine.archiver.facts()["archive"]["state"] == "gap"
    with app.session() as session:
        assert session.execute("SELECT @@GLOBAL.binlog_expire_logs_seconds") == ((259200,),)
    source.sql("INSERT INTO t (v) VALUES ('y')")
    with app.session() as session:
        session.execute("FLUSH BINARY LOGS")

    def tidied():
        strategy.idle()
        return len(names()) == 1
    wait_until(tidied, pause=0.1)


def test_a_server_that_was_made_without_a_log_says_what_to_do(source, container):  # noqa: F811
    layers = source.manager.app.configuration
    layers.remove_override("*", "archive")
    layers.apply_override({"skip_log_bin": 1}, SYSTEM_GROUP, "test")
    source.manager.restart(TroveContext())
    mine = Archive(source)
    with pytest.raises(exception.TroveError, match="Restart the instance"):
        mine.begin()
    layers.remove_override("*", "test")
    source.manager.restart(TroveContext())
    assert mine.begin()["id"] == mine.id
