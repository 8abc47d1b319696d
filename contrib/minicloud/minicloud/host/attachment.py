"""Which guest has which volume, and the device nodes by which it sees them.

Called by the daemon, which holds the locks of guest and volume. devices.json of the guests is the only record.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from minicloud.config import Config, write_atomically
from minicloud.host import cgroup, record, volume
from minicloud.host.client import HostError

_DEVICE = re.compile(r"/dev/vd[b-z]\Z")
_DISK_GROUP = 6


def devices(config: Config, guest_id: str) -> dict[str, dict]:
    """The guest's attachments: {device: {"volume_id", "number": [major, minor]}}."""
    try:
        return json.loads((record.directory(config, guest_id) / "devices.json").read_text())
    except FileNotFoundError:
        return {}


def attachments(config: Config) -> dict[str, tuple[str, str]]:
    """All attachments of the cloud: {volume id: (guest id, device)}."""
    return {
        item["volume_id"]: (guest_id, device)
        for guest_id in record.ids(config)
        for device, item in devices(config, guest_id).items()
    }


def attach(config: Config, volume_id: str, guest_id: str, device: str) -> None:
    """Record the attachment, then show the device in a running guest."""
    record.load(config, guest_id)
    if not isinstance(device, str) or not _DEVICE.match(device):
        raise HostError("bad_request", f"device: {device!r} must be /dev/vdb to /dev/vdz")
    volume.size_of(config, volume_id)
    owner = attachments(config).get(volume_id)
    if owner and owner != (guest_id, device):
        raise HostError("conflict", f"volume {volume_id} is attached to guest {owner[0]} as {owner[1]}")
    present = devices(config, guest_id)
    if present.get(device, {}).get("volume_id", volume_id) != volume_id:
        raise HostError("conflict", f"device: {device} of guest {guest_id} holds volume {present[device]['volume_id']}")
    number = volume.ensure_loop(config, volume_id)
    _save_devices(config, guest_id, present | {device: {"volume_id": volume_id, "number": number}})
    pid = record.settled_pid(record.directory(config, guest_id))
    if pid:
        cgroup.allow_block_device(config, guest_id, number, allowed=True)
        node = Path(f"/proc/{pid}/root{device}")
        node.unlink(missing_ok=True)
        os.mknod(node, 0o060660, os.makedev(*number))
        os.chown(node, 0, _DISK_GROUP)


def detach(config: Config, volume_id: str, guest_id: str) -> None:
    """Take the device away, unless the guest still has it mounted."""
    record.load(config, guest_id)
    present = devices(config, guest_id)
    device = next((name for name, item in present.items() if item["volume_id"] == volume_id), None)
    if device is None:
        return
    pid = record.settled_pid(record.directory(config, guest_id))
    if pid:
        volume.check_idle(config, volume_id)
        Path(f"/proc/{pid}/root{device}").unlink(missing_ok=True)
        cgroup.allow_block_device(config, guest_id, present[device]["number"], allowed=False)
    _save_devices(config, guest_id, {name: item for name, item in present.items() if name != device})
    # Last: were this process killed before, a device without user would be left, and no user with another's device.
    volume.clear(config, volume_id)


def refresh(config: Config, guest_id: str) -> None:
    """Before a boot: loop devices may be gone (machine restarted) or have other numbers."""
    fresh = {}
    for device, item in devices(config, guest_id).items():
        number = volume.ensure_loop(config, item["volume_id"])
        cgroup.allow_block_device(config, guest_id, number, allowed=True)
        fresh[device] = {"volume_id": item["volume_id"], "number": number}
    _save_devices(config, guest_id, fresh)


def _save_devices(config: Config, guest_id: str, present: dict[str, dict]) -> None:
    write_atomically(record.directory(config, guest_id) / "devices.json", json.dumps(present))
