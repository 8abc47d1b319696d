"""Guests: one directory each, from which everything about them can be known and repeated.

Called by the daemon, which holds the guest's lock during every function that changes something. Contents of a guest's
directory: guest.json (what it is), launch.json, inject.json, devices.json, meminfo (for the launcher), run.json (who is
its init), exit (how that ended), stopping (we ended it), lock (held by its waiter), console.log, config-drive, upper
(its disk).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from minicloud.config import Config, write_atomically
from minicloud.host import cgroup, network, process, userdata, volume
from minicloud.host.client import HostError

LAUNCH_TIMEOUT = 60  # seconds from fork to exec of the image's init; 0.1 is usual
STOP_TIMEOUT = 60  # seconds for a clean power-off or reboot before force
KILL_TIMEOUT = 30  # seconds for a killed guest to be gone
POWER_OFF = 130  # how a shell tells death by SIGINT, the kernel's word for power-off in a pid namespace
SIGRTMIN = 34
ASK_AGAIN = 2  # seconds after which an init that has just started, and was still deaf, is asked again
_POLL = 0.01
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of fcntl.h on 64-bit machines
_DEVICE = re.compile(r"/dev/vd[b-z]\Z")
_package = Path(__file__).resolve().parent


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


def create(
    config: Config, spec: dict[str, Any], files: list[dict], config_drive: dict[str, str], user_data: str
) -> None:
    """Write the directory of a new guest; guest.json comes last and makes it exist. `spec` has been checked."""
    home = directory(config, spec["guest_id"])
    shutil.rmtree(home, ignore_errors=True)  # what a creation that died half-way has left
    home.mkdir(parents=True, mode=0o700)
    plan = userdata.parse(base64.b64decode(user_data))
    inject = {
        "hostname": spec["hostname"],
        "address": spec["address"],
        "machine_id": machine_id(spec["guest_id"]),
        "files": [
            {"path": item["path"], "content": item["content"], "mode": item.get("mode", 0o644)} for item in files
        ],
        "user_files": plan.files,
        "scripts": [base64.b64encode(script).decode() for script in plan.scripts],
    }
    write_atomically(home / "inject.json", json.dumps(inject), mode=0o600)
    for name, content in config_drive.items():
        target = home / "config-drive" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(content))
    (home / "devices.json").write_text("{}")
    write_atomically(home / "guest.json", json.dumps(spec, indent=1))


def machine_id(guest_id: str) -> str:
    """The 32 hexadecimal digits of /etc/machine-id, the same at every boot."""
    return uuid.uuid5(uuid.NAMESPACE_OID, guest_id).hex


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


def start(config: Config, guest_id: str) -> dict[str, Any]:
    """Boot a guest unless it runs; return {"pid"}. Raises HostError("failed") with the launcher's reason."""
    spec = load(config, guest_id)
    home = directory(config, guest_id)
    pid = _settled_pid(home)
    if pid:
        return {"pid": pid}
    lock = _take_lock(home)
    if lock is None:
        raise HostError("failed", f"guest {guest_id} neither runs nor ends {LAUNCH_TIMEOUT} s after the last start")
    try:
        (home / "stopping").unlink(missing_ok=True)
        network.wire_guest(config, guest_id, spec["address"], spec["allowed"])
        join_first, join_last = cgroup.create_guest(config, guest_id, spec["memory_mb"], spec["vcpus"])
        _refresh_devices(config, guest_id)
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
    load(config, guest_id)
    home = directory(config, guest_id)
    (home / "stopping").touch()
    if hard or not _ask(_run(home), SIGRTMIN + 4, lambda: not running(home), hurry):
        kill(config, guest_id)


def reboot(config: Config, guest_id: str, hard: bool, hurry: Callable[[], bool] = lambda: False) -> None:
    """Restart a guest's init; the waiter does so after a clean shutdown, we do after a kill."""
    load(config, guest_id)
    home = directory(config, guest_id)
    before = _run(home)

    def restarted() -> bool:
        return _run(home) not in (None, before) or not running(home)

    if hard or not _ask(before, signal.SIGINT, restarted, hurry) or not running(home):
        kill(config, guest_id)
        start(config, guest_id)


