"""Rotation of guests' secrets: which guests can have new ones, and the operation that gives them."""
from oslo_log import log as logging

from trove.common import exception
from trove.common.context import TroveContext
from trove.db import get_db_api, in_transaction
from trove.instance import loading, models
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations

LOG = logging.getLogger(__name__)

KIND = "guest.rotate"
_IDLE = (InstanceTasks.NONE, InstanceTasks.RESTART_REQUIRED)


@in_transaction
def begin(session, instance_id, renew=True):
    """Begin to replace the secrets of a guest; returns the id of the operation, which a task manager finds.

    renew: False only ends what an earlier rotation left.
    Raises NotFound, and UnprocessableEntity when the instance is busy or silent or its secrets are being replaced.
    """
    administrator = TroveContext(is_admin=True)
    # A deletion that is being asked for in this moment must find this operation, or this one must find the deletion.
    models.lock(session, instance_id, administrator)
    loaded = loading.load(session, instance_id, administrator)
    row = loaded.row
    if row.task not in _IDLE:
        raise exception.UnprocessableEntity(f"Instance {instance_id} cannot be given new secrets now: its task is "
                                            f"{row.task.action}.")
    if loaded.silent:
        raise exception.UnprocessableEntity(f"Instance {instance_id} cannot be given new secrets now: its guest is "
                                            "silent.")
    # A lock of its own: users may work on the instance meanwhile, and the agent waits for a pause of its own.
    return operations.begin(session, KIND, "instance", instance_id, TroveContext(
        project_id=row.tenant_id, is_admin=True), {"renew": renew, "datastore": {"manager": loaded.manager}},
        lock=f"instance:{instance_id}:rotate").id


def live_ids():
    """Return the ids of all instances that are not deleted."""
    with get_db_api().reader() as session:
        return session.execute(models.DBInstance.live().with_only_columns(models.DBInstance.id).order_by(
            models.DBInstance.id)).scalars().all()


def under_way(session):
    """Return how many rotations are under way."""
    return len(operations.live_of(session, [KIND]))
