"""Start the server of an instance that went down by itself; its agent starts the database and reports it."""
from trove.common.instance import ServiceStatuses
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import compute, guest


def _free(session, work):
    task = InstanceTasks.RESTART_REQUIRED if work.args["restart_required"] else InstanceTasks.NONE
    models.compare_and_set_task(session, work.resource_id, [InstanceTasks.REBOOTING], task)


def done(session, work):
    """The instance is as it was before it went down."""
    _free(session, work)
    models.clear_faults(session, work.resource_id)


def failed(session, work, step, _error, message):
    """Free the instance; one that was not heard of again is not started again by itself."""
    _free(session, work)
    models.set_service_status(session, work.resource_id, ServiceStatuses.UNKNOWN)
    models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
    return False


FLOW = Flow("instance.start", done=done, failed=failed, steps=(
    Step("start", compute.start_server, "reboot_time_out", InstanceTasks.NONE),
    Step("server_active", compute.wait_for_server, "reboot_time_out", InstanceTasks.NONE),
    Step("guest", guest.wait_for_running, "reboot_time_out", InstanceTasks.NONE),
))
