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
    assert world.casts[-1] == ("resize_flavor", {"instance_id": instance_id, "operation_id": operation.id})
    assert "its task is RESIZING" in refused(world, alice, instance_id, VOLUME, 422)


@pytest.mark.parametrize("volume", [{"size": 3}, {"size": "3"}, 3, "3"])
def test_volume(world, alice, volume):
    instance_id = create_active(world, alice)
    resize(alice, instance_id, {"volume": volume})
    view = alice.get(f"/instances/{instance_id}").json["instance"]
    assert (view["status"], view["volume"]["size"]) == ("RESIZE", 1)
    operation = world.operations(instance_id)[-1]
    assert (operation.kind, operation.args["size"], operation.args["old_size"]) == ("instance.resize_volume", 3, 1)
    assert world.casts[-1] == ("resize_volume", {"instance_id": instance_id, "operation_id": operation.id})


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
