"""Asking for another flavor or a larger volume: what is refused with which code, and what is written (rest-api 3.1b,
states 6 and 7).
"""
import pytest

from tests.fakes import nova
from tests.functional.test_clusters import add as add_cluster
from tests.functional.world import UNKNOWN, create, create_active
from trove.common import cached
from trove.common.instance import ServiceStatuses
from trove.db.sqlalchemy import tables
from trove.instance import create as create_module
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations

FLAVOR, VOLUME = {"flavorRef": "2"}, {"volume": {"size": 3}}
BOTH = pytest.mark.parametrize("value", [FLAVOR, VOLUME])


def resize(caller, instance_id, value, status=202):
    return caller.post(f"/instances/{instance_id}/action", {"resize": value}, status=status)


def usage(caller):
    return next(quota for quota in caller.get("/mgmt/quotas/tenant-a").json["quotas"] if quota["resource"] == "volumes")


def refused(world, caller, instance_id, value, status):
    """The text of the refusal, after which nothing is changed."""
    before = world.row(instance_id), world.counts()
    text = resize(caller, instance_id, value, status).text
    assert (world.row(instance_id), world.counts()) == before
    return text


@pytest.mark.parametrize("ref", [2, "2", 2.0, "http://here/v1.0/t/flavors/2"])
def test_flavor(world, alice, ref):
    instance_id = create_active(world, alice)
    resize(alice, instance_id, {"flavorRef": ref})
    view = alice.get(f"/instances/{instance_id}").json["instance"]
    assert (view["status"], view["flavor"]["id"]) == ("RESIZE", "1")
    operation = world.operations(instance_id)[-1]
    assert operation.kind == "instance.resize_flavor"
    assert (operation.args["old_flavor"]["ram"], operation.args["flavor"]["ram"]) == (512, 2048)
    assert world.casts[-1] == ("instance.resize_flavor", operation.id)
    assert "its task is RESIZING" in refused(world, alice, instance_id, VOLUME, 422)


@pytest.mark.parametrize("volume", [{"size": 3}, {"size": "3"}, 3, "3"])
def test_volume(world, alice, volume):
    instance_id = create_active(world, alice)
    resize(alice, instance_id, {"volume": volume})
    view = alice.get(f"/instances/{instance_id}").json["instance"]
    assert (view["status"], view["volume"]["size"]) == ("RESIZE", 1)
    operation = world.operations(instance_id)[-1]
    assert (operation.kind, operation.args["size"], operation.args["old_size"]) == ("instance.resize_volume", 3, 1)
    assert world.casts[-1] == ("instance.resize_volume", operation.id)


@pytest.mark.parametrize(("value", "code", "text"), [
    ({"flavorRef": "1"}, 400, "has the flavor '1' already"),
    ({"flavorRef": "77"}, 400, "there is no flavor '77'"),
    ({"flavorRef": "10"}, 501, "ephemeral disk"),
    ({"volume": 1}, 400, "must be more than the 1 GB"),
    ({"volume": {"size": "0"}}, 400, "must be more than the 1 GB"),
    ({"volume": {"size": 6}}, 413, "more than the largest volume accepted, 5 GB"),
    ({"volume": {"size": "9" * 40}}, 413, "largest volume"),
    ({"flavorRef": "2", "volume": 2}, 400, "resize")])
def test_what_is_refused(world, alice, value, code, text):
    assert text in refused(world, alice, create_active(world, alice), value, code)


@BOTH
def test_who_may(world, alice, bob, admin, value):
    instance_id = create_active(world, alice)
    refused(world, bob, instance_id, value, 404)
    resize(alice, UNKNOWN, value, 404)
    resize(admin, instance_id, value)
    assert world.operations(instance_id)[-1].tenant_id == "tenant-admin"


@BOTH
@pytest.mark.parametrize(("columns", "text"), [
    ({"task": InstanceTasks.REBOOTING}, "REBOOTING"), ({"server_status": "SHUTOFF"}, "SHUTOFF"),
    ({"service": ServiceStatuses.FAILED}, "failed to spawn")])
def test_the_guard_comes_before_all_else(world, alice, value, columns, text):
    instance_id = create_active(world, alice)
    world.set(instance_id, **columns)
    assert text in refused(world, alice, instance_id, value, 422)
    refused(world, alice, instance_id, {"flavorRef": "77"}, 422)
    refused(world, alice, instance_id, {"volume": 1}, 422)


