"""Control groups of one cloud: limits of guests, and groups by which everything can be found and killed.

Every hierarchy in use has minicloud-PREFIX/services (daemon, HTTP service, waiters) and minicloud-PREFIX/guests/ID.
In version 2 a guest's processes are in .../ID/payload, below the group with the limits, and see that as their root.
Both layouts work: version 1 controllers beside a version 2 tree ("hybrid"), and version 2 alone (then without a device
filter).
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from minicloud.config import Config

CONTROLLERS = ("memory", "cpu", "pids", "devices")
MAX_PROCESSES = 4096
CPU_PERIOD_US = 100_000
NORMAL_WEIGHT, LEAST_WEIGHT = 1024, 2  # of CPU time between guests, on the scale of version 1
REMOVE_TIMEOUT = 10  # seconds for killed processes to leave their group
_MIB = 1 << 20
# Character devices a guest may make and use: null zero full random urandom, tty ptmx, pseudo-terminals.
_DEVICES = (
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rw",
)


def unified_root() -> Path | None:
    """Mount point of the version 2 hierarchy, or None."""
    return next((Path(point) for kind, point, _ in _mounts() if kind == "cgroup2"), None)


def v1_roots() -> dict[str, Path]:
    """Mount points of those CONTROLLERS that are version 1 here."""
    return {
        name: Path(point)
        for kind, point, options in _mounts()
        if kind == "cgroup"
        for name in CONTROLLERS
        if name in options.split(",")
    }


def tree_name(prefix: str) -> str:
    """Name of the cloud's top group in every hierarchy."""
    return f"minicloud-{prefix}"


def join_services(prefix: str) -> None:
    """Move this process (and its future children) to the cloud's services group.

    So it can be found by the janitor, and does not die with, or count against, the group of whoever ran `up`.
    """
    for root in _roots():
        group = root / tree_name(prefix) / "services"
        group.mkdir(parents=True, exist_ok=True)
        (group / "cgroup.procs").write_text("0")


def create_guest(config: Config, guest_id: str, memory_mb: int, vcpus: int) -> tuple[list[str], list[str]]:
    """Make the guest's groups with its limits; return the cgroup.procs files that its launcher must join.

    The first list at once, so that it can be killed from then on; the second when it has opened the devices it needs.
    """
    first, last = [], []
    for root in _roots():
        group = _guest(root, config.prefix, guest_id)
        unified = root == unified_root()
        if unified:
            _delegate(root, config.prefix)
            group /= "payload"
        group.mkdir(parents=True, exist_ok=True)
        (first if unified else last).append(str(group / "cgroup.procs"))
    devices = v1_roots().get("devices")
    if devices:
        group = _guest(devices, config.prefix, guest_id)
        (group / "devices.deny").write_text("a")
        for entry in _DEVICES:
            (group / "devices.allow").write_text(entry)
    set_limits(config, guest_id, memory_mb, vcpus)
    return first, last


def set_limits(config: Config, guest_id: str, memory_mb: int, vcpus: int) -> None:
    """Apply the flavor's limits, also to a running guest. Raises OSError (EBUSY: it uses more memory than that).

    A controller that this machine has in neither version limits nothing; `minicloud doctor` says so.
    """
    v1, v2 = v1_roots(), unified_root()
    offered = (v2 / "cgroup.controllers").read_text().split() if v2 else []

    def put(controller: str, v1_file: str, v1_value: int, v2_file: str, v2_value: str) -> None:
        if controller in v1:
            (_guest(v1[controller], config.prefix, guest_id) / v1_file).write_text(str(v1_value))
        elif controller in offered:
            (_guest(v2, config.prefix, guest_id) / v2_file).write_text(v2_value)

    quota = vcpus * CPU_PERIOD_US
    put("memory", "memory.limit_in_bytes", memory_mb * _MIB, "memory.max", str(memory_mb * _MIB))
    put("pids", "pids.max", MAX_PROCESSES, "pids.max", str(MAX_PROCESSES))
    put("cpu", "cpu.cfs_quota_us", quota, "cpu.max", f"{quota} {CPU_PERIOD_US}")