def kill(config: Config, guest_id: str) -> None:
    """End everything in the guest now and wait until it is gone."""
    home = directory(config, guest_id)
    cgroup.kill_guest(config, guest_id)
    process.kill(_run(home))  # its init may not have entered its group yet

    def gone() -> bool:
        if running(home):
            cgroup.kill_guest(config, guest_id)  # a reboot may have been under way
            return False
        return True

    if not _wait(gone, KILL_TIMEOUT):
        raise HostError("failed", f"guest {guest_id} does not end {KILL_TIMEOUT} s after SIGKILL")


def _removed(home: Path) -> bool:
    shutil.rmtree(home, ignore_errors=True)
    return not home.exists()


def delete(config: Config, guest_id: str) -> None:
    """Remove all traces of a guest; its volumes stay. Repeating it after a crash finishes the work."""
    home = directory(config, guest_id)
    if home.exists():
        kill(config, guest_id)
        for device in list(devices(config, guest_id)):
            volume.clear(config, devices(config, guest_id)[device]["volume_id"])
    network.unwire_guest(config, guest_id)
    try:
        cgroup.remove_guest(config, guest_id)
    except OSError as error:
        raise HostError("failed", f"guest {guest_id} not removed: {error}") from error
    # The guest's waiter may still be writing its last words into the directory while it is emptied.
    if not _wait(lambda: _removed(home), KILL_TIMEOUT):
        raise HostError("failed", f"guest {guest_id} not removed: {home} does not become empty")


def resize(config: Config, guest_id: str, memory_mb: int, vcpus: int) -> None:
    """Apply and keep new limits."""
    spec = load(config, guest_id)
    home = directory(config, guest_id)
    if running(home):
        try:
            cgroup.set_limits(config, guest_id, memory_mb, vcpus)
        except OSError as error:
            raise HostError("failed", f"guest {guest_id} cannot be limited to {memory_mb} MB: {error}") from error
        with (home / "meminfo").open("r+") as file:  # in place: the guest has this very file mounted
            file.write(meminfo(memory_mb))
            file.truncate()
    write_atomically(home / "guest.json", json.dumps(spec | {"memory_mb": memory_mb, "vcpus": vcpus}, indent=1))


def set_rules(config: Config, guest_id: str, allowed: list[dict]) -> None:
    """Keep and apply a new allow list."""
    spec = load(config, guest_id)
    for rule in allowed:
        network.rule_match(rule)
    write_atomically(directory(config, guest_id) / "guest.json", json.dumps(spec | {"allowed": allowed}, indent=1))
    network.set_rules(config, guest_id, allowed)


def describe(config: Config, spec: dict[str, Any]) -> dict[str, Any]:
    """State of one guest, as list_guests shows it."""
    home = directory(config, spec["guest_id"])
    run = _run(home)
    try:
        status = int((home / "exit").read_text())
    except (FileNotFoundError, ValueError):  # ValueError: it is being written
        status = None
    state = state_of(running(home), status, (home / "stopping").exists())
    return {
        "guest_id": spec["guest_id"],
        "state": state,
        "address": spec["address"],
        "pid": run["pid"] if run and state == "running" else None,
    }


def state_of(is_running: bool, exit_status: int | None, stop_wanted: bool) -> str:
    """The pure decision behind the state of a guest."""
    if is_running:
        return "running"
    return "stopped" if stop_wanted or exit_status == POWER_OFF else "crashed"


def console(config: Config, guest_id: str, lines: int) -> str:
    """The last lines of the console log."""
    load(config, guest_id)
    path = directory(config, guest_id) / "console.log"
    text = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n") if path.exists() else ""
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines else text


def execute(config: Config, guest_id: str, argv: list[str], stdin: str, timeout: int) -> dict[str, Any]:
    """Run a command inside a running guest, by host/enter.py."""
    load(config, guest_id)
    home = directory(config, guest_id)
    run = _run(home)
    if not process.alive(run):
        raise HostError("conflict", f"guest {guest_id} is not running")
    command = _python("minicloud.host.enter", str(run["pid"]), json.dumps(cgroup.guest_procs(config, guest_id)), *argv)
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


# ------------------------------------------------------------------- volumes


def devices(config: Config, guest_id: str) -> dict[str, dict]:
    """The guest's attachments: {device: {"volume_id", "number": [major, minor]}}."""
    try:
        return json.loads((directory(config, guest_id) / "devices.json").read_text())
    except FileNotFoundError:
        return {}


