"""PostgreSQL on a real guest with both clients, from creation to deletion: what users do, and a killed server."""
import json

import pytest
from onebox import instance, probes

from tests.scenarios import support
from tests.scenarios.support import PASSWORD, wait_until

Probe = probes.of("postgresql")


@pytest.fixture(scope="module")
def version(system):
    """PostgreSQL is offered beside MariaDB from now on; its version, as its row in the catalog has it."""
    support.quickstart("--datastore", "postgresql", state=system.facts["state"])
    return system.api.get("/datastores/postgresql/versions").json()["versions"][0]["name"]


@pytest.fixture(scope="module")
def active(system, openstack, version):
    """The view of an ACTIVE instance made with the client; deleted with it."""
    before = system.inventory()
    made = openstack.json("database", "instance", "create", "pg", "--flavor", system.smallest_flavor(), "--size", "1",
                          "--datastore", "postgresql", "--datastore-version", version, "--databases", "app",
                          "--users", f"alice:{PASSWORD}")
    view = system.wait_ended(made["id"])
    assert view["status"] == "ACTIVE", view.get("fault")
    yield view
    openstack("database", "instance", "delete", "pg")
    wait_until(lambda: system.show(made["id"]) is None)
    system.assert_nothing_more_than(before)


@pytest.fixture(scope="module")
def sql(active):
    """Statements on the instance, as alice."""
    def run(statement, user="alice", password=PASSWORD, database="app"):
        with Probe(active["ip"][0], user, password, database, answer_timeout=30) as probe:
            return probe.query(statement)
    return run


def settled(system, instance_id, status="ACTIVE"):
    """Return when the instance has a status and does nothing."""
    def there():
        view = system.show(instance_id)
        return view["status"] == status and view["operation"]["state"] in ("done", "failed")
    wait_until(there)


def test_databases_users_grants_and_root(system, active, openstack, trove, sql, version):
    """Made with one client, seen with the other; users share what they make."""
    assert sql("SHOW server_version")[0][0].startswith(f"{version}.")
    openstack("database", "db", "create", "pg", "shop", "--character_set", "UTF8", "--collate", "C")
    openstack("database", "user", "create", "pg", "bob", PASSWORD, "--databases", "shop")
    assert {row[0] for row in trove.rows("user-list", "pg")} == {"alice", "bob"}
    assert {row[0] for row in trove.rows("database-list", "pg")} == {"app", "shop"}
    sql("CREATE TABLE t (id serial, word text)")
    with pytest.raises(Probe.errors, match="permission denied"):
        sql("SELECT 1", user="bob")
    trove("user-grant-access", "pg", "bob", "app")
    sql("INSERT INTO t (word) VALUES ('of bob')", user="bob")
    assert [row[0] for row in trove.rows("user-show-access", "pg", "bob")] == ["app", "shop"]
    assert sql("SELECT word FROM t") == [["of bob"]]
    trove("user-revoke-access", "pg", "bob", "app")
    with pytest.raises(Probe.errors, match="permission denied"):
        sql("SELECT 1", user="bob")
    root = trove.fields("root-enable", "pg")
    assert root["name"] == "root"
    assert sql("SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256%'", "root", root["password"],
               "postgres") == [[3]]
    assert openstack.json("database", "root", "show", "pg")["is_root_enabled"] in (True, "True")
    trove("root-disable", "pg")
    with pytest.raises(Probe.errors):
        sql("SELECT 1", "root", root["password"], "postgres")
    openstack("database", "user", "delete", "pg", "bob")
    openstack("database", "db", "delete", "pg", "shop")
    assert {row[0] for row in trove.rows("user-list", "pg")} == {"alice"}


def test_a_configuration_group(system, active, trove, sql, version):
    """What is dynamic acts at once, the rest after a restart, and what is detached goes back to its default."""
    def settings():
        return [sql(f"SHOW {name}")[0][0] for name in ("work_mem", "max_connections")]
    before = settings()
    made = trove.fields("configuration-create", "pg-tuned", json.dumps({"work_mem": "7MB"}),
                        "--datastore", "postgresql", "--datastore_version", version)
    trove("configuration-attach", "pg", made["id"])
    settled(system, active["id"])
    assert settings() == ["7MB", before[1]]
    trove("configuration-patch", made["id"], json.dumps({"max_connections": 77}))
    settled(system, active["id"], "RESTART_REQUIRED")
    trove("restart", "pg")
    settled(system, active["id"])
    assert settings() == ["7MB", "77"]
    trove("configuration-detach", "pg")
    settled(system, active["id"], "RESTART_REQUIRED")
    trove("restart", "pg")
    settled(system, active["id"])
    assert settings() == before
    trove("configuration-delete", made["id"])


def test_the_general_log(openstack, active, sql):
    openstack("database", "log", "set", "pg", "general", "--enable")
    sql("SELECT 'a statement of the scenario'")
    openstack("database", "log", "set", "pg", "general", "--publish")
    said = openstack("database", "log", "tail", "pg", "general")
    assert "a statement of the scenario" in said
    assert PASSWORD not in said
    openstack("database", "log", "set", "pg", "general", "--disable", "--discard")


def test_a_server_that_is_killed_comes_back(system, active, sql):
    sql("CREATE TABLE kept AS SELECT 'kept'::text AS word")
    system.guest(active["id"], "systemctl", "kill", "--kill-who=main", "--signal=KILL", "postgresql.service")

    def back():
        try:
            return sql("SELECT word FROM kept") == [["kept"]]
        except Probe.errors:
            return False
    wait_until(back)
    wait_until(lambda: system.show(active["id"])["status"] == "ACTIVE")


def test_another_flavor_and_a_larger_volume(system, active, openstack, trove, sql):
    """The data and the address stay; the settings follow the memory."""
    def pages():
        return int(sql("SELECT setting FROM pg_settings WHERE name = 'shared_buffers'")[0][0])
    small = pages()
    larger = sorted(system.api.get("/flavors").json()["flavors"], key=lambda flavor: flavor["ram"])[1]
    openstack("database", "instance", "resize", "flavor", "pg", str(larger["id"]))
    settled(system, active["id"])
    assert str(system.show(active["id"])["flavor"]["id"]) == str(larger["id"])
    assert pages() > small
    trove("resize-volume", "pg", "2")
    settled(system, active["id"])
    view = system.show(active["id"])
    assert (view["operation"]["state"], view["volume"]["size"], view["ip"]) == ("done", 2, active["ip"])
    assert sql("SELECT word FROM t") == [["of bob"]]
    assert instance.address(view) == active["ip"][0]
