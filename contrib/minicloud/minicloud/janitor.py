"""Removes everything a cloud has made, found by its prefix in the kernel and by its state directory: `minicloud down`.

Needs no running service and no state: it works after kill -9 of anything, twice, and when nothing is there.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from minicloud import services
from minicloud.config import CONFIG_FILE
from minicloud.host import cgroup, network, syscalls, volume
from minicloud.host.client import HostError

TIMEOUT = 30  # seconds for devices to be released by guests that have just been killed
_NETNS_DIR = str(network.NETNS_DIR)


def remove_kernel_objects(prefix: str) -> None:
    """End all processes of the prefix; remove its namespaces, links, filter, loop devices and control groups.

    Needs root. Raises HostError or OSError, naming what does not go away.
    """
    cgroup.remove_all(prefix)
    network.remove_cloud(prefix)
    for device, backing in volume.loops():
        if volume.is_of(prefix, backing):
            volume.clear_device(device)
    _wait_for_loops(lambda backing: volume.is_of(prefix, backing))
    _unmount_empty_netns_dir()


def remove_state(state_dir: Path) -> None:
    """Stop services that are still there and remove the state directory, its configuration last."""
    services.stop_all(state_dir)
    if not state_dir.exists():
        return
    images = f"{state_dir.resolve()}/"
    _wait_for_loops(lambda backing: backing.startswith(images))
    for entry in sorted(state_dir.iterdir(), key=lambda path: path.name == CONFIG_FILE):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    state_dir.rmdir()


def _wait_for_loops(ours) -> None:
    deadline = time.monotonic() + TIMEOUT
    while left := [device for device, backing in volume.loops() if ours(backing)]:
        if time.monotonic() > deadline:
            raise HostError("failed", f"{', '.join(left)} still in use after {TIMEOUT} s; something outside mounts it")
        time.sleep(0.01)


def _unmount_empty_netns_dir() -> None:
    """`ip netns add` mounts its directory over itself; once no namespace is left that mount serves nobody."""
    if Path(_NETNS_DIR).is_dir() and not any(Path(_NETNS_DIR).iterdir()) and os.path.ismount(_NETNS_DIR):
        syscalls.umount(_NETNS_DIR)
