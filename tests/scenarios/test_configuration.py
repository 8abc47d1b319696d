"""Configuration groups with both clients and a real server: what changes at once, what waits for a restart, and that
what was taken away is gone (rpc 9a).
"""
import json

import pytest

from tests.scenarios.support import wait_until

NAME = "tuned"


@pytest.fixture
def variables(system):
    """Called with names: what the server of m1 says of its global variables, as a dict of texts."""
    def show(*names):
        wanted = ", ".join(f"'{name}'" for name in names)
        rows = system.sql(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({wanted}, 'pid_file')", system.m1["host"],
                          system.m1["user"], system.m1["password"])
        return {name: value for name, value in rows if name in names}
    return show


@pytest.fixture
def group(system, trove):
    """The id of a group made with the era's client; in the end m1 is as it was and the group is gone."""
    made = trove.fields("configuration-create", NAME, json.dumps({"max_connections": 77, "wait_timeout": 120}),
                        "--datastore", "mariadb", "--datastore_version", "10.11", "--description", "for tests")
    yield made["id"]
    if "configuration" in system.show(system.m1["id"]):
        trove("configuration-detach", "m1")
    if system.show(system.m1["id"])["status"] == "RESTART_REQUIRED":
        trove("restart", "m1")
    settled(system, "ACTIVE")
    trove("configuration-delete", made["id"])
    assert NAME not in [row[1] for row in trove.rows("configuration-list")]


def settled(system, status):
    """Return when m1 has a status and does nothing."""
    def there():
        view = system.show(system.m1["id"])
        return view["status"] == status and view["operation"]["state"] in ("done", "failed")
    wait_until(there)


def test_parameters_of_the_version(trove, openstack):
    """Names, types and bounds; both clients."""
    names = {row[0] for row in trove.rows("configuration-parameter-list", "10.11", "--datastore", "mariadb")}
    assert len(names) >= 100
    shown = openstack.json("database", "configuration", "parameter", "show", "10.11", "max_connections",
                           "--datastore", "mariadb")
    assert (shown["type"], shown["restart_required"]) == ("integer", False)


def test_a_group_from_its_making_to_its_end(system, trove, openstack, group, variables):
    """Attach, replace, patch, restart, detach: SHOW GLOBAL VARIABLES is the judge."""
    defaults = {row[0]: row[1] for row in trove.rows("configuration-default", "m1")}
    names = ("max_connections", "wait_timeout", "performance_schema")
    before = variables(*names, "uptime")
    assert before["max_connections"] == defaults["max_connections"]

    trove("configuration-attach", "m1", group)
    assert variables(*names) == {**before, "max_connections": "77", "wait_timeout": "120"}
    assert trove.fields("configuration-show", group)["instance_count"] == "1"
    assert [row[1] for row in trove.rows("configuration-instances", group)] == ["m1"]
    settled(system, "ACTIVE")

    # The old bug 1449238: what a replacement does not name must go back to its default.
    trove("configuration-update", group, json.dumps({"wait_timeout": 100}))
    assert variables(*names) == {**before, "wait_timeout": "100"}
    settled(system, "ACTIVE")

    trove("configuration-patch", group, json.dumps({"performance_schema": True, "max_connections": 78}))
    assert system.show(system.m1["id"])["status"] == "RESTART_REQUIRED"
    settled(system, "RESTART_REQUIRED")
    assert variables(*names) == {**before, "wait_timeout": "100"}
    trove("restart", "m1")
    settled(system, "ACTIVE")
    changed = {"max_connections": "78", "wait_timeout": "100", "performance_schema": "ON"}
    assert variables(*names) == changed
    shown = openstack.json("database", "configuration", "show", group)
    assert json.loads(shown["values"]) == {"max_connections": 78, "performance_schema": True, "wait_timeout": 100}

    openstack("database", "configuration", "detach", "m1")
    settled(system, "RESTART_REQUIRED")
    assert variables(*names) == changed
    openstack("database", "instance", "restart", "m1")
    settled(system, "ACTIVE")
    assert variables(*names) == {name: before[name] for name in names}
