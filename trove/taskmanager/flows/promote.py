"""Let a replica and its source change places, without the loss of a write that was acknowledged.

Until the candidate is opened everything is taken back when a step fails, and the source goes on as before. After that
the change is finished; a replica that does not follow the new source ends in an error of its own.
"""
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import failover

_CLOSED = InstanceTasks.PROMOTION_ERROR


def end(session, work, busy, error_task):
    """Free all who took part; those that do not follow the new source get an error and a fault.

    busy: the task that they have meanwhile.
    """
    for instance_id in (work.args["source"], *work.args["replicas"]):
        reason = work.data.get("failed", {}).get(instance_id)
        waits = instance_id in work.args["restart_required"]
        task = error_task if reason else InstanceTasks.RESTART_REQUIRED if waits else InstanceTasks.NONE
        moved = models.compare_and_set_task(session, instance_id, [busy], task)
        if moved and reason:
            models.record_fault(session, instance_id, f"It does not follow {failover.candidate_id(work)}: {reason}",
                                "repoint", work.context.request_id)
        elif moved:
            models.clear_faults(session, instance_id)


def give_back(session, work, step, message, busy, error_task):
    """Returns whether it is to be undone; else all but the new source end in an error with the cause."""
    if not work.data.get("opened"):
        models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
        return True
    late = {work.args["source"], *failover.others(work)} - set(work.data.get("followed", ()))
    work.data["failed"] = dict.fromkeys(late, message) | work.data.get("failed", {})
    end(session, work, busy, error_task)
    models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
    return False


def give_up(session, work, busy, error_task):
    """Free all who took part in what was undone; if something was not, source and candidate are in error."""
    stuck = work.data.get("not_undone", ())
    for instance_id in (work.args["source"], *work.args["replicas"]):
        waits = instance_id in work.args["restart_required"]
        task = InstanceTasks.RESTART_REQUIRED if waits else InstanceTasks.NONE
        if stuck and instance_id in (work.args["source"], work.args.get("candidate", work.data.get("candidate"))):
            task = error_task
        if not models.compare_and_set_task(session, instance_id, [busy], task):
            continue
        if stuck and task is error_task:
            models.record_fault(session, instance_id, " ".join(entry["message"] for entry in stuck),
                                stuck[0]["step"], work.context.request_id)


def done(session, work):
    """Roles are swapped."""
    end(session, work, InstanceTasks.PROMOTING, InstanceTasks.PROMOTION_ERROR)
    failover.tell_events(session, work)


def failed(session, work, step, _error, message):
    """Have it undone, unless the new source is open already."""
    return give_back(session, work, step, message, InstanceTasks.PROMOTING, InstanceTasks.PROMOTION_ERROR)


def undone(session, work):
    """Everything is as it was, or it is said what is not."""
    give_up(session, work, InstanceTasks.PROMOTING, InstanceTasks.PROMOTION_ERROR)


FLOW = Flow("instance.promote", done=done, failed=failed, undone=undone, cancellable=False, steps=(
    Step("near", failover.wait_near, "replication_time_out", _CLOSED),
    Step("accounts", failover.prepare_candidate, "replication_time_out", _CLOSED),
    Step("close_source", failover.close_source, "switchover_time_out", _CLOSED, undo=failover.open_source),
    Step("catch_up", failover.catch_up, "switchover_time_out", _CLOSED),
    Step("free", failover.free_candidate, "switchover_time_out", _CLOSED, undo=failover.bind_candidate),
    Step("open", failover.open_candidate, "switchover_time_out", _CLOSED, undo=failover.close_candidate),
    Step("rows", failover.swap, "operation_cancel_time_out", _CLOSED),
    Step("replicas", failover.repoint, "replication_time_out", _CLOSED),
    Step("old_source", failover.repoint_source, "replication_time_out", _CLOSED),
    Step("events", failover.enable_events, "replication_time_out", _CLOSED),
))
