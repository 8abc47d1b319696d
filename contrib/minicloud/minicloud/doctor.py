"""Checks whether a machine can run real guests and says what is missing: `minicloud doctor`. Changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minicloud.config import Config
from minicloud.host import cgroup, network
from minicloud.host.client import HostError

OK, WARNING, ERROR = "ok", "warning", "error"
MIN_DISK_GB = 5
MIN_MEMORY_MB = 2048
_CAPABILITIES = {"sys_admin": 21, "net_admin": 12, "mknod": 27, "sys_chroot": 18, "kill": 5}
_SYS_RESOURCE = 24
_TOOLS = {
    "ip": "iproute2",
    "nft": "nftables",
    "unshare": "util-linux",
    "mkfs.ext4": "e2fsprogs",
}
_IMAGE_TOOLS = {"mmdebstrap": "mmdebstrap", "mksquashfs": "squashfs-tools"}
_CONNTRACK_PROBE = """
add table inet probe
add chain inet probe forward { type filter hook forward priority 0; policy drop; }
add rule inet probe forward ct state established,related accept
"""


@dataclass(frozen=True)
class Finding:
    """Result of one check: level is "ok", "warning" (something will not work) or "error" (guests cannot run)."""

    level: str
    check: str
    detail: str
    advice: str = ""


def examine(config: Config) -> list[Finding]:
    """Run all checks for a cloud of this configuration."""
    findings = [
        *_capabilities(),
        *_file_systems(),
        *_tools(),
        *_control_groups(),
        *_filter(),
        *_network(config),
        *_room(config),
    ]
    if any(finding.level == ERROR for finding in findings):
        advice = "`minicloud up --driver fake` offers the APIs with guests in memory only"
        findings.append(Finding(WARNING, "verdict", "real guests cannot run on this machine", advice))
    return findings


def _capabilities() -> Iterator[Finding]:
    fields = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    effective = int(fields["CapEff"], 16)
    missing = [name for name, number in _CAPABILITIES.items() if not effective >> number & 1]
    if missing:
        yield Finding(ERROR, "capabilities", f"missing: {', '.join(missing)}", "run as root, outside of containers")
    else:
        yield Finding(OK, "capabilities", "sufficient")
    if not effective >> _SYS_RESOURCE & 1:
        advice = "grow volumes unmounted: umount, e2fsck -fp, resize2fs, mount"
        yield Finding(WARNING, "capabilities", "no sys_resource: mounted ext3/ext4 cannot be grown", advice)


def _file_systems() -> Iterator[Finding]:
    known = Path("/proc/filesystems").read_text().split()
    for name in ("overlay", "squashfs", "ext4"):
        if name in known:
            yield Finding(OK, name, "known to the kernel")
        else:
            yield Finding(ERROR, name, "not known to the kernel", f"modprobe {name}")
    if Path("/dev/loop-control").exists():
        yield Finding(OK, "loop devices", "available")
    else:
        yield Finding(ERROR, "loop devices", "/dev/loop-control is missing", "modprobe loop")


def _tools() -> Iterator[Finding]:
    for level, tools in ((ERROR, _TOOLS), (WARNING, _IMAGE_TOOLS)):
        for tool, package in tools.items():
            if shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
                yield Finding(OK, tool, "installed")
            else:
                yield Finding(level, tool, "not installed", f"apt-get install {package}")


def _control_groups() -> Iterator[Finding]:
    v1, v2 = cgroup.v1_roots(), cgroup.unified_root()
    if v2 is None:
        advice = "mount a cgroup2 hierarchy: systemd in guests needs it"
        yield Finding(ERROR, "control groups", "no version 2 hierarchy is mounted", advice)
        return
    offered = (v2 / "cgroup.controllers").read_text().split()
    missing = [name for name in ("memory", "cpu", "pids") if name not in v1 and name not in offered]
    if missing:
        yield Finding(WARNING, "control groups", f"no limits for: {', '.join(missing)}")
    if "devices" not in v1:
        yield Finding(WARNING, "control groups", "no device filter: root in a guest can open the host's disks")
    else:
        yield Finding(OK, "control groups", f"version 2 at {v2}, version 1 for: {', '.join(v1) or 'none'}")


def _filter() -> Iterator[Finding]:
    command = ["unshare", "--net", "nft", "-f", "-"]
    try:
        done = subprocess.run(command, input=_CONNTRACK_PROBE, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding(ERROR, "packet filter", str(error), "apt-get install nftables")
        return
    if done.returncode:
        yield Finding(ERROR, "packet filter", f"nft with connection tracking: {done.stderr.strip()}", "run as root")
    else:
        yield Finding(OK, "packet filter", "nft inet with connection tracking works")


def _network(config: Config) -> Iterator[Finding]:
    try:
        network.check_free(config)
        yield Finding(OK, "subnet", f"{config.subnet} with prefix {config.prefix} is free or ours")
    except HostError as error:
        yield Finding(ERROR, "subnet", error.message, "minicloud up --subnet 10.N.0.0/16 --prefix NAME")


def _room(config: Config) -> Iterator[Finding]:
    existing = next(path for path in (config.state_dir, *config.state_dir.parents) if path.exists())
    free = shutil.disk_usage(existing).free >> 30
    level = OK if free >= MIN_DISK_GB else WARNING
    yield Finding(level, "disk", f"{free} GB free at {existing}", "" if level == OK else f"{MIN_DISK_GB} GB are wanted")
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    memory = int(lines["MemAvailable"].split()[0]) >> 10
    level = OK if memory >= MIN_MEMORY_MB else WARNING
    advice = "" if level == OK else f"{MIN_MEMORY_MB} MB are wanted for a guest with a database"
    yield Finding(level, "memory", f"{memory} MB available", advice)