@BOTH
def test_not_while_a_backup_is_taken_and_not_in_a_cluster(world, alice, value):
    instance_id = create_active(world, alice)
    member = add_cluster(world)[1][0]
    world.add_backup(instance_id, "BUILDING")
    assert "BACKUP" in refused(world, alice, instance_id, value, 422)
    assert "work on the cluster" in refused(world, alice, member, value, 501)


def test_without_a_volume_there_is_none_to_grow(world, options, alice):
    options.set_override("volume_support", False, group="mysql")
    instance_id = create_active(world, alice, volume=None, flavorRef="10")
    assert "has no volume" in refused(world, alice, instance_id, VOLUME, 400)
    assert "has no ephemeral disk" in refused(world, alice, instance_id, {"flavorRef": "2"}, 400)


def test_a_flavor_that_the_version_is_not_offered_with(world, alice):
    instance_id = create_active(world, alice)
    world.bind_flavor("mysql 5.7", "1")
    assert "not offered for this datastore version" in refused(world, alice, instance_id, FLAVOR, 400)


def test_a_present_flavor_that_is_gone_could_not_be_gone_back_to(world, alice):
    instance_id = create_active(world, alice)
    world.set(instance_id, flavor_id="gone")
    assert "not offered any more" in refused(world, alice, instance_id, FLAVOR, 400)


def test_without_nova_nothing_is_begun(world, alice):
    instance_id = create_active(world, alice)
    cached.forget()
    nova.Cloud.failure = ConnectionError("no Nova")
    refused(world, alice, instance_id, FLAVOR, 503)


class TestQuota:
    def test_growth_is_reserved_while_it_is_under_way(self, world, alice):
        instance_id = create_active(world, alice)
        resize(alice, instance_id, VOLUME)
        assert (usage(alice)["in_use"], usage(alice)["reserved"]) == (1, 2)
        world.end_operations(instance_id, operations.FAILED, "no room")
        assert (usage(alice)["in_use"], usage(alice)["reserved"]) == (1, 0)

    def test_it_is_the_instances_tenant_that_pays(self, world, alice, admin):
        instance_id = create_active(world, alice)
        admin.put("/mgmt/quotas/tenant-a", {"quotas": {"volumes": 2}}, status=200)
        assert "volumes" in refused(world, alice, instance_id, VOLUME, 413)
        refused(world, admin, instance_id, VOLUME, 413)
        resize(admin, instance_id, {"volume": 2})
        assert (usage(alice)["in_use"], usage(alice)["reserved"]) == (1, 1)

    def test_what_grows_leaves_no_room_for_others(self, world, alice, admin):
        first, second = create_active(world, alice), create_active(world, alice)
        admin.put("/mgmt/quotas/tenant-a", {"quotas": {"volumes": 4}}, status=200)
        resize(alice, first, VOLUME)
        refused(world, alice, second, {"volume": 2}, 413)
        alice.post("/instances", {"instance": {"name": "m", "flavorRef": 1, "volume": {"size": 1},
                                               "datastore": {"type": "mysql"}}}, status=413)

    def test_a_deletion_gives_it_back(self, world, alice):
        instance_id = create_active(world, alice)
        resize(alice, instance_id, VOLUME)
        alice.delete(f"/instances/{instance_id}")
        world.end_operations(instance_id)
        assert (usage(alice)["in_use"], usage(alice)["reserved"]) == (0, 0)


def test_a_restart_that_was_due_is_not_forgotten(world, alice):
    instance_id = create_active(world, alice)
    world.set(instance_id, task=InstanceTasks.RESTART_REQUIRED)
    resize(alice, instance_id, FLAVOR)
    arguments = world.operations(instance_id)[-1].args
    assert (arguments["configuration"], arguments["restart_required"]) == (True, True)
    other = create(alice)
    world.activate(other)
    resize(alice, other, VOLUME)
    arguments = world.operations(other)[-1].args
    assert (arguments["configuration"], arguments["restart_required"]) == (False, False)
    assert len(world.rows(tables.reservations)) == 1


