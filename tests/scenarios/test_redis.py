"""Redis on real guests with both clients, from creation to deletion: what users do, and a server that is killed."""
import json

import pytest
import redis
from onebox import instance, probes

from tests.scenarios import support
from tests.scenarios.support import CommandFailed, wait_until

Probe = probes.of("redis")


@pytest.fixture(scope="module")
def version(system):
    """Redis is offered beside MariaDB from now on; its version, as its row in the catalog has it."""
    support.quickstart("--datastore", "redis", state=system.facts["state"])
    [version] = system.api.get("/datastores/redis/versions").json()["versions"]
    return version["name"]


@pytest.fixture(scope="module")
def made(system, version):
    """Ids by name of the instances of this module; they are deleted at its end, replicas first."""
    before, ids = system.inventory(), {}
    yield ids
    for instance_id in sorted(ids.values(), key=lambda each: "replica_of" not in (system.show(each) or {})):
        if system.show(instance_id):
            system.delete(instance_id)
    system.assert_nothing_more_than(before)


@pytest.fixture(scope="module")
def create(system, openstack, version, made):
    """Makes an instance with the client and returns its id when it is ACTIVE."""
    def run(name, *more):
        options = () if "--replica-of" in more else (
            "--flavor", system.smallest_flavor(), "--size", "1", "--datastore", "redis", "--datastore-version", version)
        found = openstack.json("database", "instance", "create", name, *options, *more)
        made[name] = found["id"]
        view = system.wait_ended(found["id"])
        assert view["status"] == "ACTIVE", view.get("fault")
        return found["id"]
    return run


@pytest.fixture(scope="module")
def r1(create):
    return create("r1")


@pytest.fixture(scope="module")
def password(openstack, r1):
    return openstack.json("database", "root", "enable", "r1")["password"]


@pytest.fixture(scope="module")
def client(system, password):
    """Makes a probe of an instance."""
    def make(instance_id, secret=password):
        return Probe(instance.address(system.show(instance_id)), password=secret)
    return make


def settled(system, *ids):
    """Wait until nobody is busy; returns the statuses."""
    wait_until(lambda: all(system.show(each)["operation"]["state"] in ("done", "failed") for each in ids))
    return [system.show(each)["status"] for each in ids]


def test_users_and_databases_are_refused(openstack, trove, system, version, r1):
    with pytest.raises(CommandFailed, match="redis has no databases and no users"):
        openstack("database", "db", "create", "r1", "app")
    with pytest.raises(CommandFailed, match="redis has no databases and no users"):
        trove("user-list", "r1")
    with pytest.raises(CommandFailed, match="redis has no databases and no users"):
        openstack("database", "instance", "create", "never", "--flavor", system.smallest_flavor(), "--size", "1",
                  "--datastore", "redis", "--datastore-version", version, "--databases", "app")
    assert "technical-preview" in json.dumps(system.api.get("/datastores/redis").json())


def test_root_is_the_servers_password(openstack, trove, system, r1, client, password):
    with client(r1) as user:
        user.clear()
        user.put(1, "one")
        assert user.hello()[1] == "default"
    assert trove.fields("root-enable", "r1")["password"] == password
    assert "True" in trove("root-show", "r1")
    with client(r1, "a wrong one") as stranger, pytest.raises(redis.exceptions.AuthenticationError):
        stranger.get(1)


def test_a_configuration_group(system, trove, r1, client, version):
    def setting(name):
        with client(r1) as user:
            return user.ask("CONFIG", "GET", name)[1]
    group = trove.fields("configuration-create", "r1-tuned", json.dumps({"maxmemory-policy": "allkeys-lru"}),
                         "--datastore", "redis", "--datastore_version", version)
    trove("configuration-attach", "r1", group["id"])
    assert settled(system, r1) == ["ACTIVE"]
    assert setting("maxmemory-policy") == "allkeys-lru"
    trove("configuration-patch", group["id"], json.dumps({"databases": 32}))
    assert settled(system, r1) == ["RESTART_REQUIRED"]
    trove("restart", "r1")
    assert settled(system, r1) == ["ACTIVE"]
    assert (setting("databases"), setting("maxmemory-policy")) == ("32", "allkeys-lru")
    with pytest.raises(CommandFailed, match="no such parameter"):
        trove("configuration-patch", group["id"], json.dumps({"requirepass": "mine"}))
    trove("configuration-detach", "r1")
    settled(system, r1)
    trove("restart", "r1")
    assert settled(system, r1) == ["ACTIVE"]
    assert (setting("databases"), setting("maxmemory-policy")) == ("16", "noeviction")
    trove("configuration-delete", group["id"])


def test_a_backup_and_an_instance_from_it(system, openstack, create, client, r1):
    found = openstack.json("database", "backup", "create", "r1-full", "--instance", "r1")

    def ended():
        shown = openstack.json("database", "backup", "show", found["id"])
        return shown if shown["status"] in ("COMPLETED", "FAILED") else None
    shown = wait_until(ended, pause=0.5)
    assert shown["status"] == "COMPLETED", shown
    copy = create("r1-copy", "--backup", found["id"])
    own = openstack.json("database", "root", "enable", "r1-copy")["password"]
    with client(copy, own) as user:
        assert user.get(1) == "one"
    openstack("database", "backup", "delete", found["id"])
    openstack("database", "instance", "delete", "r1-copy")


def test_a_replica_changes_places_with_its_source(system, openstack, trove, create, client, r1):
    second = create("r2", "--replica-of", "r1")
    with client(r1) as user:
        user.put(2, "two")
    with client(second) as user:
        wait_until(lambda: user.get(2) == "two")
        with pytest.raises(redis.exceptions.ReadOnlyError):
            user.put(3, "three")
    trove("promote-to-replica-source", "r2")
    assert settled(system, r1, second) == ["ACTIVE", "ACTIVE"]
    assert system.show(r1)["replica_of"]["id"] == second
    with client(second) as user:
        user.put(3, "three")
    with client(r1) as user:
        wait_until(lambda: user.get(3) == "three")
    openstack("database", "instance", "detach", "r1")
    assert settled(system, r1) == ["ACTIVE"]
    with client(r1) as user:
        user.put(4, "four")


def test_a_larger_flavor_gives_more_memory(system, openstack, client, r1):
    def memory():
        with client(r1) as user:
            return int(user.ask("CONFIG", "GET", "maxmemory")[1])
    before = memory()
    flavors = sorted(system.api.get("/flavors").json()["flavors"], key=lambda flavor: flavor["ram"])
    openstack("database", "instance", "resize", "flavor", "r1", str(flavors[1]["id"]))
    assert settled(system, r1) == ["ACTIVE"], system.show(r1).get("fault")
    assert memory() > before
    with client(r1) as user:
        assert user.get(4) == "four"


def test_a_server_that_is_killed_comes_back_with_its_data(system, client, r1):
    with client(r1) as user:
        user.put(5, "five")
    system.guest(r1, "sh", "-c", "sleep 1.5; systemctl kill --signal=KILL redis-server")

    def answers():
        try:
            with client(r1) as user:
                return user.get(5) == "five"
        except redis.exceptions.RedisError:
            return False
    assert wait_until(answers, timeout=180)
