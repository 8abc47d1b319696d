"""Data volume of an instance: made, grown, deleted. It is found by the id in the instance's row, else by its name."""
from oslo_log import log as logging

from trove.common import exception, remote
from trove.common.cfg import CONF
from trove.instance.models import DBInstance
from trove.taskmanager.steps import absence

LOG = logging.getLogger(__name__)

TAG = "trove_instance_id"

# From this version of its API on Cinder extends volumes that are attached.
_EXTEND_ATTACHED = "3.42"
DELETABLE = ("available", "error", "error_deleting", "error_extending", "error_restoring")


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
            size, name=name_of(work.resource_id), description=f"Data of {work.resource_id}",
            volume_type=work.args.get("volume_type") or CONF.cinder_volume_type,
            metadata={TAG: work.resource_id, "trove_operation": work.operation.id}).id
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

    def delete(volume):
        if volume.status in DELETABLE:  # in use: the server is being deleted and lets go of it, or deletes it itself
            cinder.volumes.delete(volume_id)
    return absence.bring_about(work, lambda: volume_id and cinder.volumes.get(volume_id), delete)


def extend_attached(work):
    """Let Cinder extend the volume where it is, and look again until it is larger. What it refuses is left as it is.

    Raises CloudError when Cinder failed in the middle.
    """
    if not CONF.volume_resize_attached or work.data.get("attached_refused"):
        return None
    cinder = remote.cinder_client()
    volume = cinder.volumes.get(_recorded_id(work))
    if _is_extended(work, volume) or volume.status not in ("in-use", "extending"):
        return None
    if volume.status == "extending":
        return work.again()
    refused = work.data.get("attached_asked")
    if not refused:
        work.note(attached_asked=True)
        try:
            cinder.client.post(f"/volumes/{volume.id}/action", body={"os-extend": {"new_size": work.args["size"]}},
                               microversion=_EXTEND_ATTACHED)
        except Exception as error:  # noqa: BLE001 - told apart by their status
            if remote.is_passing(error) or remote.http_status(error) is None:
                raise
            LOG.info("instance %s: its volume is not extended while it is attached: %s", work.resource_id, error)
            refused = True
    if refused:
        work.note(attached_refused=True)
        return None
    return work.again()


def detach(work):
    """Take the volume from the server, unless it is large enough already, and look again until it is free."""
    volume = remote.cinder_client().volumes.get(_recorded_id(work))
    if volume.status == "available" or (volume.status == "in-use" and volume.size >= work.args["size"]):
        return None
    if volume.status == "in-use":
        remote.nova_client().volumes.delete_server_volume(_server_id(work), volume.id)
    return work.again()


def extend(work):
    """Let Cinder extend the volume and look again until it is larger. Raises CloudError when Cinder failed."""
    cinder = remote.cinder_client()
    volume = cinder.volumes.get(_recorded_id(work))
    if _is_extended(work, volume):
        return None
    if volume.status == "available":
        cinder.volumes.extend(volume.id, work.args["size"])
    return work.again()


def attach(work):
    """Give the volume to the server, whatever became of extending it, and look again until the server has it."""
    cinder = remote.cinder_client()
    volume = cinder.volumes.get(_recorded_id(work))
    if volume.status == "in-use":
        return None
    if volume.status == "error_extending":  # what is on it was not touched
        cinder.volumes.reset_state(volume.id, "available")
    elif volume.status == "available":
        remote.nova_client().volumes.create_server_volume(_server_id(work), volume.id,
                                                          f"/dev/{CONF.block_device_mapping}")
    return work.again()


def _is_extended(work, volume):
    if volume.status.startswith("error"):
        raise exception.CloudError(reason=f"the volume {volume.id} has the status '{volume.status}'.")
    return volume.size >= work.args["size"] and volume.status in ("available", "in-use")


def _server_id(work):
    with work.reading() as session:
        return DBInstance.get(session, work.resource_id).compute_instance_id


def name_of(instance_id):
    """The name of the data volume of an instance."""
    return f"datastore-{instance_id}"


def _recorded_id(work):
    with work.reading() as session:
        return DBInstance.get(session, work.resource_id).volume_id


def _find(cinder, instance_id):
    found = cinder.volumes.list(search_opts={"name": name_of(instance_id)})
    return next((volume.id for volume in found if volume.name == name_of(instance_id)), None)
