"""Volumes: sparse files, shown to guests through loop devices.

Called by the daemon. Knows files and loop devices, not guests: host/attachment.py tells which guest has a volume. A
loop device lives until it is cleared here or by the janitor, so that a guest keeps its disk while the daemon is
restarted; it is found by the name of its file, which no other cloud has.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from minicloud.config import Config
from minicloud.host import syscalls
from minicloud.host.client import HostError

GIB = 1 << 30
MAX_SIZE_GB = 16384
RESERVE = 1 * GIB  # a volume is refused when the disk has less than this left; it would fill while in use


def is_of(prefix: str, backing_file: str) -> bool:
    """Tell whether a loop device's file is a volume of the cloud with this prefix."""
    file = Path(backing_file)
    return file.parent.name == "volumes" and file.name.startswith(f"{prefix}-") and file.suffix == ".img"


def path(config: Config, volume_id: str) -> Path:
    """The file of a volume; its name tells the prefix, for the janitor."""
    return config.volumes_dir / f"{config.prefix}-{volume_id}.img"


def check_size(size_gb: int) -> None:
    """Raise HostError("bad_request") unless `size_gb` is a possible size."""
    if not isinstance(size_gb, int) or isinstance(size_gb, bool) or not 1 <= size_gb <= MAX_SIZE_GB:
        raise HostError("bad_request", f"size_gb: {size_gb!r} must be a whole number from 1 to {MAX_SIZE_GB}")


def create(config: Config, volume_id: str, size_gb: int) -> None:
    """Make the sparse file; one of the same size is fine."""
    check_size(size_gb)
    target = path(config, volume_id)
    if target.exists():
        if size_of(config, volume_id) != size_gb:
            raise HostError("conflict", f"volume {volume_id} exists with {size_of(config, volume_id)} GB")
        return
    target.parent.mkdir(exist_ok=True)
    _check_space(target.parent)
    partial = target.with_suffix(".new")
    try:
        with partial.open("wb") as file:
            file.truncate(size_gb * GIB)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise HostError(
            "no_space" if error.errno == errno.ENOSPC else "failed", f"volume {volume_id}: {error}"
        ) from None


def delete(config: Config, volume_id: str) -> None:
    """Remove file and loop device; an absent volume is fine."""
    clear(config, volume_id)
    path(config, volume_id).unlink(missing_ok=True)


def grow(config: Config, volume_id: str, size_gb: int) -> None:
    """Enlarge the file and the device over it; the size it has is fine (the device is then refreshed)."""
    check_size(size_gb)
    present = size_of(config, volume_id)
    if size_gb < present:
        raise HostError("bad_request", f"size_gb: volume {volume_id} has {present} GB and cannot shrink to {size_gb}")
    _check_space(config.volumes_dir)
    os.truncate(path(config, volume_id), size_gb * GIB)
    device = find_loop(path(config, volume_id))
    if device:
        with open(device, "rb") as opened:
            syscalls.refresh_loop(opened.fileno())


def size_of(config: Config, volume_id: str) -> int:
    """Size in GiB. Raises HostError("not_found")."""
    try:
        return path(config, volume_id).stat().st_size // GIB
    except FileNotFoundError:
        raise HostError("not_found", f"volume {volume_id} does not exist") from None


def ids(config: Config) -> list[str]:
    """All volumes of the cloud."""
    lead = f"{config.prefix}-"
    return sorted(file.stem.removeprefix(lead) for file in config.volumes_dir.glob(f"{lead}*.img"))


def ensure_loop(config: Config, volume_id: str) -> tuple[int, int]:
    """Return (major, minor) of the volume's loop device, making it if needed."""
    size_of(config, volume_id)
    device = find_loop(path(config, volume_id))
    if device is None:
        with path(config, volume_id).open("r+b") as file:
            device, descriptor = syscalls.attach_loop(file.fileno())
            os.close(descriptor)
    number = Path(device).stat().st_rdev
    return os.major(number), os.minor(number)


def check_idle(config: Config, volume_id: str) -> None:
    """Raise HostError("conflict") when the volume's device is mounted somewhere."""
    device = find_loop(path(config, volume_id))
    try:
        if device:
            os.close(os.open(device, os.O_RDONLY | os.O_CLOEXEC | os.O_EXCL))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise HostError("conflict", f"volume {volume_id} is mounted in its guest; unmount it there first") from None


def clear(config: Config, volume_id: str) -> None:
    """Remove the loop device; if it is still mounted it disappears with its last user."""
    device = find_loop(path(config, volume_id))
    if device:
        clear_device(device)


def clear_device(device: str) -> None:
    """Unbind a loop device, now or when its last user ends."""
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.clear_loop(descriptor)
    except OSError as error:
        if error.errno != errno.ENXIO:  # somebody else has cleared it just now
            raise
    finally:
        os.close(descriptor)


def find_loop(file: Path) -> str | None:
    """Path of the loop device over `file`, or None."""
    return next((device for device, backing in loops() if backing == os.path.realpath(file)), None)


def loops() -> list[tuple[str, str]]:
    """All bound loop devices of the machine as (path, backing file; of a removed one without the kernel's mark)."""
    found = []
    for entry in Path("/sys/block").glob("loop*"):
        try:
            backing = (entry / "loop/backing_file").read_text().rstrip("\n")
        except OSError:
            continue  # not bound, or just unbound
        found.append((f"/dev/{entry.name}", backing.removesuffix(" (deleted)")))
    return found


def _check_space(directory: Path) -> None:
    disk = os.statvfs(directory)
    free = disk.f_bavail * disk.f_frsize
    if free < RESERVE:
        raise HostError(
            "no_space", f"only {free >> 20} MB are free in {directory}; at least {RESERVE >> 20} are needed"
        )
