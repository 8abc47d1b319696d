"""The shipped flows from end to end against minicloud."""
from tests.fakes.agent import GUESTS
from tests.functional.taskmanager.conftest import NOTHING, ONE
from trove.common.instance import ServiceStatuses
from trove.instance.tasks import InstanceTasks


def test_create_then_restart_then_delete(world):
    instance_id = world.built()
    instance = world.instance(instance_id)
    assert instance.task is InstanceTasks.NONE
    assert instance.server_status == "ACTIVE"
    assert instance.address_list[0]["network"] == "private"
    assert world.counts() == ONE
    world.run(world.restart(instance_id))
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert GUESTS.called("restart") == [{}]
    world.run(world.delete(instance_id))
    assert world.instance(instance_id).deleted
    assert world.service_status(instance_id) is ServiceStatuses.DELETED
    assert world.counts() == NOTHING
