"""Servers that went down by themselves are started again, a few times, and no others; volumes that came late go."""
import datetime

import pytest

from tests.fakes.agent import GUESTS
from tests.functional.taskmanager.test_crash_points import eject
from trove.common import remote
from trove.common.instance import ServiceStatuses
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.taskmanager import reconcile


def test_a_guest_that_crashed_is_started_and_said_to_reboot_meanwhile(world):
    instance_id = world.built()
    world.crash(instance_id)
    [operation_id] = world.revive()
    assert world.instance(instance_id).task is InstanceTasks.REBOOTING
    assert world.revive() == []  # it is under way
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.DONE
    assert world.server(instance_id).status == world.instance(instance_id).server_status == "ACTIVE"
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert world.service_status(instance_id) is ServiceStatuses.RUNNING
    assert world.revive() == []


def test_all_that_were_running_when_the_host_went_down_are_started(world):
    built = [world.built() for _ in range(3)]
    for instance_id in built:
        world.crash(instance_id)
    begun = world.revive()
    assert len(begun) == 3
    for operation_id in begun:
        world.run(operation_id)
    assert [world.server(instance_id).status for instance_id in built] == ["ACTIVE"] * 3


@pytest.mark.parametrize("change", [
    {"task": InstanceTasks.RESIZING}, {"task": InstanceTasks.BUILDING_ERROR_SERVER}, {"task": InstanceTasks.DELETING},
    {"status": ServiceStatuses.SHUTDOWN}, {"status": ServiceStatuses.UNKNOWN}, {"status": ServiceStatuses.FAILED}])
def test_what_was_stopped_or_is_worked_on_is_left_alone(world, change):
    instance_id = world.built()
    world.crash(instance_id)
    with world.db.writer() as session:
        if "task" in change:
            models.DBInstance.get(session, instance_id).task = change["task"]
        else:
            models.set_service_status(session, instance_id, change["status"])
    assert world.revive() == []


def test_a_database_that_an_administrator_stopped_keeps_its_server_off(world):
    instance_id = world.built()
    world.run(world.stop(instance_id))
    world.crash(instance_id)
    assert world.revive() == []


def test_another_operation_has_precedence(world):
    instance_id = world.built()
    world.crash(instance_id)
    world.stop(instance_id)
    assert world.revive() == []
    assert world.instance(instance_id).task is InstanceTasks.NONE


def test_a_source_with_replicas_is_left_for_an_ejection_first(world, conf):
    source_id, replica_id = world.built(), world.built()
    with world.db.writer() as session:
        models.DBInstance.get(session, replica_id).slave_of_id = source_id
    world.crash(source_id)
    assert world.revive() == []
    conf.set_override("server_start_source_delay", 0)
    with world.db.writer() as session:
        models.service_status(session, source_id).updated_at -= datetime.timedelta(seconds=5)
    assert len(world.revive()) == 1


def test_an_ejected_source_stays_off(world):
    source_id, operation_id = eject(world)
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.DONE
    assert world.instance(source_id).server_status == "SHUTOFF"
    assert world.revive() == []


def test_the_option_turns_it_off(world, conf):
    conf.set_override("server_start_limit", 0)
    instance_id = world.built()
    world.crash(instance_id)
    assert world.revive() == []


def test_one_that_goes_down_again_and_again_stays_off_and_says_so(world, conf):
    conf.set_override("server_start_limit", 2)
    instance_id = world.built()
    for _ in range(2):
        world.crash(instance_id)
        [operation_id] = world.revive()
        world.run(operation_id)
    world.crash(instance_id)
    assert world.revive() == world.revive() == []
    assert "started 2 times within an hour; now it stays off" in world.fault(instance_id).message
    assert world.service_status(instance_id) is ServiceStatuses.UNKNOWN
    assert len(world.cloud.server.host.guest(world.instance(instance_id).compute_instance_id)["console"]) == 3
    with world.db.writer() as session:  # an hour later, after somebody has started it by hand
        for row in session.query(operations.Operation).filter_by(kind="instance.start"):
            row.created_at -= 3601
        models.set_service_status(session, instance_id, ServiceStatuses.RUNNING)
    assert len(world.revive()) == 1


def test_one_that_is_not_heard_of_after_its_start_is_a_fault_and_not_started_again(world, conf):
    conf.set_override("reboot_time_out", 1)
    instance_id = world.built()
    world.crash(instance_id)
    GUESTS.boots = False
    [operation_id] = world.revive()
    world.run(operation_id)
    assert world.fault(instance_id).details == "guest"
    assert world.service_status(instance_id) is ServiceStatuses.UNKNOWN
    world.crash(instance_id)
    assert world.revive() == []


def test_a_restart_that_was_due_stays_due(world):
    instance_id = world.built()
    with world.db.writer() as session:
        models.DBInstance.get(session, instance_id).task = InstanceTasks.RESTART_REQUIRED
    world.crash(instance_id)
    [operation_id] = world.revive()
    world.run(operation_id)
    assert world.instance(instance_id).task is InstanceTasks.RESTART_REQUIRED


def test_one_that_is_up_again_by_then_is_not_touched(world):
    instance_id = world.built()
    world.crash(instance_id)
    [operation_id] = world.revive()
    world.server(instance_id).start()
    while world.server(instance_id).status != "ACTIVE":
        pass
    GUESTS.boots = False
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.DONE


def test_volumes_that_came_late_are_deleted_and_no_other(world, conf):
    gone, present, building = world.built(), world.built(), world.create()[0]
    world.run(world.delete(gone))
    cinder = remote.cinder_client()

    def make(instance_id, name=None):
        return cinder.volumes.create(1, name=name or f"datastore-{instance_id}",
                                     metadata={"trove_instance_id": instance_id}).id

    strays = {make(gone), make(present)}
    kept = {make(building), make("somebody-else"), make(gone, "a copy by hand"), world.volume(present).id}
    seen = set()
    while not strays <= seen:  # they are made in a moment
        seen = {found.id for found in cinder.volumes.list() if found.status in ("available", "in-use")}
    conf.set_override("trove_volume_support", False)  # a cloud without Cinder is not asked
    reconcile.look_at_volumes()
    assert strays | kept == {found.id for found in cinder.volumes.list() if found.status != "deleting"}
    conf.clear_override("trove_volume_support")
    reconcile.look_at_volumes()
    left = {found.id for found in cinder.volumes.list() if found.status != "deleting"}
    assert left == kept
