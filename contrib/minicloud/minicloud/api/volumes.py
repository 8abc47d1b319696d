"""The life of a volume: creating, available, attaching, in-use, detaching, extending, deleting, error.

Each transition is a compare-and-set in one transaction, so two requests cannot both win. Attaching and detaching
belong to a server and run in its line of operations (servers.py).
"""

import logging

from minicloud.api.web import Fault
from minicloud.host.client import HostError
from minicloud.store import new_id, now

LOG = logging.getLogger(__name__)
QUOTAS = {
    "volumes": 200,
    "gigabytes": 2000,
    "snapshots": 10,
    "backups": 10,
    "backup_gigabytes": 1000,
    "groups": 10,
    "per_volume_gigabytes": -1,
}
MAX_SIZE_GB = 2048
DEVICES = [f"/dev/vd{letter}" for letter in "bcdefghijklmnopqrstuvwxyz"]


def register(cloud):
    """Say what the operations of volumes do."""
    for name, run in (("create", _create), ("delete", _delete), ("extend", _extend)):

        def work(volume_id, run=run, **args):
            run(cloud, volume_id, **args)

        def fail(volume_id, error, name=name, **args):
            _failed(
                cloud,
                volume_id,
                error,
                f"error_{name}ing"
                if name == "delete"
                else "error_extending"
                if name == "extend"
                else "error",
            )

        cloud.jobs.register(f"volume.{name}", work, fail)


def limits(cloud, project_id):
    """The project's quotas."""
    return {**QUOTAS, **((cloud.store.find("volume_quota", project_id) or {}).get("limits", {}))}


def require_quota(cloud, project_id, more_volumes, more_gb):
    """:raises Fault: 413 as Cinder answers it."""
    limit, mine = limits(cloud, project_id), cloud.store.list("volume", project_id=project_id)
    used_gb = sum(volume["size"] for volume in mine)
    if 0 <= limit["gigabytes"] < used_gb + more_gb:
        raise Fault(
            413,
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. "
            f"Requested {more_gb}G, quota is {limit['gigabytes']}G and {used_gb}G has been consumed.",
            headers={"Retry-After": "0"},
        )
    if 0 <= limit["volumes"] < len(mine) + more_volumes:
        raise Fault(
            413,
            f"VolumeLimitExceeded: Maximum number of volumes allowed ({limit['volumes']}) exceeded for quota "
            "'volumes'.",
            headers={"Retry-After": "0"},
        )


def create(cloud, context, size, **fields):
    """Accept a new volume: stored as ``creating``, made by an operation. :raises Fault: 413"""
    volume = new_record(cloud, context, size, **fields)
    with cloud.jobs.transaction() as add:
        require_quota(cloud, context.project_id, 1, size)
        cloud.store.add("volume", volume)
        add("volume.create", volume["id"])
    return volume


def new_record(cloud, context, size, **fields):
    """The record of a new volume, status ``creating``, not yet stored."""
    time = now() + ".000000"
    fields["volume_type"] = fields.get("volume_type") or cloud.store.list("volume_type")[0]["name"]
    return {
        "id": new_id(),
        "project_id": context.project_id,
        "user_id": context.user_id,
        "size": size,
        "status": "creating",
        "name": None,
        "description": None,
        "metadata": {},
        "availability_zone": "nova",
        "bootable": False,
        "readonly": False,
        "attachments": [],
        "fault": None,
        "created_at": time,
        "updated_at": time,
        **fields,
    }


def move(cloud, volume_id, allowed, status, **fields):
    """Set the status of a volume that has one of the allowed ones.

    :raises Missing: when it is gone.
    :raises Fault: 400 in another status.
    """
    with cloud.store.transaction():
        volume = cloud.store.get("volume", volume_id)
        if volume["status"] not in allowed:
            raise Fault(
                400,
                f"Invalid volume: Volume {volume_id} status must be {' or '.join(allowed)}, but current status is: "
                f"{volume['status']}.",
            )
        return cloud.store.change("volume", volume_id, status=status, updated_at=now() + ".000000", **fields)


