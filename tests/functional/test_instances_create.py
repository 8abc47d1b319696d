"""Creating instances (rest-api 3.1a): what each client sends, what is refused and how, and what is written."""
import json

import pytest

from tests.fakes import neutron, nova
from tests.functional.world import UNKNOWN, create, create_active, create_body
from trove import rpc
from trove.common.cfg import CONF
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations


class TestReply:
    def test_200_with_the_show_view_while_it_builds(self, world, alice):
        view = alice.post("/instances", create_body(), status=200).json["instance"]
        assert view.pop("operation").items() >= {"kind": "instance.create", "state": "pending", "step": None}.items()
        base = f"http://localhost/v1.0/tenant-a/instances/{view['id']}"
        assert view.pop("created") == view.pop("updated")
        assert view.pop("service_status_updated")
        assert view == {
            "id": view["id"], "name": "m1", "status": "BUILD", "operating_status": "",
            "links": [{"rel": "self", "href": base},
                      {"rel": "bookmark", "href": f"http://localhost/instances/{view['id']}"}],
            "flavor": {"id": "1", "links": [
                {"rel": "self", "href": "http://localhost/v1.0/tenant-a/flavors/1"},
                {"rel": "bookmark", "href": "http://localhost/flavors/1"}]},
            "datastore": {"type": "mysql", "version": "5.7", "version_number": "5.7"},
            "volume": {"size": 1}, "region": "LOCAL_DEV", "access": {"is_public": False, "allowed_cidrs": []},
            "addresses": [],
        }

    def test_the_task_manager_is_woken_with_ids_and_the_operation_has_the_rest(self, world, alice):
        instance_id = create(
            alice, availability_zone="nova", nics=[{"net-id": OWN.upper()}], volume={"size": "2", "type": "fast"},
            databases=[{"name": "db1"}],
            users=[{"name": "bob", "password": "p%'"[:2], "databases": [{"name": "db1"}]}])
        [operation] = world.operations(instance_id)
        assert world.casts == [("instance.create", operation.id)]
        assert operation.args == {
            "name": "m1",
            "flavor": {"id": "1", "name": "db.tiny", "ram": 512, "vcpus": 1, "disk": 5, "ephemeral": 0,
                       "is_public": True},
            "image_id": "image-1",
            "datastore": {"name": "mysql", "manager": "mysql", "version": "5.7",
                          "version_id": world.catalog["mysql 5.7"].id, "packages": []},
            "volume_size": 2, "volume_type": "fast", "availability_zone": "nova", "nics": [{"net-id": OWN}],
            "allowed_cidrs": None,
            "databases": [{"_name": "db1", "_character_set": None, "_collate": None}],
            "overrides": {}, "user_names": ["bob"], "configuration_id": None, "backup_id": None, "point": None,
            "replica_of": None, "root": False,
        }
        assert operation.load_secrets() == {"root_password": None, "users": [
            {"_name": "bob", "_host": "%", "_password": "p%",
             "_databases": [{"_name": "db1", "_character_set": None, "_collate": None}]}]}
        assert operation.tenant_id == "tenant-a"
        assert operation.request["user_id"] == "user-of-tenant-a"
        assert "auth_token" not in operation.context

    def test_passwords_are_nowhere_in_clear(self, world, alice):
        create(alice, users=[{"name": "bob", "password": "Sesam-offne-dich"}])
        for table in tables.metadata.sorted_tables:
            assert "Sesam-offne-dich" not in str(world.rows(table)), table.name

    def test_root_on_create_gives_the_password_once(self, world, alice, options):
        options.set_override("root_on_create", True, group="mysql")
        view = alice.post("/instances", create_body()).json["instance"]
        [operation] = world.operations(view["id"])
        assert len(view["password"]) == CONF.default_password_length
        assert operation.args["root"] is True
        assert operation.load_secrets()["root_password"] == view["password"]
        world.activate(view["id"])
        assert "password" not in alice.get(f"/instances/{view['id']}").json["instance"]


