"""The PostgreSQL server of a guest: prepare, status, starting and stopping, configuration."""
import json
import subprocess
from pathlib import Path

import pg8000.exceptions
import pytest
from onebox.settings import CHECKOUT

from trove.common import exception, template
from trove.common.instance import ServiceStatuses
from trove.guestagent.datastore.experimental.postgresql import service

pytestmark = pytest.mark.slow


def test_prepare_ends_with_a_server_that_runs(agent, reports):
    assert reports.statuses == ["building", "running"]
    with agent.app.session() as session:
        assert session.execute("SELECT rolname FROM pg_authid WHERE rolcanlogin") == [["os_admin"]]
        assert session.execute("SELECT current_setting('search_path')") == [["pg_catalog"]]


def test_status_of_a_server_that_stops_is_killed_and_starts(agent):
    app = agent.app
    app.stop()
    assert app.status.get_actual_db_status() == ServiceStatuses.SHUTDOWN
    app.start()
    assert app.status.get_actual_db_status() == ServiceStatuses.RUNNING


def setting(app, name):
    with app.session() as session:
        return session.execute("SELECT setting FROM pg_settings WHERE name = $1", [name])[0][0]


def test_values_of_a_group_reach_the_server_and_go_away(agent):
    agent.update_overrides(None, {"work_mem": "7MB", "max_connections": 77, "jit": False})
    assert agent.apply_overrides(None, {"work_mem": "7MB", "max_connections": 77, "jit": False}) == {
        "max_connections": "the server takes it only when it starts"}
    assert (setting(agent.app, "work_mem"), setting(agent.app, "jit")) == ("7168", "off")
    agent.restart(None)
    assert setting(agent.app, "max_connections") == "77"
    agent.update_overrides(None, {}, remove=True)
    assert agent.apply_overrides(None, {"work_mem": "2048kB", "jit": None}) == {}
    assert (setting(agent.app, "work_mem"), setting(agent.app, "jit")) == ("2048", "on")


def test_a_value_that_the_server_does_not_take_is_reported_and_keeps_it_from_nothing(agent):
    values = {"work_mem": "much", "datestyle": "nonsense", "vacuum_cost_limit": 300, "unknown_one": "x"}
    agent.update_overrides(None, values)
    refused = agent.apply_overrides(None, values)
    assert refused == dict.fromkeys(("work_mem", "datestyle", "unknown_one"), "the server does not take this value")
    agent.restart(None)
    assert setting(agent.app, "vacuum_cost_limit") == "300"


def test_alter_system_neither_wins_nor_keeps_the_server_from_starting(agent, guest):
    password = agent.admin.enable_root()["_password"]
    with guest.connect("root", password, "postgres") as root:
        root.run("ALTER SYSTEM SET work_mem = '99MB'")
        root.run("ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'")
        root.run("ALTER SYSTEM SET hba_file = '/nowhere'")
        root.run("SELECT pg_reload_conf()")
    agent.update_status()
    assert setting(agent.app, "work_mem") == "2048"
    with guest.connect("root", password, "postgres") as root:
        root.run("ALTER SYSTEM SET max_connections = 1")
    agent.restart(None)
    assert agent.app.status.get_actual_db_status() == ServiceStatuses.RUNNING


def test_copies_of_the_images_data_are_different_servers(agent, guest, packaged_data):
    with agent.app.session() as session:
        ours = session.execute("SELECT system_identifier FROM pg_control_system()")[0][0]
    said = subprocess.run([agent.app.programs / "pg_controldata", guest.layout.template], text=True, check=True,
                          stdout=subprocess.PIPE).stdout
    assert "Database system identifier" in said
    assert str(ours) not in said


