"""What is known of a guest: its files, and whether it runs. Read by everything else about guests; changes no guest.

Contents of a guest's directory: guest.json (what it is), launch.json, inject.json, devices.json, meminfo (for the
launcher), run.json (who is its init), exit (how that ended), stopping (we ended it), lock (held by its waiter),
console.log, config-drive, upper (its disk).
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from minicloud.config import Config
from minicloud.host import process
from minicloud.host.client import HostError

SETTLE_TIMEOUT = 60  # seconds a guest may be between two inits; 0.1 is usual
_POLL = 0.01
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of fcntl.h on 64-bit machines


def directory(config: Config, guest_id: str) -> Path:
    """The guest's directory, whether it exists or not."""
    return config.guests_dir / guest_id


def load(config: Config, guest_id: str) -> dict[str, Any]:
    """What the guest is (guest.json). Raises HostError("not_found")."""
    try:
        return json.loads((directory(config, guest_id) / "guest.json").read_text())
    except FileNotFoundError:
        raise HostError("not_found", f"guest {guest_id} does not exist") from None


def ids(config: Config) -> list[str]:
    """All guests of the cloud."""
    return sorted(file.parent.name for file in config.guests_dir.glob("*/guest.json"))


def load_all(config: Config) -> list[dict[str, Any]]:
    """What all guests are; one deleted meanwhile is left out."""
    found = []
    for guest_id in ids(config):
        with suppress(FileNotFoundError):
            found.append(json.loads((directory(config, guest_id) / "guest.json").read_text()))
    return found


def owner_of(config: Config, address: str) -> str | None:
    """The guest that has this address, or None."""
    return next((spec["guest_id"] for spec in load_all(config) if spec["address"] == address), None)


def running(home: Path) -> bool:
    """True while the guest has an init, or a waiter that is about to start one."""
    return locked(home) or process.alive(init_of(home))


def settled_pid(home: Path) -> int | None:
    """Pid of the guest's init, or None when it does not run; waits while it is between two inits or ending."""
    wait(lambda: process.alive(init_of(home)) or not locked(home), SETTLE_TIMEOUT)
    init = init_of(home)
    return init["pid"] if process.alive(init) else None


def take_lock(home: Path) -> int | None:
    """Return a descriptor holding the guest's lock, or None when somebody (its waiter) holds it.

    The lock belongs to the open file: the waiter inherits it, and the kernel frees it when the last holder is gone.
    """
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def locked(home: Path) -> bool:
    """Tell whether somebody holds the guest's lock, without taking it for even a moment."""
    try:
        with (home / "lock").open("rb") as file:
            question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, question)
    except FileNotFoundError:
        return False
    return _FLOCK.unpack(answer)[0] != fcntl.F_UNLCK


def init_of(home: Path) -> dict[str, Any] | None:
    """Identity of the guest's init, as the launcher wrote it; it may be dead."""
    try:
        return json.loads((home / "run.json").read_text())
    except FileNotFoundError:
        return None


def wait(condition: Callable[[], bool], timeout: float, hurry: Callable[[], bool] = lambda: False) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline or hurry():
            return False
        time.sleep(_POLL)
    return True
