"""Replicas on real guests with both clients and both engines: of one snapshot, promoted under load, detached; a dead
source ejected.
"""
import contextlib
import functools

import pymysql
import pytest
from onebox import cloud, instance
from onebox.probes import mysql_family
from onebox.writer import Writer

from tests.scenarios.support import PASSWORD, CommandFailed, wait_until

probe = functools.partial(mysql_family.Probe, user=instance.USER, password=PASSWORD, database=instance.DATABASE)
SILENCE = 90  # seconds after which a guest counts as dead, and some


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def family(request, system, openstack, trove):
    """Ids by name: a source and, of one snapshot, two replicas of it; of each engine."""
    if request.param == "mysql":
        request.getfixturevalue("mysql_version")
    source = system.create("source", datastore={"type": request.param})
    assert system.wait_ended(source)["status"] == "ACTIVE", system.show(source)
    with probe(address(system, source)) as first:
        first.clear()
    before = backups(system)
    openstack("database", "instance", "create", "copy", "--replica-of", "source", "--replica-count", "2")
    ids = {"source": source}
    for name in ("copy-1", "copy-2"):
        ids[name] = openstack.json("database", "instance", "show", name)["id"]
        assert system.wait_ended(ids[name])["status"] == "ACTIVE", system.show(ids[name])
    wait_until(lambda: backups(system) == before)
    yield ids
    for instance_id in sorted(ids.values(), key=lambda each: "replica_of" not in (system.show(each) or {})):
        if system.show(instance_id):
            system.delete(instance_id)


def address(system, instance_id):
    return instance.address(system.show(instance_id))


def backups(system):
    """The names of the containers of backups. Those of archives of logs come and go by the clock."""
    found = cloud.session(cloud.backup_environment(system.settings)).get(
        "?format=json", endpoint_filter={"service_type": "object-store", "interface": "public"})
    return {entry["name"] for entry in found.json() if "_archive_" not in entry["name"]}


def roles(system, *ids):
    """For each: (status, id of its source or None)."""
    shown = [system.show(instance_id) for instance_id in ids]
    return [(one["status"], one.get("replica_of", {}).get("id")) for one in shown]


def settled(system, *ids):
    """Wait until nobody is busy; returns the roles."""
    wait_until(lambda: not {status for status, _ in roles(system, *ids)} & {"PROMOTE", "EJECT", "DETACH"})
    return roles(system, *ids)


def has(system, instance_id, number):
    """Return whether a number is on an instance."""
    with probe(address(system, instance_id)) as client:
        return client.get(number) is not None


def write(system, instance_id, number):
    """Store a number and commit it."""
    with probe(address(system, instance_id)) as client:
        client.put(number, "")


def test_replicas_follow_and_are_read_only(system, openstack, trove, family):
    ids = list(family.values())
    assert settled(system, *ids) == [("ACTIVE", None), ("ACTIVE", ids[0]), ("ACTIVE", ids[0])]
    assert {entry["id"] for entry in system.show(ids[0])["replicas"]} == set(ids[1:])
    listed = {row["Name"]: row["Role"] for row in openstack.json("database", "instance", "list")}
    assert (listed["copy-1"], listed["copy-2"]) == ("replica", "replica")
    assert ids[0] in trove("show", "copy-1")
    write(system, ids[0], 1000000)
    for replica in ids[1:]:
        wait_until(lambda replica=replica: has(system, replica, 1000000))
        with pytest.raises(pymysql.err.MySQLError, match="read-only"):
            write(system, replica, 1000001)
    health = wait_until(lambda: system.admin.get(f"/instances/{ids[1]}").json()["instance"].get("replication"))
    assert (health["running"], health["error"]) == (True, None)
    assert system.show(ids[1])["replication"]["running"] is True
    with pytest.raises(CommandFailed, match="replica"):
        openstack("database", "db", "create", "copy-1", "not_here")
    with pytest.raises(CommandFailed, match="replicas"):
        trove("delete", "source")
    with pytest.raises(CommandFailed, match="sign of life"):
        trove("eject-replica-source", "source")