DAMAGES = {
    "stripped": ["ALTER ROLE os_admin NOSUPERUSER NOLOGIN"],
    "renamed": ["ALTER ROLE os_admin RENAME TO mine", "CREATE ROLE os_admin LOGIN"],
    "closed": ["ALTER DATABASE postgres ALLOW_CONNECTIONS false"],
    "settings": ["ALTER ROLE os_admin SET session_preload_libraries = 'no_such_library'",
                 "ALTER ROLE os_admin SET default_transaction_read_only = on",
                 "ALTER ROLE os_admin CONNECTION LIMIT 0"],
    "gone": ["DROP DATABASE postgres"],
}


def test_root_cannot_lock_the_agent_out(agent, guest):
    password = agent.admin.enable_root()["_password"]
    for damage, statements in DAMAGES.items():
        with guest.connect("root", password, "template1") as root:
            for statement in statements:
                root.run(statement)
        agent.update_status()
        assert agent.app.access.whole, damage
        assert agent.admin.is_root_enabled()
    assert agent.app.access.repairs == 4  # the settings do no harm


def test_root_locks_everybody_out(agent, guest, reports):
    """Only a restart helps then: of the agent in the first case, of the server by a user in the second."""
    for heal in (agent.update_status, lambda: agent.restart(None)):
        password = agent.admin.enable_root()["_password"]
        with guest.connect("root", password, "template1") as root:
            root.run("ALTER ROLE os_admin RENAME TO mine")
            root.run("DROP DATABASE postgres")
            root.run("ALTER ROLE mine NOSUPERUSER NOLOGIN")
            root.run("ALTER ROLE root NOSUPERUSER")
        heal()
        agent.update_status()
        assert agent.app.access.whole
        assert reports.payloads[-1]["facts"]["access"]
        agent.admin.disable_root()


def test_validation_rules_agree_with_the_server(agent):
    """Every parameter exists, with the context, type and range of the rule; those with a unit are texts."""
    path = template.PACKAGED / "postgresql/validation-rules.json"
    kinds = {"bool": "boolean", "integer": "integer", "real": "float"}
    with agent.app.session() as session:
        settings = {row[0]: row[1:] for row in session.execute(
            "SELECT name, context, vartype, unit, min_val, max_val FROM pg_settings")}
    for rule in json.loads(path.read_text())["configuration-parameters"]:
        context, kind, unit, smallest, largest = settings[rule["name"]]
        assert rule["restart_required"] == (context == "postmaster"), rule
        assert context != "internal"
        assert rule["type"] == ("string" if unit else kinds.get(kind, "string")), rule
        for bound, word in ((smallest, "min"), (largest, "max")):
            assert word not in rule or rule[word] == float(bound), rule


def test_the_unit_of_guest_images_runs_the_same_command(agent):
    text = (CHECKOUT / "tools/image/postgresql/postgresql.conf").read_text()
    layout = service.Layout(Path("/var/lib/postgresql"))
    program, *arguments = service.PostgreSqlApp(layout).command
    assert f"exec {program.replace(program.split('/')[4], '*')} {' '.join(arguments)}'" in text


def test_users_that_take_all_connections(agent, guest):
    """The agent has connections of its own. Root can use these up too, and the error then says so."""
    agent.update_overrides(None, {"max_connections": 12})
    agent.restart(None)
    agent.admin.create_database([{"_name": "d"}])
    agent.admin.create_user([{"_name": "ann", "_password": "a", "_databases": [{"_name": "d"}]}])
    password = agent.admin.enable_root()["_password"]
    held = []
    with pytest.raises(pg8000.exceptions.DatabaseError, match="53300"):
        while True:
            held.append(guest.connect("ann", "a", "d"))
    agent.admin.create_database([{"_name": "more"}])
    with pytest.raises(pg8000.exceptions.DatabaseError, match="53300"):
        while True:
            held.append(guest.connect("root", password, "postgres"))
    assert agent.app.status.get_actual_db_status() == ServiceStatuses.RUNNING
    with pytest.raises(exception.GuestUnavailable, match="no connection left .*53300"):
        agent.create_database(None, [{"_name": "another"}])
    agent.restart(None)
    agent.create_database(None, [{"_name": "another"}])
