"""Stop the database server of an instance, for administrators; its agent goes on and reports that."""
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import guest


def done(session, work):
    """What was wrong before is of no interest any more."""
    models.clear_faults(session, work.resource_id)


def failed(session, work, step, _error, message):
    """Say that it may still run; the task of the instance was not touched."""
    models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
    return False


FLOW = Flow("instance.stop", done=done, failed=failed, steps=(
    Step("stop", guest.stop, "agent_call_high_timeout", InstanceTasks.NONE),
))
