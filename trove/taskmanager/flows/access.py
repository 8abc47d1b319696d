"""Let other networks connect to an instance than before. New rules are made before old ones go."""
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import network


def done(session, work):
    """Forget an earlier failure to do so, unless the instance is in an error for another reason."""
    if not models.DBInstance.get(session, work.resource_id).task.is_error:
        models.clear_faults(session, work.resource_id)


def failed(session, work, step, _error, message):
    """Keep the reason; rules that were made or deleted stay so, and the next change sets all of them."""
    models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
    return False


FLOW = Flow("instance.access", done=done, failed=failed, steps=(
    Step("rules", network.set_rules, "security_group_time_out", InstanceTasks.NONE),
))