def delete(cloud, volume_id, force=False):
    """Accept the end of a volume. :raises Fault: 400 when it is attached or busy."""
    with cloud.jobs.transaction() as add:
        volume = cloud.store.get("volume", volume_id)
        if (
            volume["attachments"]
            or not force
            and volume["status"]
            not in ("available", "error", "error_deleting", "error_extending", "error_restoring")
        ):
            raise Fault(
                400,
                f"Invalid volume: Volume status must be available or error or error_restoring or error_extending or "
                f"error_managing and must not be migrating, attached, belong to a group, have snapshots or be "
                f"disassociated from snapshots after volume transfer. (It is {volume['status']}.)",
            )
        cloud.store.change("volume", volume_id, status="deleting", updated_at=now() + ".000000")
        add("volume.delete", volume_id)


def extend(cloud, volume_id, size):
    """Accept a larger size. :raises Fault: 400, 413"""
    with cloud.jobs.transaction() as add:
        volume = cloud.store.get("volume", volume_id)
        if size <= volume["size"]:
            raise Fault(
                400,
                f"Invalid input received: New size for extend must be greater than current size. (current: "
                f"{volume['size']}, extended: {size}).",
            )
        require_quota(cloud, volume["project_id"], 0, size - volume["size"])
        before = volume["status"]
        move(cloud, volume_id, ("available", "in-use"), "extending")
        add("volume.extend", volume_id, size=size, before=before)


def attachment(server_id, volume_id, device, delete_on_termination):
    """The record of an attachment; Nova's id of it is the volume's."""
    return {
        "id": volume_id,
        "attachment_id": new_id(),
        "volume_id": volume_id,
        "server_id": server_id,
        "device": device,
        "host_name": None,
        "attached_at": now() + ".000000",
        "delete_on_termination": delete_on_termination,
    }


def of_server(cloud, server_id, project_id=None):
    """The volumes attached to a server or on the way to it, in the order of their devices."""
    found = [
        v
        for v in cloud.store.list("volume", project_id=project_id)
        if any(a["server_id"] == server_id for a in v["attachments"])
    ]
    return sorted(found, key=lambda v: v["attachments"][0]["device"])


def reserve(cloud, volume_id, server_id, device, delete_on_termination):
    """available -> attaching. ``device`` None, ``vdb`` or ``/dev/vdb``: taken when free, else the next free one.

    :raises Fault: 400 in another status or without a free device.
    """
    with cloud.store.transaction():
        taken = {v["attachments"][0]["device"] for v in of_server(cloud, server_id)}
        wanted = f"/dev/{(device or '').removeprefix('/dev/')}"
        free = [d for d in ([wanted] if wanted in DEVICES else []) + DEVICES if d not in taken]
        if not free:
            raise Fault(400, f"Server {server_id} has no free device for another volume.")
        return move(
            cloud,
            volume_id,
            ("available",),
            "attaching",
            attachments=[attachment(server_id, volume_id, free[0], delete_on_termination)],
        )


def release(cloud, volume_id):
    """Whatever it was -> available; or deleted, when the attachment said so."""
    with cloud.jobs.transaction() as add:
        volume = cloud.store.find("volume", volume_id)
        if not volume:
            return
        ends = any(a["delete_on_termination"] for a in volume["attachments"])
        cloud.store.change(
            "volume",
            volume_id,
            status="deleting" if ends else "available",
            attachments=[],
            updated_at=now() + ".000000",
        )
        if ends:
            add("volume.delete", volume_id)


def _create(cloud, volume_id):
    volume = cloud.store.find("volume", volume_id)
    if volume and volume["status"] == "creating":
        cloud.host.create_volume(volume_id, volume["size"])
        cloud.store.change("volume", volume_id, status="available", updated_at=now() + ".000000")


def _delete(cloud, volume_id):
    if cloud.store.find("volume", volume_id):
        cloud.host.delete_volume(volume_id)
        cloud.store.remove("volume", volume_id)


def _extend(cloud, volume_id, size, before):
    if cloud.store.find("volume", volume_id):
        cloud.host.grow_volume(volume_id, size)
        cloud.store.change("volume", volume_id, size=size, status=before, updated_at=now() + ".000000")


def _failed(cloud, volume_id, error, status):
    message = error.message if isinstance(error, HostError) else str(error)
    LOG.error("volume %s: %s: %s", volume_id, status, message)
    if cloud.store.find("volume", volume_id):
        cloud.store.change("volume", volume_id, status=status, fault=message, updated_at=now() + ".000000")
