"""Build an instance: a server with a volume, reachable on its datastore's ports, whose agent has made the database.

A build that failed is undone in the cloud; the instance stays, visible and charged, with its error task and the fault
until the user deletes it.
"""
from trove.common import exception
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatuses
from trove.db import models as db_models
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import bus, compute, guest, network, replication, secrets, volume


def done(session, work):
    """The instance is the user's now."""
    models.compare_and_set_task(session, work.resource_id, [InstanceTasks.BUILDING], InstanceTasks.NONE)
    models.clear_faults(session, work.resource_id)
    if work.args.get("root") and session.get(models.RootHistory, work.resource_id) is None:
        session.add(models.RootHistory(id=work.resource_id, user=work.context.user_id, created=db_models.utcnow()))
    bus.forget_password(work)


def failed(session, work, step, error, message):
    """Mark the instance with the error of the step that failed and have the steps undone."""
    task = step.error_task
    timed_out = isinstance(error, exception.PollTimeOut)
    if work.args.get("replica_of") and step.name in ("restore", "guest") and not timed_out:
        task = InstanceTasks.BUILDING_ERROR_REPLICA
    if task is InstanceTasks.BUILDING_ERROR_TIMEOUT_GA:
        if not timed_out:
            task = InstanceTasks.BUILDING_ERROR_SERVER
        elif CONF.update_status_on_fail:
            models.service_status(session, work.resource_id).status = ServiceStatuses.FAILED_TIMEOUT_GUESTAGENT
        else:  # the operator wants that a guest which is late can still become ACTIVE
            task = InstanceTasks.NONE
    # A task that is not BUILDING any more is DELETING: that stays.
    models.compare_and_set_task(session, work.resource_id, [InstanceTasks.BUILDING], task)
    models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
    bus.forget_password(work)
    return task is not InstanceTasks.NONE


# The message for the guest is sent before its server is up: it waits in the queue, so the agent finds it at once.
FLOW = Flow("instance.create", done=done, failed=failed, steps=(
    Step("volume", volume.create_volume, "volume_time_out", InstanceTasks.BUILDING_ERROR_VOLUME,
         undo=volume.delete_volume),
    Step("security_group", network.create_security_group, "security_group_time_out",
         InstanceTasks.BUILDING_ERROR_SEC_GROUP, undo=network.delete_security_group),
    Step("bus_account", bus.create_account, "guest_bus_time_out", InstanceTasks.BUILDING_ERROR_SERVER,
         undo=bus.delete_account),
    Step("volume_available", volume.wait_for_volume, "volume_time_out", InstanceTasks.BUILDING_ERROR_VOLUME),
    Step("server", compute.create_server, "server_create_time_out", InstanceTasks.BUILDING_ERROR_SERVER,
         undo=compute.delete_server),
    Step("snapshot", replication.wait_for_snapshot, "agent_replication_snapshot_timeout",
         InstanceTasks.BUILDING_ERROR_REPLICA, undo=replication.forget_replica),
    Step("prepare", guest.prepare, "guest_bus_time_out", InstanceTasks.BUILDING_ERROR_SERVER),
    Step("server_active", compute.wait_for_server, "server_create_time_out", InstanceTasks.BUILDING_ERROR_SERVER),
    Step("restore", guest.wait_for_restore, "restore_usage_timeout", InstanceTasks.BUILDING_ERROR_TIMEOUT_GA),
    Step("guest", guest.wait_for_guest, "usage_timeout", InstanceTasks.BUILDING_ERROR_TIMEOUT_GA),
    Step("server_certificate", secrets.certify_server, "guest_rotation_time_out", InstanceTasks.BUILDING_ERROR_SERVER),
))
