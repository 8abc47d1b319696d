"""Delete an instance with all that belongs to it, whatever state it is in. Every step is content with absence."""
from trove.backup import archives
from trove.common.instance import ServiceStatuses
from trove.db import guest_secrets
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import bus, compute, guest, network, operations, replication, volume


def done(session, work):
    """The instance is gone for its user; the row stays for the administrator."""
    instance = models.DBInstance.get(session, work.resource_id)
    instance.task = InstanceTasks.NONE
    instance.soft_delete()
    status = models.service_status(session, work.resource_id)
    if status is not None:
        status.status = ServiceStatuses.DELETED
    archives.end(session, instance_id=work.resource_id)
    models.forget_guest(session, work.resource_id)
    guest_secrets.forget(session, work.resource_id)


def failed(session, work, step, _error, message):
    """Say what could not be deleted; deleting may be asked for again."""
    models.compare_and_set_task(session, work.resource_id, InstanceTasks.all(), step.error_task)
    models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
    return False


FLOW = Flow("instance.delete", done=done, failed=failed, steps=(
    Step("stop_others", operations.stop_others, "operation_cancel_time_out", InstanceTasks.DELETING_ERROR),
    Step("stop_database", guest.stop_database, "agent_call_high_timeout", InstanceTasks.DELETING_ERROR),
    Step("source", replication.forget_replica, "agent_call_high_timeout", InstanceTasks.DELETING_ERROR),
    Step("server", compute.delete_server, "server_delete_time_out", InstanceTasks.DELETING_ERROR),
    Step("volume", volume.delete_volume, "volume_time_out", InstanceTasks.DELETING_ERROR),
    Step("security_group", network.delete_security_group, "security_group_time_out", InstanceTasks.DELETING_ERROR),
    Step("bus_account", bus.delete_account, "guest_bus_time_out", InstanceTasks.DELETING_ERROR),
))
