"""A tenant that takes all connections of its server keeps its users out, and never the agent."""
import contextlib
import shutil
import threading

import pymysql
import pytest

from tests.functional.guestagent.conftest import end, make_guest
from tests.functional.guestagent.test_backup import FULL, Machine
from tests.guests import PASSWORD, Backups
from trove.common import template
from trove.common.context import TroveContext
from trove.common.instance import ServiceStatuses
from trove.guestagent.datastore.mysql_common import service

pytestmark = pytest.mark.slow

MOST = 12  # max_connections; MariaDB takes no less than 10
TOO_MANY = 1040


class Reachable(Machine):
    """A guest whose server its users reach over TCP."""

    def __init__(self, conf, guest):
        super().__init__(conf, guest)
        self.port = guest.port
        text = guest.config_contents().replace("skip_networking", "bind_address = 127.0.0.1")
        self.contents = text.replace("port = 3306", f"port = {self.port}").replace(
            "max_connections = 64", f"max_connections = {MOST}")
        assert f"max_connections = {MOST}" in self.contents

    def fill(self, user, password):
        """Connect as the user until the server takes no more; returns the connections."""
        found = []
        while len(found) < 4 * MOST:
            try:
                found.append(pymysql.connect(host="127.0.0.1", port=self.port, user=user, password=password))
            except pymysql.err.OperationalError as error:
                assert error.args[0] == TOO_MANY
                return found
        raise AssertionError("the server takes any number of connections")

    def call(self, method, *arguments):
        """What the control plane would call."""
        self.enter()
        return getattr(self.manager, method)(TroveContext(), *arguments)


@pytest.fixture
def machine(conf, direct, reports, tested, packaged_data, container):
    """A prepared guest."""
    guest = make_guest(tested)
    conf.set_override("guest_id", "i-1")
    conf.set_override("guest_key", "the key of this guest only")
    guest.layout.template.symlink_to(packaged_data)
    machine = Reachable(conf, guest)
    machine.prepare(config_contents=machine.contents)
    yield machine
    end(machine.manager.app)
    shutil.rmtree(guest.root)


@contextlib.contextmanager
def taken(machine, user="u1", password=PASSWORD):
    """All connections are the user's while the block runs."""
    connections = machine.fill(user, password)
    try:
        yield
    finally:
        for connection in connections:
            connection.close()


def test_the_agent_has_a_way_of_its_own(machine):
    assert machine.manager.app.way() == ["--host=127.0.0.1", f"--port={machine.guest.layout.own_port}"]


def test_every_command_works_while_no_user_gets_in(machine, reports):
    with taken(machine):
        assert machine.manager.status.get_actual_db_status() == ServiceStatuses.RUNNING
        machine.call("create_database", [{"_name": "db2"}])
        machine.call("create_user", [{"_name": "u2", "_host": "%", "_password": "pw", "_databases": []}])
        machine.call("grant_access", "u2", "%", ["db2"])
        assert [each["_name"] for each in machine.call("list_access", "u2", "%")] == ["db2"]
        machine.call("change_passwords", [{"name": "u2", "host": "%", "password": "other"}])
        machine.call("update_attributes", "u2", "%", {"name": "u3"})
        assert {each["_name"] for each in machine.call("list_users")[0]} == {"u1", "u3"}
        machine.call("delete_user", {"_name": "u3", "_host": "%"})
        machine.call("delete_database", {"_name": "db2"})
        assert machine.call("enable_root")["_password"]
        assert machine.call("is_root_enabled")
        machine.call("disable_root")
        machine.call("update_overrides", {"wait_timeout": 4321})
        assert not machine.call("apply_overrides", {"wait_timeout": 4321})
        Backups(reports).take(machine, FULL[machine.guest.engine][0])
        assert machine.manager.status.get_actual_db_status() == ServiceStatuses.RUNNING
    machine.sql("SELECT 1")


def test_commands_of_replication_work_while_no_user_gets_in(machine, reports):
    role = template.render(machine.guest.engine, machine.guest.engine, "1", {"ram": 256}, "i-1",
                           "replica_source.config.template")
    with taken(machine):  # restarts the server, which keeps no log yet
        machine.call("enable_as_master", role, [])
    machine.sql("CREATE TABLE t (n INT)")
    with taken(machine):
        assert "log_position" in machine.call("get_replica_context")
        machine.call("demote_replication_master")
        machine.call("make_read_only", False)
        machine.call("enable_as_master", role, [{"user": "os_replica_b", "password": "a password"}])
    machine.sql("INSERT INTO t VALUES (1)")


def test_a_restart_works(machine):
    with taken(machine):
        machine.call("restart")
    assert machine.sql("SELECT 1") == ((1,),)


def test_a_root_of_the_tenant_takes_the_connection_for_administrators_too(machine):
    password = machine.call("enable_root")["_password"]
    with taken(machine, "root", password):
        machine.call("create_database", [{"_name": "db2"}])
        assert machine.manager.status.get_actual_db_status() == ServiceStatuses.RUNNING


def test_that_the_server_is_full_is_logged_once(machine, caplog):
    for _ in range(2):
        with taken(machine):
            for _ in range(3):
                machine.manager.status.get_actual_db_status()
        machine.manager.status.get_actual_db_status()
    told = [record.getMessage() for record in caplog.records if "max_connections reached" in record.getMessage()]
    assert len(told) == 2
    assert sum("has room" in record.getMessage() for record in caplog.records) == 2


def test_the_agent_bounds_its_own_connections(machine):
    app, most, now, lock = machine.manager.app, [0], [0], threading.Lock()

    def use():
        with app.session() as session:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            session.execute("SELECT SLEEP(1)")
            with lock:
                now[0] -= 1
    threads = [threading.Thread(target=use) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 < most[0] <= service._CONNECTIONS


def test_a_server_without_that_port_is_reached_by_its_socket(machine):
    app = machine.manager.app
    [layer] = app.layout.overrides.glob(f"{service.configuration.SYSTEM_GROUP}-*-{service._OWN_WAY}.cnf")
    layer.unlink()
    machine.call("restart")
    assert app.way() == [f"--socket={app.layout.socket}"]
    assert {each["_name"] for each in machine.call("list_users")[0]} == {"u1"}
