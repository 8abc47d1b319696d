"""Switching guests on and off: start, stop, reboot, kill; running commands in them.

Called by the daemon, which holds the guest's lock. What a guest is, is read from its record.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicloud.config import Config, write_atomically
from minicloud.host import attachment, cgroup, network, process, record
from minicloud.host.client import HostError

LAUNCH_TIMEOUT = 60  # seconds from fork to exec of the image's init; 0.1 is usual
STOP_TIMEOUT = 60  # seconds for a clean power-off or reboot before force
KILL_TIMEOUT = 30  # seconds for a killed guest to be gone
ASK_AGAIN = 2  # seconds after which an init that has just started, and was still deaf, is asked again
_POWER_OFF_SIGNAL = 34 + 4  # SIGRTMIN+4 as systemd counts: from the first number that the C library leaves free
_package = Path(__file__).resolve().parent


def start(config: Config, guest_id: str) -> dict[str, Any]:
    """Boot a guest unless it runs; return {"pid"}. Raises HostError("failed") with the launcher's reason."""
    spec = record.load(config, guest_id)
    home = record.directory(config, guest_id)
    pid = record.settled_pid(home)
    if pid:
        return {"pid": pid}
    lock = record.take_lock(home)
    if lock is None:
        raise HostError("failed", f"guest {guest_id} neither runs nor ends {LAUNCH_TIMEOUT} s after the last start")
    try:
        (home / "stopping").unlink(missing_ok=True)
        network.wire_guest(config, guest_id, spec["address"], spec["allowed"])
        join_first, join_last = cgroup.create_guest(config, guest_id, spec["memory_mb"], spec["vcpus"])
        attachment.refresh(config, guest_id)
        (home / "meminfo").write_text(meminfo(spec["memory_mb"]))
        plan = {
            "hostname": spec["hostname"],
            "layers": [os.path.realpath(layer) for layer in spec["layers"]],
            "binds": spec["binds"],
            "memory_mb": spec["memory_mb"],
            "join_first": join_first,
            "join_last": join_last,
            "netns": str(network.NETNS_DIR / network.guest_netns(config.prefix, guest_id)),
        }
        write_atomically(home / "launch.json", json.dumps(plan))
        return {"pid": _launch(config, guest_id, home, lock)}
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError("failed", f"guest {guest_id} not started: {error}") from error
    finally:
        os.close(lock)


def stop(config: Config, guest_id: str, hard: bool, hurry: Callable[[], bool] = lambda: False) -> None:
    """Power a guest off: clean within STOP_TIMEOUT (less when `hurry` says so), else by force."""
    record.load(config, guest_id)
    home = record.directory(config, guest_id)
    (home / "stopping").touch()
    if hard or not _ask(record.init_of(home), _POWER_OFF_SIGNAL, lambda: not record.running(home), hurry):
        kill(config, guest_id)


def reboot(config: Config, guest_id: str, hard: bool, hurry: Callable[[], bool] = lambda: False) -> None:
    """Restart a guest's init; the waiter does so after a clean shutdown, we do after a kill."""
    record.load(config, guest_id)
    home = record.directory(config, guest_id)
    before = record.init_of(home)

    def restarted() -> bool:
        return record.init_of(home) not in (None, before) or not record.running(home)

    if hard or not _ask(before, signal.SIGINT, restarted, hurry) or not record.running(home):
        kill(config, guest_id)
        start(config, guest_id)


def kill(config: Config, guest_id: str) -> None:
    """End everything in the guest now and wait until it is gone."""
    home = record.directory(config, guest_id)
    cgroup.kill_guest(config, guest_id)
    process.kill(record.init_of(home))  # its init may not have entered its group yet

    def gone() -> bool:
        if record.running(home):
            cgroup.kill_guest(config, guest_id)  # a reboot may have been under way
            return False
        return True

    if not record.wait(gone, KILL_TIMEOUT):
        raise HostError("failed", f"guest {guest_id} does not end {KILL_TIMEOUT} s after SIGKILL")


def execute(config: Config, guest_id: str, argv: list[str], stdin: str, timeout: int) -> dict[str, Any]:
    """Run a command inside a running guest, by host/enter.py."""
    record.load(config, guest_id)
    home = record.directory(config, guest_id)
    init = record.init_of(home)
    if not process.alive(init):
        raise HostError("conflict", f"guest {guest_id} is not running")
    command = _python("minicloud.host.enter", str(init["pid"]), json.dumps(cgroup.guest_procs(config, guest_id)), *argv)
    try:
        done = subprocess.run(
            command,
            input=stdin.encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
            env=_environment(),
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        raise HostError("failed", f"{argv[0]} did not finish in {timeout} s in guest {guest_id}") from None
    return {
        "rc": done.returncode,
        "stdout": done.stdout.decode("utf-8", "replace"),
        "stderr": done.stderr.decode("utf-8", "replace"),
    }


def meminfo(memory_mb: int) -> str:
    """A /proc/meminfo of a machine with that much memory; programs that size themselves read it."""
    total = memory_mb * 1024
    values = {
        "MemTotal": total,
        "MemFree": total * 8 // 10,
        "MemAvailable": total * 9 // 10,
        "Buffers": 0,
        "Cached": total // 10,
        "SwapCached": 0,
        "Active": 0,
        "Inactive": 0,
        "Shmem": 0,
        "Slab": 0,
        "SReclaimable": 0,
        "SwapTotal": 0,
        "SwapFree": 0,
    }
    return "".join(f"{name + ':':<16}{value:>8} kB\n" for name, value in values.items())


def _launch(config: Config, guest_id: str, home: Path, lock: int) -> int:
    """Start the waiter, which inherits the lock, and return the pid that the launcher reports."""
    read, write = os.pipe()
    try:
        link = network.guest_link(config.prefix, guest_id)
        launcher = _python("minicloud.host.launcher", str(home), str(write))
        with (home / "console.log").open("ab") as log:
            os.fchmod(log.fileno(), 0o600)
            waiter = subprocess.Popen(
                ["/bin/sh", str(_package / "waiter.sh"), str(home), config.netns, link, *launcher],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                pass_fds=(lock, write),
                start_new_session=True,
                env=_environment(),
            )
    except OSError:
        os.close(read)
        raise
    finally:
        os.close(write)
    threading.Thread(target=waiter.wait, daemon=True).start()  # else it would be a zombie while this daemon lives
    with open(read, "rb") as report:
        ready, _, _ = select.select([report], [], [], LAUNCH_TIMEOUT)
        line = report.readline() if ready else b'{"error": "the launcher hangs"}'
    outcome = json.loads(line or b'{"error": "the launcher ended without a word"}')
    if "error" in outcome:
        cgroup.kill_guest(config, guest_id)
        waiter.wait(KILL_TIMEOUT)
        raise HostError("failed", f"guest {guest_id} not started: {outcome['error']}; its console may tell more")
    return outcome["pid"]


def _ask(init: dict[str, Any] | None, number: int, done: Callable[[], bool], hurry: Callable[[], bool]) -> bool:
    """Ask a guest's init by a signal until `done`; False when STOP_TIMEOUT has passed or there is no init."""
    deadline = time.monotonic() + STOP_TIMEOUT
    while process.kill(init, number) and time.monotonic() < deadline and not hurry():
        if record.wait(done, ASK_AGAIN, hurry):
            return True
    return record.wait(done, ASK_AGAIN, hurry)  # the init may have gone and its waiter be about to act on that


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-m", module, *arguments]


def _environment() -> dict[str, str]:
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(_package.parent.parent),
        "LANG": "C.UTF-8",
    }
