"""A promotion that has opened the new source succeeds, whatever one of the other servers then answers."""
from tests.fakes.agent import GUESTS
from tests.functional.taskmanager.test_crash_points import scheduled
from trove.common import exception
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations


def refuse(instance_id, refused, error):
    """Let one guest answer one command with an error."""
    def answer(asked, method):
        if (asked, method) == (instance_id, refused):
            raise error
    GUESTS.answer = answer


def test_events_that_cannot_be_enabled_are_named(world):
    source_id, [instance_id] = world.replicated(1)
    scheduled(source_id, instance_id)
    refuse(instance_id, "switch_events", exception.NotFound("The database server does not know that database."))
    operation_id = world.promote(instance_id)
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.DONE
    assert "db1.runs could not be enabled. The database server" in world.fault(instance_id).message
    assert world.instance(source_id).slave_of_id == instance_id
    assert [world.instance(each).task for each in (source_id, instance_id)] == [InstanceTasks.NONE] * 2


def test_a_replica_whose_server_lacks_a_table_is_not_gone(world):
    _, [instance_id, other] = world.replicated()
    refuse(other, "attach_replica", exception.NotFound("The database server does not know a table (error 1146)."))
    world.run(world.promote(instance_id))
    assert world.instance(other).task == InstanceTasks.PROMOTION_ERROR
    assert "error 1146" in world.fault(other).message
