"""Reboot the server of an instance; its agent starts the database again and reports it."""
from trove.common.instance import ServiceStatuses
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import compute, configuration, guest


def done(session, work):
    """The instance is free again, and nothing waits for a restart any more, unless its values could not be written."""
    task = InstanceTasks.RESTART_REQUIRED if work.data.get("unwritten") else InstanceTasks.NONE
    models.compare_and_set_task(session, work.resource_id, [InstanceTasks.REBOOTING], task)
    models.clear_faults(session, work.resource_id)


def failed(session, work, step, _error, message):
    """Free the instance all the same; a guest that was not heard of again does not look as if it still rebooted."""
    task = InstanceTasks.RESTART_REQUIRED if work.args.get("configuration") else step.error_task
    models.compare_and_set_task(session, work.resource_id, [InstanceTasks.REBOOTING], task)
    status = models.service_status(session, work.resource_id)
    if status is not None and status.status == ServiceStatuses.PAUSED:
        status.status = ServiceStatuses.UNKNOWN
    models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
    return False


FLOW = Flow("instance.reboot", done=done, failed=failed, steps=(
    Step("configuration", configuration.try_to_write, "operation_cancel_time_out", InstanceTasks.NONE),
    Step("stop_database", guest.stop_database, "agent_call_high_timeout", InstanceTasks.NONE),
    Step("reboot", compute.reboot_server, "reboot_time_out", InstanceTasks.NONE),
    Step("server_active", compute.wait_for_server, "reboot_time_out", InstanceTasks.NONE),
    Step("guest", guest.wait_for_running, "reboot_time_out", InstanceTasks.NONE),
))
