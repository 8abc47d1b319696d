"""Make an instance of its own of a replica: it keeps what it has, takes writes, and its source forgets it."""
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import failover, replication

_FIRST = "detach"


def _free(session, work):
    task = InstanceTasks.RESTART_REQUIRED if work.args.get("restart_required") else InstanceTasks.NONE
    models.compare_and_set_task(session, work.resource_id, [InstanceTasks.DETACHING], task)


def cancelled(session, work):
    """A guest that was told to follow nobody must not count as a replica, lest a failover makes it one again.

    One that is deleted needs its source in the row, where its account is removed.
    """
    instance = models.DBInstance.get(session, work.resource_id)
    if work.operation.step != _FIRST and instance.task is not InstanceTasks.DELETING:
        instance.slave_of_id = None
        session.flush()
    _free(session, work)


def done(session, work):
    """It is free, in both meanings."""
    _free(session, work)
    models.clear_faults(session, work.resource_id)


def failed(session, work, step, _error, message):
    """It stays the replica that it was; the fault says why."""
    models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
    return True


FLOW = Flow("instance.detach", done=done, failed=failed, undone=_free, cancelled=cancelled, steps=(
    Step(_FIRST, failover.detach, "replication_time_out", InstanceTasks.NONE, undo=failover.attach_again),
    Step("source", replication.forget_replica, "agent_call_high_timeout", InstanceTasks.NONE),
    Step("row", failover.part, "operation_cancel_time_out", InstanceTasks.NONE),
))
