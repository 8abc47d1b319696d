"""Take the one snapshot of a source from which its new replicas are made, and remove it when they are.

It is taken as a backup, but no user may restore it or build on it: its row is deleted as soon as it is complete.
"""
from trove.backup import models
from trove.instance.models import RUNNING_BACKUP_STATES
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import backup, replication


def done(_session, _work):
    """The objects are gone, the row was before."""


def failed(session, work, _step, _error, _message):
    """The replicas that wait for it fail with its cause."""
    models.move(session, work.resource_id, models.FAILED, RUNNING_BACKUP_STATES)
    row = session.get(models.DBBackup, work.resource_id)
    if not row.deleted:
        row.soft_delete()
    return True


FLOW = Flow("backup.snapshot", done=done, failed=failed, steps=(
    Step("store", backup.prepare_store, "object_store_time_out", InstanceTasks.NONE, undo=backup.delete_objects),
    Step("source", replication.prepare_source, "replication_time_out", InstanceTasks.NONE),
    Step("send", backup.send, "guest_bus_time_out", InstanceTasks.NONE),
    Step("guest", backup.wait_for_guest, "agent_replication_snapshot_timeout", InstanceTasks.NONE),
    Step("check", backup.check_objects, "object_store_time_out", InstanceTasks.NONE),
    Step("manifest", backup.write_manifest, "object_store_time_out", InstanceTasks.NONE),
    Step("release", replication.release, "object_store_time_out", InstanceTasks.NONE),
    Step("replicas", replication.wait_for_users, "restore_usage_timeout", InstanceTasks.NONE),
    Step("objects", backup.delete_objects, "object_store_time_out", InstanceTasks.NONE),
))
