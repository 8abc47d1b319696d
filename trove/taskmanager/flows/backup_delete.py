"""Delete a backup and all increments on it, with their objects. Content with absence."""
from trove.backup import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import backup


def done(session, work):
    """They are gone for their user; the rows stay for the administrator."""
    for backup_id in work.args["ids"]:
        row = session.get(models.DBBackup, backup_id)
        if row is not None and not row.deleted:
            row.soft_delete()


def failed(session, work, _step, _error, _message):
    """Deleting may be asked for again; the operation keeps the cause."""
    models.move(session, work.resource_id, models.DELETE_FAILED, (models.COMPLETED, models.FAILED))
    return False


FLOW = Flow("backup.delete", done=done, failed=failed, steps=(
    Step("objects", backup.delete_chain, "object_store_time_out", InstanceTasks.NONE),
))
