"""Let the best replica take the place of a source whose guest is silent.

The server of the old source is stopped first, and stays so: its agent may be silent while its database still takes
writes. An administrator who starts it again gets an instance of its own with the data of then.
"""
from trove.common.instance import ServiceStatuses
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.flows import promote
from trove.taskmanager.steps import failover

_LEFT = InstanceTasks.EJECTION_ERROR


def done(session, work):
    """The best replica is the source."""
    promote.end(session, work, InstanceTasks.EJECTING, InstanceTasks.EJECTION_ERROR)
    # It was stopped on purpose: nobody starts it but an administrator.
    models.set_service_status(session, work.args["source"], ServiceStatuses.SHUTDOWN)
    models.record_fault(session, work.args["source"],
                        f"It was ejected and its server stopped; {failover.candidate_id(work)} is the source now.",
                        "eject", work.context.request_id)
    failover.tell_events(session, work)
    _tell_smaller(session, work)


def _tell_smaller(session, work):
    """Record a fault for each replica whose volume is smaller than that of the new source, with the cure."""
    new = failover.candidate_id(work)
    size = models.DBInstance.get(session, new).volume_size
    for instance_id in models.replica_ids(session, new):
        own = models.DBInstance.get(session, instance_id).volume_size
        if size and own and own < size:
            models.record_fault(session, instance_id, (
                f"Its volume has {own} GB, that of its new source {new} {size} GB. Resize the volume of {new} to "
                f"{size} GB: that resizes its smaller replicas."), "eject", work.context.request_id)


def failed(session, work, step, _error, message):
    """Have it undone, unless the new source is open already."""
    return promote.give_back(session, work, step, message, InstanceTasks.EJECTING, InstanceTasks.EJECTION_ERROR)


def undone(session, work):
    """Everything is as it was, or it is said what is not."""
    promote.give_up(session, work, InstanceTasks.EJECTING, InstanceTasks.EJECTION_ERROR)


FLOW = Flow("instance.eject", done=done, failed=failed, undone=undone, cancellable=False, steps=(
    Step("stop_server", failover.stop_server, "reboot_time_out", _LEFT, undo=failover.start_server),
    Step("choose", failover.choose, "replication_time_out", _LEFT),
    Step("catch_up", failover.catch_up, "replication_time_out", _LEFT),
    Step("free", failover.free_candidate, "switchover_time_out", _LEFT, undo=failover.bind_candidate),
    Step("accounts", failover.prepare_candidate, "replication_time_out", _LEFT),
    Step("open", failover.open_candidate, "switchover_time_out", _LEFT, undo=failover.close_candidate),
    Step("rows", failover.swap, "operation_cancel_time_out", _LEFT),
    Step("replicas", failover.repoint, "replication_time_out", _LEFT),
    Step("events", failover.note_events, "replication_time_out", _LEFT),
))
