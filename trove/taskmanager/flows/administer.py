"""Change the databases and users of an instance: one flow for each kind of change.

Changes of an instance are carried out in the order of their requests. Nothing else is kept away: while the database is
restarted, resized or stopped they wait, and after that the guest is asked again.
"""
from trove.common import exception
from trove.instance import administration, models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import administration as steps

_CARRY_OUT, _CHECK = "carry_out", "check"


def done(session, work):
    """The guest takes changes again: forget that it did not."""
    for step in (_CHECK, _CARRY_OUT):
        models.clear_faults(session, work.resource_id, step)


def failed(session, work, step, error, message):
    """Keep the reason as the instance's fault, unless the request was to blame: then the operation says enough."""
    if not isinstance(error, exception.TroveError) or isinstance(error, exception.GuestError) or error.code >= 500:
        models.record_fault(session, work.resource_id, f"{work.operation.kind}: {message}", step.name,
                            work.context.request_id)
    return False


FLOWS = tuple(Flow(kind, done=done, failed=failed, steps=(
    Step(_CHECK, steps.check, "administration_time_out", InstanceTasks.NONE),
    Step(_CARRY_OUT, steps.carry_out, "administration_time_out", InstanceTasks.NONE),
)) for kind in administration.CHANGES)