OWN, SHARED = neutron.id_of("own"), neutron.id_of("shared")
# name of the client -> the instance object as it was recorded from it
RECORDED = {
    "CLI 2.1.2": {"name": "m1", "flavorRef": 1, "volume": {"size": 1, "type": None}, "replica_count": 1,
                  "databases": [{"name": "dd", "character_set": "utf8mb4"}],
                  "users": [{"name": "u", "password": "p", "host": "10.0.%.%", "databases": [{"name": "dd"}]}],
                  "datastore": {"type": "mysql", "version": "5.7"},
                  "nics": [{"net-id": OWN, "v4-fixed-ip": "10.0.0.9"}]},
    "OSC": {"name": "m1", "flavorRef": 1, "volume": {"size": 1, "type": None}, "datastore": {
        "type": "mysql", "version": "5.7", "version_number": None}, "access": {"is_public": False},
        "nics": [{"network_id": OWN, "ip_address": "10.0.0.9"}]},
    "SDK": {"name": "m1", "flavor": {"id": "1"}, "volume": {"size": 1}, "datastore": {"type": "mysql"}},
    "SDK with a bare flavor": {"name": "m1", "flavor": "1", "volume": {"size": 1}, "datastore": {"type": "mysql"}},
    "TT": {"name": "m1", "flavorRef": "1", "volume": {"size": "1"}, "nics": [{"net-id": OWN}],
           "access": {"is_public": False, "allowed_cidrs": ["10.0.0.0/8"]},
           "datastore": {"type": "mysql", "version_number": "5.7"}},
    "HZ": {"name": "m1", "flavorRef": "http://nova/v2/flavors/1", "volume": {"size": 1}, "databases": [], "users": [],
           "restorePoint": None, "availability_zone": None, "datastore": {"type": "mysql"}, "nics": None,
           "replica_of": None, "replica_count": None, "modules": None, "locality": None, "configuration": None},
}


@pytest.mark.parametrize("client", RECORDED)
def test_3_1a_what_clients_send(world, alice, client):
    view = alice.post("/instances", {"instance": RECORDED[client]}).json["instance"]
    assert view["flavor"]["id"] == "1"
    assert view["volume"] == {"size": 1}
    assert len(world.operations(view["id"])) == 1


def test_3_1a_nics_of_both_families_become_one(world, alice):
    instance_id = create(alice, nics=[{"net-id": OWN, "v4-fixed-ip": "10.0.0.9"},
                                      {"network_id": SHARED, "net-id": None, "v4-fixed-ip": ""}])
    assert world.operations(instance_id)[0].args["nics"] == [
        {"net-id": OWN, "v4-fixed-ip": "10.0.0.9"}, {"net-id": SHARED}]


def user(**more):
    return [{"name": "bob", "password": "p", **more}]


