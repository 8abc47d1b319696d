"""Identity of processes: pid and start time, since pids alone are used again within minutes. Pure reading of /proc."""

from __future__ import annotations

import os
import signal
from typing import Any


def start_time(pid: int) -> int | None:
    """Clock ticks after boot at which `pid` started, or None when there is no such process (a zombie is none)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def identify(pid: int) -> dict[str, Any]:
    """Return the {"pid", "start_time"} by which `alive` and `kill` know a process."""
    return {"pid": pid, "start_time": start_time(pid)}


def alive(identity: dict[str, Any] | None) -> bool:
    """Tell whether that very process still runs."""
    return (
        bool(identity) and identity["start_time"] is not None and start_time(identity["pid"]) == identity["start_time"]
    )


def kill(identity: dict[str, Any] | None, number: int = signal.SIGKILL) -> bool:
    """Send a signal to that very process; False when it is gone."""
    if not alive(identity):
        return False
    try:
        descriptor = os.pidfd_open(identity["pid"])
    except ProcessLookupError:
        return False
    try:
        if not alive(identity):  # the pid was given away between the two looks
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
