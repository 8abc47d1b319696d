"""PostgreSQL's data on real guests, with both clients: backup, increment, a point in time, replicas, a dead source."""
import contextlib
import datetime
import functools
import time

import pytest
from onebox import instance
from onebox.probes import postgresql
from onebox.writer import Writer

from tests.scenarios import support
from tests.scenarios.support import PASSWORD, CommandFailed, wait_until

probe = functools.partial(postgresql.Probe, user=instance.USER, password=PASSWORD, database=instance.DATABASE)
SILENCE = 90  # seconds after which a guest counts as dead, and some
NEWEST = 30  # seconds within which a write can be restored, with some for a busy machine
LATER = 1000000  # a number that no writer comes to


@pytest.fixture(scope="module")
def source(system):
    """The id of an instance of PostgreSQL with data; deleted at the end with all that was made of it."""
    support.quickstart("--datastore", "postgresql", state=system.facts["state"])
    before, left = {row["id"] for row in system.api.get("/instances").json()["instances"]}, system.inventory()
    made = system.create("pg", datastore={"type": "postgresql"})
    assert system.wait_ended(made)["status"] == "ACTIVE", system.show(made)
    with probe(address(system, made)) as client:
        client.clear()
    yield made
    for backup in system.api.get("/backups").json()["backups"]:
        if backup["datastore"]["type"] == "postgresql" and not backup["parent_id"]:
            system.api.delete(f"/backups/{backup['id']}")
    for shown in sorted(system.api.get("/instances").json()["instances"], key=lambda each: "replica_of" not in each):
        if shown["id"] not in before:
            system.delete(shown["id"])
    system.assert_nothing_more_than(left)


def address(system, instance_id):
    """Where the server of an instance listens."""
    return instance.address(system.show(instance_id))


def keys(system, instance_id):
    """The numbers on an instance."""
    with probe(address(system, instance_id)) as client:
        return client.keys()


def write(system, instance_id, number):
    """Store a number and commit it."""
    with probe(address(system, instance_id)) as client:
        client.put(number, "")


def take(openstack, name, *more):
    """A backup of the instance pg that is COMPLETED: its id."""
    made = openstack.json("database", "backup", "create", name, "--instance", "pg", *more)

    def ended():
        shown = openstack.json("database", "backup", "show", made["id"])
        return shown if shown["status"] in ("COMPLETED", "FAILED") else None
    shown = wait_until(ended, pause=0.5)
    assert shown["status"] == "COMPLETED", shown
    return made["id"]


def seconds(text):
    """Seconds since the epoch of a time as the API shows it."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()


def settled(system, *ids):
    """Wait until nobody is busy; returns (status, id of its source or None) of each."""
    def roles():
        shown = [system.show(instance_id) for instance_id in ids]
        return [(one["status"], one.get("replica_of", {}).get("id")) for one in shown]
    wait_until(lambda: not {status for status, _ in roles()} & {"PROMOTE", "EJECT", "DETACH"})
    return roles()


def test_a_chain_and_a_point_in_time_are_restored(system, openstack, trove, source):
    write(system, source, 1)
    full = take(openstack, "pg-full")
    write(system, source, 2)
    increment = take(openstack, "pg-increment", "--parent", full)
    chain = openstack.json("database", "instance", "create", "pg-chain", "--flavor", system.smallest_flavor(), "--size",
                           "1", "--backup", increment)["id"]

    def latest():
        window = system.show(source).get("restorable")
        return window and seconds(window["latest"])
    with Writer([address(system, source)], probe, rate=100) as writer:
        wait_until(latest)
        ages, end = [], time.monotonic() + 25
        while time.monotonic() < end:
            ages.append(time.time() - latest())
            time.sleep(1)
    assert max(ages) < NEWEST, ages
    written = {number for number, _ in writer.acknowledged}
    point = int(time.time()) + 1
    time.sleep(point + 0.2 - time.time())
    write(system, source, LATER)
    wait_until(lambda: latest() >= point)
    answer = system.api.post("/instances", json={"instance": {
        "name": "pg-then", "flavorRef": system.smallest_flavor(), "volume": {"size": 1},
        "restorePoint": {"instanceRef": source, "time": datetime.datetime.fromtimestamp(
            point, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}}})
    assert answer.status_code == 200, answer.text
    then = answer.json()["instance"]["id"]
    for made in (chain, then):
        shown = system.wait_ended(made)
        assert shown["status"] == "ACTIVE", shown.get("fault")
    assert keys(system, chain) == {1, 2}
    found = keys(system, then)
    assert written - found == set()
    assert LATER not in found
    trove("delete", "pg-chain")
    openstack("database", "instance", "delete", "pg-then")
    wait_until(lambda: system.show(chain) is None and system.show(then) is None)


def test_a_replica_is_promoted_and_a_dead_source_ejected(system, openstack, trove, source):
    copied = openstack.json("database", "instance", "create", "pg-copy", "--replica-of", "pg")
    copy = copied["id"]
    assert system.wait_ended(copy)["status"] == "ACTIVE", system.show(copy)
    with pytest.raises(postgresql.Probe.errors, match="read-only"):
        write(system, copy, 5)
    hosts = [address(system, each) for each in (source, copy)]
    with probe(hosts[0]) as client:
        client.clear()  # the writer's numbers begin anew
    with Writer(hosts, probe, rate=100) as writer:
        trove("promote-to-replica-source", "pg-copy")
        assert settled(system, source, copy) == [("ACTIVE", copy), ("ACTIVE", None)]
        writer.wait_more(100)
    for host in hosts:
        assert wait_until(lambda host=host: writer.missing(host) == [])
    system.kill_guest(copy)

    def ejected():
        with contextlib.suppress(CommandFailed):
            openstack("database", "instance", "eject", "pg-copy")
            return True
    wait_until(ejected, SILENCE, 2)
    [old, new] = settled(system, copy, source)
    assert new == ("ACTIVE", None)
    assert old[0] != "ACTIVE"
    assert old[1] is None
    write(system, source, LATER)
