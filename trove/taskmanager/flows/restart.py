"""Restart the database server of an instance."""
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import configuration, guest


def done(session, work):
    """The instance is free again, and nothing waits for a restart any more."""
    models.compare_and_set_task(session, work.resource_id, [InstanceTasks.REBOOTING], InstanceTasks.NONE)
    models.clear_faults(session, work.resource_id)


def failed(session, work, step, _error, message):
    """Free the instance all the same: its status tells whether the database runs, the fault what went wrong."""
    # The values of its configuration group may be on their way, but they are not in force.
    task = InstanceTasks.RESTART_REQUIRED if work.args.get("configuration") else step.error_task
    models.compare_and_set_task(session, work.resource_id, [InstanceTasks.REBOOTING], task)
    models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
    return False


FLOW = Flow("instance.restart", done=done, failed=failed, steps=(
    Step("configuration", configuration.write_before_restart, "operation_cancel_time_out", InstanceTasks.NONE),
    Step("restart", guest.restart, "agent_call_high_timeout", InstanceTasks.NONE),
))