def set_weight(config: Config, guest_id: str, weight: int) -> None:
    """Set a guest's part of the CPUs beside other guests that want them; it may use all that nobody else wants.

    weight: LEAST_WEIGHT to NORMAL_WEIGHT. A guest without groups is left alone.
    """
    v1, v2 = v1_roots(), unified_root()
    with suppress(FileNotFoundError):
        if "cpu" in v1:
            (_guest(v1["cpu"], config.prefix, guest_id) / "cpu.shares").write_text(str(weight))
        elif v2 and "cpu" in (v2 / "cgroup.controllers").read_text().split():
            # There 100 is the usual one, of 1 to 10000.
            (_guest(v2, config.prefix, guest_id) / "cpu.weight").write_text(str(max(1, weight * 100 // 1024)))


def allow_block_device(config: Config, guest_id: str, number: tuple[int, int], allowed: bool) -> None:
    """Let the guest use a block device, or no longer."""
    devices = v1_roots().get("devices")
    if devices:
        group = _guest(devices, config.prefix, guest_id)
        (group / ("devices.allow" if allowed else "devices.deny")).write_text(f"b {number[0]}:{number[1]} rwm")


def guest_procs(config: Config, guest_id: str) -> list[str]:
    """The cgroup.procs files through which a process enters a running guest's groups."""
    root = unified_root()
    # systemd forbids processes in inner nodes of its own tree: the init.scope beside its pid 1 is a leaf.
    found = []
    for hierarchy in _roots():
        group = _guest(hierarchy, config.prefix, guest_id)
        if hierarchy == root:
            group = group / "payload/init.scope" if (group / "payload/init.scope").is_dir() else group / "payload"
        found.append(str(group / "cgroup.procs"))
    return found


def kill_guest(config: Config, guest_id: str) -> None:
    """SIGKILL everything in the guest. A guest without groups has no processes."""
    root = unified_root()
    if root:
        kill(_guest(root, config.prefix, guest_id))


def remove_guest(config: Config, guest_id: str) -> None:
    """Remove the groups of a guest without processes. Raises OSError when processes stay in them."""
    for root in _roots():
        remove_tree(_guest(root, config.prefix, guest_id))


def kill(group: Path) -> None:
    """SIGKILL every process in a version 2 group and below. An absent group is fine."""
    with suppress(FileNotFoundError):
        (group / "cgroup.kill").write_text("1")


def remove_all(prefix: str) -> None:
    """Kill everything of a cloud and remove its groups from every hierarchy. Raises OSError when that fails."""
    root = unified_root()
    if root:
        kill(root / tree_name(prefix))
    for hierarchy in _roots():
        remove_tree(hierarchy / tree_name(prefix))


def remove_tree(group: Path) -> None:
    """Remove a group and those below it, waiting for killed processes to be gone."""
    deadline = time.monotonic() + REMOVE_TIMEOUT
    for directory, _, _ in os.walk(group, topdown=False):
        while True:
            try:
                Path(directory).rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:  # EBUSY: a process is still on its way out
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def _guest(root: Path, prefix: str, guest_id: str) -> Path:
    return root / tree_name(prefix) / "guests" / guest_id


def _roots() -> list[Path]:
    roots = list(dict.fromkeys(v1_roots().values()))
    root = unified_root()
    return [*roots, root] if root else roots


def _delegate(root: Path, prefix: str) -> None:
    """Where controllers are version 2, hand them down to the guests' groups (no effect on a hybrid host)."""
    offered = (root / "cgroup.controllers").read_text().split()
    wanted = [name for name in ("memory", "cpu", "pids") if name in offered]
    top = root / tree_name(prefix)
    (top / "guests").mkdir(parents=True, exist_ok=True)
    for group in (root, top, top / "guests"):
        if wanted and not set(wanted) <= set((group / "cgroup.subtree_control").read_text().split()):
            (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))


def _mounts() -> list[tuple[str, str, str]]:
    """Return (type, mount point, options of the file system) of all cgroup mounts."""
    found = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            kind, _, options = after.split()[:3]
            if kind in ("cgroup", "cgroup2"):
                found.append((kind, before.split()[4], options))
    return found