def attachments(config: Config) -> dict[str, tuple[str, str]]:
    """All attachments of the cloud: {volume id: (guest id, device)}."""
    return {
        item["volume_id"]: (guest_id, device)
        for guest_id in ids(config)
        for device, item in devices(config, guest_id).items()
    }


def attach(config: Config, volume_id: str, guest_id: str, device: str) -> None:
    """Record the attachment, then show the device in a running guest."""
    load(config, guest_id)
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
    pid = _settled_pid(directory(config, guest_id))
    if pid:
        cgroup.allow_block_device(config, guest_id, number, allowed=True)
        node = Path(f"/proc/{pid}/root{device}")
        node.unlink(missing_ok=True)
        os.mknod(node, 0o060660, os.makedev(*number))
        os.chown(node, 0, 6)  # group disk


def detach(config: Config, volume_id: str, guest_id: str) -> None:
    """Take the device away, unless the guest still has it mounted."""
    load(config, guest_id)
    present = devices(config, guest_id)
    device = next((name for name, item in present.items() if item["volume_id"] == volume_id), None)
    if device is None:
        return
    pid = _settled_pid(directory(config, guest_id))
    if pid:
        volume.check_idle(config, volume_id)
        Path(f"/proc/{pid}/root{device}").unlink(missing_ok=True)
        cgroup.allow_block_device(config, guest_id, present[device]["number"], allowed=False)
    _save_devices(config, guest_id, {name: item for name, item in present.items() if name != device})
    # Last: were this process killed before, a device without user would be left, and no user with another's device.
    volume.clear(config, volume_id)


def _refresh_devices(config: Config, guest_id: str) -> None:
    """Before a boot: loop devices may be gone (machine restarted) or have other numbers."""
    fresh = {}
    for device, item in devices(config, guest_id).items():
        number = volume.ensure_loop(config, item["volume_id"])
        cgroup.allow_block_device(config, guest_id, number, allowed=True)
        fresh[device] = {"volume_id": item["volume_id"], "number": number}
    _save_devices(config, guest_id, fresh)


def _save_devices(config: Config, guest_id: str, present: dict[str, dict]) -> None:
    write_atomically(directory(config, guest_id) / "devices.json", json.dumps(present))


# ----------------------------------------------------------------- processes


def running(home: Path) -> bool:
    """True while the guest has an init, or a waiter that is about to start one."""
    return _locked(home) or process.alive(_run(home))


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


def _take_lock(home: Path) -> int | None:
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


def _locked(home: Path) -> bool:
    """Tell whether somebody holds the guest's lock, without taking it for even a moment."""
    try:
        with (home / "lock").open("rb") as file:
            question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, question)
    except FileNotFoundError:
        return False
    return _FLOCK.unpack(answer)[0] != fcntl.F_UNLCK


def _run(home: Path) -> dict[str, Any] | None:
    """Identity of the guest's init, as the launcher wrote it; it may be dead."""
    try:
        return json.loads((home / "run.json").read_text())
    except FileNotFoundError:
        return None


def _ask(init: dict[str, Any] | None, number: int, done: Callable[[], bool], hurry: Callable[[], bool]) -> bool:
    """Ask a guest's init by a signal until `done`; False when STOP_TIMEOUT has passed or there is no init."""
    deadline = time.monotonic() + STOP_TIMEOUT
    while process.kill(init, number) and time.monotonic() < deadline and not hurry():
        if _wait(done, ASK_AGAIN, hurry):
            return True
    return _wait(done, ASK_AGAIN, hurry)  # the init may have gone and its waiter be about to act on that


def _settled_pid(home: Path) -> int | None:
    """Pid of the guest's init, or None when it does not run; waits while it is between two inits or ending."""
    _wait(lambda: process.alive(_run(home)) or not _locked(home), LAUNCH_TIMEOUT)
    run = _run(home)
    return run["pid"] if process.alive(run) else None


def _wait(condition: Callable[[], bool], timeout: float, hurry: Callable[[], bool] = lambda: False) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline or hurry():
            return False
        time.sleep(_POLL)
    return True


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-m", module, *arguments]


def _environment() -> dict[str, str]:
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(_package.parent.parent),
        "LANG": "C.UTF-8",
    }
