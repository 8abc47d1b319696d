"""Bring the server of an instance to the values that its configuration group has now.

What is true is in the group's rows and the instance's; the operation only knows what was taken away. So an operation
that a later one has replaced, or that was repeated, does no harm. It begins when the instance does nothing else.
"""
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import configuration


def done(session, work):
    """Say that a restart is needed, if one is. An instance that is busy again is restarted with the new values, or
    deleted.
    """
    if work.data.get("restart_required"):
        models.compare_and_set_task(session, work.resource_id, [InstanceTasks.NONE], InstanceTasks.RESTART_REQUIRED)
    if work.data.get("refused"):  # a value may be wrong, and then the server will not start with it
        reasons = "; ".join(f"{name} ({reason})" for name, reason in sorted(work.data["refused"].items()))
        models.record_fault(session, work.resource_id, f"The running server did not take these values: {reasons}",
                            "apply", work.context.request_id)


def failed(session, work, step, _error, message):
    """The server does not have the values; a restart writes them first."""
    models.compare_and_set_task(session, work.resource_id, [InstanceTasks.NONE], step.error_task)
    models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
    return False


FLOW = Flow("instance.configure", done=done, failed=failed, steps=(
    Step("turn", configuration.wait_for_turn, "configuration_time_out", InstanceTasks.RESTART_REQUIRED),
    Step("write", configuration.write, "agent_call_high_timeout", InstanceTasks.RESTART_REQUIRED),
    Step("apply", configuration.apply, "agent_call_high_timeout", InstanceTasks.RESTART_REQUIRED),
))
