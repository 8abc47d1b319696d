"""Data volume of an instance. It is found by the id in the instance's row, else by its name."""
from oslo_log import log as logging

from trove.common import exception, remote
from trove.common.cfg import CONF
from trove.instance.models import DBInstance

LOG = logging.getLogger(__name__)

_DELETABLE = ("available", "error", "error_deleting", "error_extending", "error_restoring")


def create_volume(work):
    """Ask for the volume, once; whether it is there is the next step's question."""
    size = work.args["volume_size"]
    if not size or _recorded_id(work):
        return
    cinder = remote.cinder_client()
    # Whether an attempt of a process that died got through is asked only if there was one.
    volume_id = _find(cinder, work.resource_id) if work.data.get("volume_asked") else None
    if volume_id is None:
        work.note(volume_asked=True)
        volume_id = cinder.volumes.create(
            size, name=_name(work.resource_id), description=f"Data of {work.resource_id}",
            volume_type=work.args.get("volume_type") or CONF.cinder_volume_type,
            metadata={"trove_instance_id": work.resource_id, "trove_operation": work.operation.id}).id
    with work.writing() as session:
        DBInstance.get(session, work.resource_id).volume_id = volume_id
    LOG.info("instance %s: volume %s of %s GB", work.resource_id, volume_id, size)


def wait_for_volume(work):
    """Look again until the volume can be attached. Raises CloudError when Cinder failed to make it."""
    volume_id = _recorded_id(work)
    if volume_id is None:
        return None
    status = remote.cinder_client().volumes.get(volume_id).status
    if status.startswith("error"):
        raise exception.CloudError(reason=f"the volume {volume_id} has the status '{status}'.")
    return None if status in ("available", "in-use") else work.again()


def delete_volume(work):
    """Delete the volume and look again until it is gone."""
    cinder = remote.cinder_client()
    volume_id = _recorded_id(work) or _find(cinder, work.resource_id)
    if volume_id is None:
        return None
    try:
        # In use: the server is being deleted and lets go of it, or deletes it itself.
        if cinder.volumes.get(volume_id).status in _DELETABLE:
            cinder.volumes.delete(volume_id)
    except Exception as error:  # noqa: BLE001 - told apart by their status
        if remote.is_missing(error):
            return None
        if not remote.is_conflict(error):
            raise
    return work.again()


def _name(instance_id):
    return f"datastore-{instance_id}"


def _recorded_id(work):
    with work.reading() as session:
        return DBInstance.get(session, work.resource_id).volume_id


def _find(cinder, instance_id):
    found = cinder.volumes.list(search_opts={"name": _name(instance_id)})
    return next((volume.id for volume in found if volume.name == _name(instance_id)), None)
