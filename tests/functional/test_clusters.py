"""Clusters (rest-api 3.6 and 4, /clusters): no datastore of this release has them, so their rows are made by hand."""
import pytest

from tests.functional.world import UNKNOWN
from trove.cluster.models import DBCluster
from trove.cluster.tasks import ClusterTasks
from trove.db import models
from trove.instance.models import DBInstance


def body(**more):
    given = {"name": "c1", "datastore": {"type": "mysql", "version": "5.7"},
             "instances": [{"flavorRef": "1", "volume": {"size": "1"}, "nics": [{"net-id": "n"}]}] * 3, **more}
    return {"cluster": {key: value for key, value in given.items() if value is not None}}


def add(world, tenant="tenant-a", task=ClusterTasks.NONE, members=2, **columns):
    """A cluster with members; returns its id and theirs."""
    with world.db.writer() as session:
        row = DBCluster(name="c1", tenant_id=tenant, task_id=task.code,
                        datastore_version_id=world.catalog["mysql 5.7"].id, **columns)
        session.add(row)
    ids = world.add_instances(tenant, members, cluster_id=row.id, type="member", shard_id=None)
    return row.id, ids


class TestCreate:
    def test_501_for_every_datastore(self, world, alice):
        assert "has no clusters" in alice.post("/clusters", body(), status=501).text
        alice.post("/clusters", body(datastore={"type": "mariadb", "version": "10.11"}), status=501)

    @pytest.mark.parametrize(("change", "code"), [
        ({"datastore": {"type": "nothing", "version": "1"}}, 404),
        ({"datastore": {"type": "mysql", "version": "9"}}, 400),
        ({"datastore": {"type": "mysql", "version": "5.6"}}, 400), ({"datastore": {"type": "mysql"}}, 400),
        ({"datastore": None}, 400), ({"name": None}, 400), ({"instances": []}, 400), ({"instances": None}, 400),
        ({"instances": [{"volume": {"size": 1}}]}, 400), ({"locality": "near"}, 400)])
    def test_refused(self, world, alice, change, code):
        alice.post("/clusters", body(**change), status=code)


class TestIndexAndShow:
    def test_index(self, world, alice, bob):
        mine, members = add(world)
        add(world, tenant="tenant-b")
        add(world, deleted=True, deleted_at=models.utcnow(), members=1)
        [view] = alice.get("/clusters").json["clusters"]
        assert view["id"] == mine
        assert view["task"] == {"id": 1, "name": "NONE", "description": "No tasks for the cluster."}
        assert view["datastore"] == {"type": "mysql", "version": "5.7"}
        assert [member["id"] for member in view["instances"]] == members
        assert view["instances"][0].items() >= {"name": "db-0", "type": "member"}.items()

    def test_pages_cost_two_statements(self, world, alice, statements):
        ids = sorted(add(world)[0] for _ in range(3))
        del statements[:]
        first = alice.get("/clusters?limit=2").json
        assert len(statements) == 2
        assert [view["id"] for view in first["clusters"]] == ids[:2]
        assert f"marker={ids[1]}" in first["links"][0]["href"]
        rest = alice.get(f"/clusters?limit=2&marker={ids[1]}").json
        assert [view["id"] for view in rest["clusters"]] == ids[2:]
        assert "links" not in rest
        assert alice.get(f"/clusters?marker={ids[2]}").json == {"clusters": []}
        alice.get("/clusters?limit=0", status=400)

    def test_show(self, world, alice, bob, admin):
        cluster_id, members = add(world)
        with world.db.writer() as session:
            session.get(DBInstance, members[1]).address_list = [
                {"address": "10.1.2.3", "network": "private", "type": "fixed"}]
        view = alice.get(f"/clusters/{cluster_id}").json["cluster"]
        assert view["ip"] == ["10.1.2.3"]
        assert view["instances"][1].items() >= {"volume": {"size": 1}, "ip": ["10.1.2.3"]}.items()
        assert {member["flavor"]["id"] for member in view["instances"]} == {"1"}
        assert admin.get(f"/clusters/{cluster_id}").json["cluster"]["id"] == cluster_id
        bob.get(f"/clusters/{cluster_id}", status=404)
        alice.get(f"/clusters/{UNKNOWN}", status=404)

    def test_member(self, world, alice, bob):
        cluster_id, members = add(world)
        other = world.add_instances("tenant-a", 1)[0]
        view = alice.get(f"/clusters/{cluster_id}/instances/{members[0]}").json["instance"]
        assert (view["id"], view["cluster_id"]) == (members[0], cluster_id)
        alice.get(f"/clusters/{cluster_id}/instances/{other}", status=404)
        bob.get(f"/clusters/{cluster_id}/instances/{members[0]}", status=404)

    def test_members_are_hidden_in_the_list_of_instances(self, world, alice):
        members = add(world)[1]
        assert alice.get("/instances").json["instances"] == []
        assert [view["id"] for view in alice.get("/instances?include_clustered=True").json["instances"]] == members


