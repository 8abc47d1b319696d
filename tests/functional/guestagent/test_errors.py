"""A real server cannot carry out a command now: the error names the session in the way, and what the user can do."""
import contextlib
import shutil

import pymysql
import pytest

from tests.functional.guestagent.conftest import end, make_guest
from tests.functional.guestagent.test_connections import Reachable
from tests.guests import PASSWORD
from trove.common import exception

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def machine(conf, direct, reports, tested, packaged_data, container):
    """A prepared guest with a table in its database db1."""
    guest = make_guest(tested)
    conf.set_override("guest_id", "i-1")
    conf.set_override("guest_key", "the key of this guest only")
    conf.set_override("agent_lock_wait_timeout", 1)
    guest.layout.template.symlink_to(packaged_data)
    machine = Reachable(conf, guest)
    machine.prepare(config_contents=machine.contents)
    machine.sql("CREATE TABLE t (n INT PRIMARY KEY) ENGINE=InnoDB")
    yield machine
    end(machine.manager.app)
    shutil.rmtree(guest.root)


@contextlib.contextmanager
def session(machine, *statements):
    """A session of the application that has executed statements; gives its id."""
    connection = pymysql.connect(host="127.0.0.1", port=machine.port, user="u1", password=PASSWORD, database="db1",
                                 autocommit=True)
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        yield connection.thread_id()


def test_a_command_that_meets_a_lock_names_its_session_and_is_not_done_later(machine, monkeypatch):
    monkeypatch.setattr("trove.guestagent.strategies.replication.mysql_base._PATIENCE", 1)
    with session(machine, "LOCK TABLES t WRITE") as number, pytest.raises(exception.GuestConflict) as caught:
        machine.call("make_read_only", True)
    said = f"Session {number} of 'u1'@'127.0.0.1' holds a lock on the table db1.t by LOCK TABLES ... WRITE; it has been"
    assert said in str(caught.value)
    assert f"KILL {number} as root" in str(caught.value)
    machine.call("make_read_only", True)
    # MariaDB itself would let the agent's account write, which its replicas' source would then lack.
    with pytest.raises(exception.GuestUnavailable, match="read-only"):
        machine.call("create_database", [{"_name": "db3"}])
    machine.call("make_read_only", False)
    for statements, by in ((("BEGIN", "SELECT * FROM t"), "an open transaction that has read"),
                           (("BEGIN", "INSERT INTO t VALUES (1)"), "an open transaction that has written"),
                           (("LOCK TABLES t READ",), "LOCK TABLES ... READ")):
        with session(machine, *statements) as number:
            with pytest.raises(exception.GuestUnavailable) as caught:
                machine.call("delete_database", {"_name": "db1"})
            assert f"Session {number} of 'u1'@'127.0.0.1' holds a lock on the table db1.t by {by}" in str(caught.value)
    assert [entry["_name"] for entry in machine.call("list_databases")[0]] == ["db1"]
    machine.call("delete_database", {"_name": "db1"})
    with pytest.raises(exception.BadRequest, match="character set or collation"):
        machine.call("create_database", [{"_name": "db2", "_character_set": "nonsense"}])
    machine.call("stop_db")
    with pytest.raises(exception.GuestUnavailable, match="was lost or was not made"):
        machine.call("list_databases")