class TestReplicas:
    @pytest.fixture
    def family(self, world, alice):
        """A source with two replicas of 1 GB, all ACTIVE: their ids."""
        source, first, second = (create_active(world, alice, name=name) for name in ("s", "r1", "r2"))
        for replica in (first, second):
            world.set(replica, slave_of_id=source)
        world.casts.clear()
        return source, first, second

    def words(self, caller, ids):
        return [caller.get(f"/instances/{each}").json["instance"]["status"] for each in ids]

    def test_they_are_resized_with_their_source(self, world, alice, family):
        source, first, second = family
        world.set(second, task=InstanceTasks.RESTART_REQUIRED)
        resize(alice, source, VOLUME)
        assert self.words(alice, family) == ["RESIZE"] * 3
        assert (usage(alice)["in_use"], usage(alice)["reserved"]) == (3, 6)
        [operation] = [one for one in world.operations(source) if one.kind == "instance.resize_volume"]
        assert operation.args["replicas"][second] == {"old_size": 1, "configuration": True, "restart_required": True}
        assert world.casts == [("instance.resize_volume", operation.id)]
        shown = alice.get(f"/instances/{source}/operations").json["operations"][0]
        assert (shown["volume"], shown["replicas"]) == ({"size": 3}, sorted((first, second)))

    def test_larger_ones_stay_and_one_alone_may_grow(self, world, alice, family):
        source, first, second = family
        resize(alice, first, {"volume": 4})
        world.end_operations(first)
        world.set(first, volume_size=4, task=InstanceTasks.NONE)
        resize(alice, source, VOLUME)
        assert self.words(alice, family) == ["RESIZE", "ACTIVE", "RESIZE"]
        assert usage(alice)["reserved"] == 4

    @pytest.mark.parametrize(("columns", "text"), [
        ({"task": InstanceTasks.REBOOTING}, "REBOOTING"), ({"server_status": "SHUTOFF"}, "SHUTOFF"),
        ({"task": InstanceTasks.BUILDING_ERROR_REPLICA}, "BUILDING"),
        ({"service": ServiceStatuses.FAILED}, "failed to spawn")])
    def test_one_that_cannot_grow_is_named_and_nothing_is_changed(self, world, alice, family, columns, text):
        source, first, second = family
        world.set(second, **columns)
        before = [world.row(each) for each in family]
        answer = refused(world, alice, source, VOLUME, 409)
        assert text in answer and f"'r2' ({second})" in answer
        assert [world.row(each) for each in family] == before

    def test_one_that_is_busy_with_an_operation_or_silent_is_named(self, world, alice, family):
        source, first, second = family
        alice.patch(f"/instances/{first}", {"instance": {"access": {"allowed_cidrs": ["203.0.113.0/24"]}}}, status=202)
        assert "instance.access" in refused(world, alice, source, VOLUME, 409)
        world.end_operations(first)
        world.silence(second)
        assert "silent" in refused(world, alice, source, VOLUME, 409)

    def test_the_quota_counts_all_of_them_by_name(self, world, alice, admin, family):
        admin.put("/mgmt/quotas/tenant-a", {"quotas": {"volumes": 8}}, status=200)
        answer = refused(world, alice, family[0], VOLUME, 413)
        assert "6 GB more: 's' 2 GB, 'r1' 2 GB, 'r2' 2 GB." in answer
        resize(alice, family[0], {"volume": 2})

    def test_smaller_ones_grow_to_the_size_that_their_source_has(self, world, alice, family):
        source, _, second = family
        assert "more than the 1 GB" in refused(world, alice, source, {"volume": 1}, 400)
        world.set(source, volume_size=2)
        world.set(second, volume_size=3)
        assert "more than the 2 GB" in refused(world, alice, source, {"volume": 1}, 400)
        resize(alice, source, {"volume": 2})
        assert self.words(alice, family) == ["RESIZE", "RESIZE", "ACTIVE"]
        assert usage(alice)["reserved"] == 1

    @pytest.mark.parametrize(("sizes", "text"), [
        ((2, 1, 2), "Resize the volume of {first} to 2 GB first"), ((1, 2, 2), "the source {source} to 2 GB"),
        ((2, 2, 1), "{second} (1 GB)")])
    def test_no_promotion_makes_a_source_larger_than_its_replicas(self, world, alice, family, sizes, text):
        source, first, second = family
        for each, size in zip(family, sizes, strict=True):
            world.set(each, volume_size=size)
        answer = alice.post(f"/instances/{first}/action", {"promote_to_replica_source": {}}, status=409).text
        assert text.format(source=source, first=first, second=second) in answer
        assert not world.casts

    def test_a_source_that_has_grown_meanwhile_gets_no_smaller_replica(self, world, alice, monkeypatch):
        source = create_active(world, alice)
        check = create_module._check

        def and_then_it_grows(*args):
            found = check(*args)
            world.set(source, volume_size=2)
            return found
        monkeypatch.setattr(create_module, "_check", and_then_it_grows)
        answer = alice.post("/instances", {"instance": {"name": "r", "replica_of": source}}, status=400).text
        assert "volume.size: must be at least that of the source, 2 GB" in answer