# what is changed in a right body -> code, a part of the message
REFUSED = [
    ({"name": None}, 400, "'name' is a required property"),
    ({"name": ""}, 400, "instance.name"),
    ({"name": "--"}, 400, "instance.name"),
    ({"name": "x" * 256}, 400, "instance.name"),
    ({"name": 1}, 400, "instance.name"),
    ({"flavorRef": None}, 400, "instance.flavorRef: is required"),
    ({"flavorRef": "7"}, 400, "there is no flavor '7'"),
    ({"flavorRef": []}, 400, "instance.flavorRef"),
    ({"volume": None}, 400, "volume: is required"),
    ({"volume": {}}, 400, "instance.volume"),
    ({"volume": 1}, 400, "instance.volume"),
    ({"volume": {"size": 0}}, 400, "instance.volume.size"),
    ({"volume": {"size": "0"}}, 400, "volume.size"),
    ({"volume": {"size": -1}}, 400, "instance.volume.size"),
    ({"volume": {"size": 1.5}}, 400, "instance.volume.size"),
    ({"volume": {"size": True}}, 400, "instance.volume.size"),
    ({"volume": {"size": 6}}, 413, "6 GB is more than the largest volume accepted, 5 GB"),
    ({"volume": {"size": "9" * 40}}, 413, "more than the largest"),
    ({"datastore": {"type": "oracle"}}, 404, "oracle"),
    ({"datastore": {"type": UNKNOWN}}, 404, UNKNOWN),
    ({"datastore": {"type": "mysql", "version": "8"}}, 400, "no version '8'"),
    ({"datastore": {"type": "mysql", "version": "5.6"}}, 400, "not active"),
    ({"datastore": {"type": "relic"}}, 400, "not active"),
    ({"datastore": None}, 400, "name a datastore"),
    ({"datastore": "mysql"}, 400, "instance.datastore"),
    ({"nics": [{}]}, 400, "nics[0]: name a network"),
    ({"nics": [{"net-id": 1}]}, 400, "instance.nics[0].net-id"),
    ({"databases": [{}]}, 400, "instance.databases[0]"),
    ({"databases": [{"name": "d/e"}]}, 400, "databases[0].name"),
    ({"databases": [{"name": "mysql"}]}, 400, "reserved"),
    ({"databases": [{"name": "dd"}, {"name": "dd"}]}, 400, "databases[1].name: 'dd' is named twice"),
    ({"databases": [{"name": "dd", "character_set": "klingon"}]}, 400, "klingon"),
    ({"databases": [{"name": "dd", "character_set": "latin1", "collate": "utf8_bin"}]}, 400, "belongs to the"),
    ({"users": user(name="")}, 400, "instance.users[0].name"),
    ({"users": user(name="root")}, 400, "users[0].name: 'root' is reserved"),
    ({"users": user(name="Os_Admin")}, 400, "reserved"),
    ({"users": user(name="a" * 33)}, 400, "33 characters"),
    ({"users": user(name="a/b")}, 400, "must not contain /"),
    ({"users": user(host="example.org")}, 400, "users[0].host"),
    ({"users": user(password="")}, 400, "users[0].password"),
    ({"users": [{"name": "bob"}]}, 400, "'password' is a required property"),
    ({"users": user() + user()}, 400, "users[1].name: 'bob@%' is named twice"),
    ({"users": user(databases=[{"name": "dd"}])}, 400, "'dd' is not among the databases"),
    ({"users": user(databases=[{"name": "dd"}, {"name": "dd"}]), "databases": [{"name": "dd"}]}, 400, "non-unique"),
    ({"restorePoint": {"backupRef": UNKNOWN}}, 404, f"backup {UNKNOWN}"),
    ({"restorePoint": {"backupRef": f"http://h/backups/{UNKNOWN}"}}, 404, f"backup {UNKNOWN}"),
    ({"restorePoint": {}}, 400, "instance.restorePoint"),
    ({"configuration": UNKNOWN}, 404, f"configuration {UNKNOWN}"),
    ({"configuration": "x"}, 400, "instance.configuration"),
    ({"modules": [{"id": UNKNOWN}]}, 404, f"module {UNKNOWN}"),
    ({"replica_of": UNKNOWN}, 404, f"instance {UNKNOWN}"),
    ({"slave_of": UNKNOWN}, 404, f"instance {UNKNOWN}"),
    ({"replica_count": 2}, 403, "replica_of"),
    ({"replica_count": 0}, 400, "instance.replica_count"),
    ({"locality": "affinity"}, 400, "locality"),
]


