"""The few system calls that Python 3.11 lacks, through ctypes: namespaces, mounts, loop devices, capabilities.

Used by the launcher (which becomes a guest's init), so it imports as little as possible and decides nothing.
Every function raises OSError with the kernel's error.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

_LOOP_CLR_FD = 0x4C01
_LOOP_SET_CAPACITY = 0x4C07
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82
_LO_FLAGS_READ_ONLY = 1
_LO_FLAGS_AUTOCLEAR = 4
_LOOP_CONFIG = struct.Struct("=II 5Q IIII 64s 64s 32s QQ 8Q")  # struct loop_config of linux/loop.h
_LOOP_ATTEMPTS = 100

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
# Capabilities with which a guest could change the machine itself (clock, modules, devices, security modules).
DROPPED_CAPABILITIES = {
    "sys_module": 16,
    "sys_rawio": 17,
    "sys_time": 25,
    "mac_override": 32,
    "mac_admin": 33,
    "syslog": 34,
    "wake_alarm": 35,
    "perfmon": 38,
    "bpf": 39,
}

_libc = ctypes.CDLL(None, use_errno=True)
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "ppc64le": 203, "s390x": 217, "riscv64": 41}


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result


def unshare(flags: int) -> None:
    """Leave the given namespaces for new ones (CLONE_NEWPID: only children do)."""
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor: int, flags: int = 0) -> None:
    """Enter the namespace behind `descriptor` (for the network namespace: this thread only)."""
    _check(_libc.setns(descriptor, flags), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); `kind` is the file system's type."""
    _check(
        _libc.mount(
            source.encode(),
            os.fsencode(target),
            kind.encode() or None,
            ctypes.c_ulong(flags),
            options.encode() or None,
        ),
        target,
    )


def bind(source: str, target: str, read_only: bool = False) -> None:
    """Show `source` at `target` as well; read_only affects this view alone."""
    mount(source, target, flags=MS_BIND)
    if read_only:
        mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    number = _PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(ctypes.c_long(number), os.fsencode(new_root), os.fsencode(put_old)), "pivot_root")


def drop_capabilities() -> None:
    """Remove DROPPED_CAPABILITIES from the bounding set: gone for good with the next exec."""
    for number in DROPPED_CAPABILITIES.values():
        try:
            _check(_libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0), "prctl")
        except OSError as error:
            if error.errno != 22:  # EINVAL: this kernel does not know that one
                raise


def set_host_name(name: str) -> None:
    """sethostname(2); the standard library has it in `socket`, whose import a guest's boot can do without."""
    _check(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name.encode()))), "sethostname")


def die_with_parent() -> None:
    """Let the kernel send SIGKILL to this process when the one that forked it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(9), 0, 0, 0), "prctl")


def attach_loop(backing: int, read_only: bool = False, autoclear: bool = False) -> tuple[str, int]:
    """Bind the open file `backing` to a free loop device; return (its path, an open descriptor of it).

    autoclear: the device disappears when nobody has it open or mounted any more (not even the returned descriptor).
    """
    flags = (_LO_FLAGS_READ_ONLY if read_only else 0) | (_LO_FLAGS_AUTOCLEAR if autoclear else 0)
    config = _LOOP_CONFIG.pack(backing, 512, 0, 0, 0, 0, 0, 0, 0, 0, flags, b"", b"", b"", 0, 0, *([0] * 8))
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_LOOP_ATTEMPTS):  # another process may take the free device first: ask for the next
            path = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            device = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, config)
                return path, device
            except OSError as error:
                os.close(device)
                if error.errno != 16:  # EBUSY
                    raise
    finally:
        os.close(control)
    raise OSError(16, f"no free loop device in {_LOOP_ATTEMPTS} attempts")


def clear_loop(device: int) -> None:
    """Unbind a loop device; if somebody still uses it, this happens when they stop."""
    fcntl.ioctl(device, _LOOP_CLR_FD)


def refresh_loop(device: int) -> None:
    """Let a loop device take over the new size of its file."""
    fcntl.ioctl(device, _LOOP_SET_CAPACITY)
