"""Take a backup of an instance: the guest uploads it, and here it is checked and gets its manifest.

A backup that failed leaves nothing in the object store; its row stays, with the cause, until the user deletes it.
"""
from trove.backup import models
from trove.instance.models import RUNNING_BACKUP_STATES
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import archive, backup


def done(session, work):
    """The backup can be restored now, and from now on brought to later times if its instance archives its logs."""
    since = {"archive_since": work.now()} if work.data.get("archived") else {}
    models.move(session, work.resource_id, models.COMPLETED, (*RUNNING_BACKUP_STATES, models.COMPLETED),
                location=work.data["location"], backup_type=work.args["backup_type"], **since)


def failed(session, work, _step, _error, _message):
    """The backup has failed; the operation keeps the cause, which ``show`` gives."""
    models.move(session, work.resource_id, models.FAILED, (*RUNNING_BACKUP_STATES, models.COMPLETED))
    return True


FLOW = Flow("backup.create", done=done, failed=failed, steps=(
    Step("store", backup.prepare_store, "object_store_time_out", InstanceTasks.NONE, undo=backup.delete_objects),
    Step("archive", archive.begin, "guest_bus_time_out", InstanceTasks.NONE),
    Step("send", backup.send, "guest_bus_time_out", InstanceTasks.NONE),
    Step("guest", backup.wait_for_guest, "backup_time_out", InstanceTasks.NONE),
    Step("check", backup.check_objects, "object_store_time_out", InstanceTasks.NONE),
    Step("manifest", backup.write_manifest, "object_store_time_out", InstanceTasks.NONE),
))