class TestActions:
    @pytest.mark.parametrize("action", [
        {"add_shard": {}}, {"grow": [{"flavorRef": "1", "volume": {"size": "1"}}]}, {"shrink": [{"id": UNKNOWN}]},
        {"upgrade": "5.8"}])
    def test_unsupported(self, world, alice, bob, action):
        path = f"/clusters/{add(world)[0]}"
        assert "not supported" in alice.post(path, action, status=400).text
        bob.post(path, action, status=404)
        busy = f"/clusters/{add(world, task=ClusterTasks.BUILDING)[0]}"
        assert "BUILDING" in alice.post(busy, action, status=422).text

    @pytest.mark.parametrize("action", [
        None, {}, {"dance": {}}, {"add_shard": {}, "upgrade": "5.8"}, {"grow": {}}, {"grow": []}, {"shrink": [{}]}])
    def test_no_action(self, world, alice, action):
        alice.post(f"/clusters/{add(world)[0]}", action, status=400)

    def test_reset_status(self, world, alice, bob):
        path = f"/clusters/{add(world, task=ClusterTasks.GROWING)[0]}"
        bob.post(path, {"reset-status": {}}, status=404)
        assert alice.post(path, {"reset-status": {}}, status=202).body == b""
        assert alice.get(path).json["cluster"]["task"]["name"] == "NONE"

    @pytest.mark.parametrize(("task", "code"), [
        (ClusterTasks.NONE, 501), (ClusterTasks.DELETING, 501), (ClusterTasks.BUILDING, 422)])
    def test_delete(self, world, alice, bob, task, code):
        path = f"/clusters/{add(world, task=task)[0]}"
        alice.delete(path, status=code)
        bob.delete(path, status=404)

    def test_root(self, world, alice, bob):
        path = f"/clusters/{add(world)[0]}/root"
        alice.get(path, status=501)
        alice.post(path, status=501)
        alice.post(path, {"password": "secret"}, status=501)
        bob.get(path, status=404)
        bob.post(path, status=404)

    def test_there_is_no_action_below(self, world, alice):
        alice.post(f"/clusters/{add(world)[0]}/action", {"add_shard": {}}, status=404)


class TestManagement:
    def test_index_and_show(self, world, admin):
        live, gone = add(world)[0], add(world, deleted=True, deleted_at=models.utcnow(), members=1)[0]

        def listed(query):
            return {view["id"] for view in admin.get(f"/mgmt/clusters{query}").json["clusters"]}
        assert listed("") == {live, gone}
        assert listed("?deleted=False") == {live}
        assert listed("?deleted=true") == {gone}
        view = admin.get(f"/mgmt/clusters/{gone}").json["cluster"]
        assert (view["tenant_id"], view["deleted"]) == ("tenant-a", True)
        assert view["deleted_at"]
        admin.get(f"/mgmt/clusters/{UNKNOWN}", status=404)

    def test_reset_task(self, world, admin, alice):
        cluster_id = add(world, task=ClusterTasks.DELETING)[0]
        admin.post(f"/mgmt/clusters/{cluster_id}/action", {"reset-task": {}}, status=202)
        assert alice.get(f"/clusters/{cluster_id}").json["cluster"]["task"]["name"] == "NONE"
        for wrong in (None, {}, {"reset": {}}, {"reset-task": {}, "x": 1}):
            admin.post(f"/mgmt/clusters/{cluster_id}/action", wrong, status=400)
        admin.post(f"/mgmt/clusters/{UNKNOWN}/action", {"reset-task": {}}, status=404)
        alice.post(f"/mgmt/clusters/{cluster_id}/action", {"reset-task": {}}, status=403)