@pytest.mark.parametrize(("change", "code", "message"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_what_is_refused_and_why_and_that_nothing_is_written(world, alice, change, code, message):
    before = world.counts()
    answer = alice.post("/instances", create_body(**change), status=code)
    assert message in answer.text.replace("\\\\", "\\")
    assert world.counts() == before
    assert world.casts == []


@pytest.mark.parametrize("body", [None, {}, {"instance": None}, {"instance": []}, {"instance": "x"}, {"server": {}}])
def test_1_35_a_body_without_the_instance(world, alice, body):
    assert "Validation error" in alice.post("/instances", body, status=400).text


def replicate(caller, source, status=200, **more):
    """Ask for replicas of an instance; returns the answer."""
    given = {"flavorRef": None, "volume": None, "datastore": None, "name": "r", "replica_of": source, **more}
    return caller.post("/instances", create_body(**given), status=status)


def test_replicas_take_after_their_source_and_begin_with_one_snapshot(world, alice, admin):
    source = create_active(world, alice, flavorRef="2", volume={"size": 2})
    admin.put("/mgmt/quotas/tenant-a", {"quotas": {"instances": 4, "volumes": 20}}, status=200)
    world.casts.clear()
    shown = replicate(alice, source, replica_count=3).json["instance"]
    assert (shown["name"], shown["flavor"]["id"], shown["volume"]["size"]) == ("r-3", "2", 2)
    assert shown["replica_of"]["id"] == source
    ids = [entry["id"] for entry in alice.get(f"/instances/{source}").json["instance"]["replicas"]]
    assert len(ids) == 3
    listed = alice.get("/instances").json["instances"]
    assert {entry["name"]: entry.get("replica_of", {}).get("id") for entry in listed} == {
        "m1": None, **{f"r-{number}": source for number in (1, 2, 3)}}
    assert [entry["status"] for entry in listed if entry["id"] == source] == ["BACKUP"]
    [backup] = world.rows(tables.backups)
    assert (backup["instance_id"], backup["parent_id"]) == (source, None)
    assert [kind for kind, _ in world.casts] == ["backup.snapshot", *["instance.create"] * 3]
    for instance_id in ids:
        [operation] = world.operations(instance_id)
        assert (operation.args["replica_of"], operation.args["backup_id"]) == (source, backup["id"])
        assert not operation.secrets or operation.load_secrets() == {"users": [], "root_password": None}
    alice.delete(f"/instances/{source}", status=403)
    # Neither more than the quota has room for, nor a second snapshot beside the first.
    replicate(alice, source, status=422)
    world.end_backups()
    assert "instances" in replicate(alice, source, status=413).text


@pytest.mark.parametrize(("more", "named"), [
    ({"flavorRef": "1"}, "instance.flavorRef"), ({"volume": {"size": 1}}, "volume.size"),
    ({"databases": [{"name": "db1"}]}, "databases"),
    ({"users": [{"name": "u1", "password": "secret"}]}, "users"),
    ({"restorePoint": {"backupRef": UNKNOWN}}, "restorePoint"),
    ({"restorePoint": {"instanceRef": UNKNOWN, "time": "2026-11-26T21:00:00Z"}}, "restorePoint"),
    ({"datastore": {"type": "mariadb"}}, "datastore.type"), ({"datastore": {"version": "5.6"}}, "datastore.version"),
])
def test_what_replicas_cannot_have_of_their_own(world, alice, more, named):
    source = create_active(world, alice, flavorRef="2", volume={"size": 2})
    before = world.counts()
    assert named in replicate(alice, source, status=400, **more).text
    assert world.counts() == before


def test_replicas_of_a_source_that_cannot_be_copied_now(world, alice, options):
    source = create_active(world, alice)
    replicate(alice, source, locality="affinity", status=501)
    options.set_override("backup_encryption_key", [])
    replicate(alice, source, status=501)
    options.set_override("backup_encryption_key", ["a key for tests, never for a deployment"])
    world.silence(source)
    assert "silent" in replicate(alice, source, status=422).text
    world.report(source)
    world.set(source, task=InstanceTasks.RESIZING)
    assert "RESIZING" in replicate(alice, source, status=422).text


def test_a_replica_of_a_datastore_without_replication(world, alice, bob, options):
    options.set_override("replication_strategy", None, group="mysql")
    source = create_active(world, alice)
    assert "no replication" in alice.post("/instances", create_body(replica_of=source), status=400).text
    bob.post("/instances", create_body(replica_of=source), status=404)


def test_a_replica_of_a_replica(world, alice):
    source, replica = create_active(world, alice), create_active(world, alice)
    world.set(replica, slave_of_id=source)
    alice.post("/instances", create_body(replica_of=replica), status=403)


def test_datastore_and_version_by_id_and_a_datastore_without_a_default(world, alice):
    datastore, version = world.catalog["mariadb"], world.catalog["mariadb 10.11"]
    create(alice, datastore={"type": datastore.id, "version": version.id})
    with world.db.writer() as session:
        session.execute(tables.datastores.update().values(default_version_id=None))
    assert "name a version" in alice.post("/instances", create_body(), status=400).text


def test_a_version_that_is_bound_to_other_flavors(world, alice):
    world.bind_flavor("mariadb 10.11", "2")
    datastore = {"type": "mariadb", "version": "10.11"}
    assert "not offered" in alice.post("/instances", create_body(datastore=datastore), status=400).text
    create(alice, datastore=datastore, flavorRef="2")


class TestWithoutVolumes:
    @pytest.fixture(autouse=True)
    def _no_volumes(self, options):
        options.set_override("volume_support", False, group="mysql")

    def test_a_volume_is_refused(self, world, alice):
        alice.post("/instances", create_body(), status=501)

    def test_the_flavor_needs_an_ephemeral_disk(self, world, alice):
        assert "ephemeral" in alice.post("/instances", create_body(volume=None), status=400).text
        view = alice.post("/instances", create_body(volume=None, flavorRef="10")).json["instance"]
        assert "volume" not in view

    def test_no_disk_is_needed_without_a_device(self, world, alice, options):
        options.set_override("device_path", None, group="mysql")
        create(alice, volume=None)


def test_the_default_datastore(world, alice, options):
    options.set_override("default_datastore", "mysql")
    assert alice.post("/instances", create_body(datastore=None)).json["instance"]["datastore"]["type"] == "mysql"


def test_quota_counts_instances_and_gigabytes(world, alice, bob, options):
    options.set_override("max_instances_per_tenant", 2)
    options.set_override("max_volumes_per_tenant", 5)
    create(alice, volume={"size": 3})
    before = world.counts()
    assert "volumes" in alice.post("/instances", create_body(volume={"size": 3}), status=413).text
    assert world.counts() == before
    create(alice)
    both = alice.post("/instances", create_body(volume={"size": 5}), status=413).text
    assert "instances" in both
    assert "volumes" in both
    create(bob)


def test_a_create_whose_cast_fails_is_there_for_the_sweep(world, alice, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise rpc.messaging.MessageDeliveryFailure("the broker is away")
    world.cast_for_real()
    monkeypatch.setattr(rpc, "get_client", refuse)
    instance_id = create(alice)
    [operation] = world.operations(instance_id)
    with world.db.reader() as session:
        assert operations.claimable(session, world.db.now(session), 10) == [operation.id]
    assert alice.get(f"/instances/{instance_id}").json["instance"]["status"] == "BUILD"


def test_a_create_that_dies_before_the_commit_leaves_nothing(world, alice, wsgi_app, monkeypatch):
    wsgi_app.broken = True

    def die(*_args, **_kwargs):
        raise RuntimeError("killed")
    before = world.counts()
    monkeypatch.setattr(operations, "begin", die)
    alice.post("/instances", create_body(), status=500)
    assert world.counts() == before


def test_nova_away_and_no_flavor_known(world, alice):
    nova.Cloud.failure = ConnectionError("no route")
    before = world.counts()
    alice.post("/instances", create_body(), status=503)
    assert world.counts() == before


def test_a_datastore_manager_that_is_not_known_here(world, alice):
    with world.db.writer() as session:
        session.execute(tables.datastore_versions.update().values(manager="oracle"))
    assert "'oracle' is not known" in alice.post("/instances", create_body(), status=501).text