def test_root_takes_the_agent_s_account_and_stops_a_replica(system, openstack, family):
    source, first, _ = family.values()
    root = openstack.json("database", "root", "enable", "source")["password"]

    def as_root(instance_id, statement):
        return system.sql(statement, address(system, instance_id), "root", root)
    for host in ("localhost", "127.0.0.1"):
        as_root(source, f"DROP USER 'os_admin'@'{host}'")
    wait_until(lambda: as_root(source, "SELECT COUNT(*) FROM mysql.user WHERE User = 'os_admin'")[0][0] == 2, 60)
    openstack("database", "db", "create", "source", "afterwards")
    wait_until(lambda: as_root(first, "SELECT COUNT(*) FROM mysql.user WHERE User = 'os_admin'")[0][0] == 2, 60)

    def health():
        shown = system.show(first)
        return shown["operating_status"], shown.get("fault", {}).get("message", ""), shown["replication"]["running"]
    word = "SLAVE" if openstack.json("database", "instance", "show", "source")["datastore"] == "mariadb" else "REPLICA"
    assert wait_until(lambda: health() == ("HEALTHY", "", True), 60)
    as_root(first, f"STOP {word}")
    word_now, message, running = wait_until(lambda: health()[2] is False and health(), 60)
    assert (word_now, running) == ("ACTIVE", False)
    assert "START REPLICA" in message
    as_root(first, f"START {word}")
    assert wait_until(lambda: health() == ("HEALTHY", "", True), 60)
    openstack("database", "root", "disable", "source")


def test_a_switchover_loses_no_acknowledged_write(system, openstack, trove, family):
    source, first, second = family.values()
    hosts = [address(system, each) for each in family.values()]
    with Writer(hosts, probe, rate=200) as writer:
        openstack("database", "instance", "promote", "copy-1")
        assert settled(system, source, first, second) == [("ACTIVE", first), ("ACTIVE", None), ("ACTIVE", first)]
        writer.wait_more(100)
        assert system.show(first)["operation"]["kind"] == "instance.promote"
        trove("promote-to-replica-source", "source")
        assert settled(system, source, first, second) == [("ACTIVE", None), ("ACTIVE", source), ("ACTIVE", source)]
        writer.wait_more(100)
    for host in hosts:
        assert wait_until(lambda host=host: writer.missing(host) == [])


def test_detached_replicas_are_instances_of_their_own(system, trove, family):
    source, _, second = family.values()
    trove("detach-replica", "copy-2")
    assert settled(system, second) == [("ACTIVE", None)]
    write(system, second, 2000000)
    write(system, source, 2000001)
    assert [entry["id"] for entry in system.show(source)["replicas"]] == [family["copy-1"]]
    assert not has(system, second, 2000001)
    accounts = system.guest(source, "mysql", "--defaults-file=/var/lib/trove/my.cnf", "-N", "-e",
                            "SELECT User FROM mysql.user WHERE User LIKE 'os_replica%'").split()
    assert len(accounts) == 1


def test_a_dead_source_is_ejected(system, openstack, family):
    source, first, _ = family.values()
    hosts = [address(system, each) for each in (source, first)]
    with probe(hosts[0]) as client:
        client.clear()  # the writer's numbers begin anew
    with Writer(hosts, probe, rate=50) as writer:
        system.kill_guest(source)
        # Refused while the last sign of life is fresh.
        with pytest.raises(CommandFailed, match="sign of life"):
            openstack("database", "instance", "eject", "source")

        def ejected():
            with contextlib.suppress(CommandFailed):
                openstack("database", "instance", "eject", "source")
                return True
        wait_until(ejected, SILENCE, 2)
        [old, new] = settled(system, source, first)
        assert new == ("ACTIVE", None)
        assert old[0] != "ACTIVE"
        assert old[1] is None
        writer.wait_more(50)
    shown = system.show(source)
    assert "replicas" not in shown
    assert "ejected" in shown["fault"]["message"]
    server = system.cloud_get("compute", f"/servers/{system.server(source)}")["server"]
    assert server["status"] == "SHUTOFF"
