"""Guests from their creation to their deletion, and what is shown of them.

Called by the daemon, which holds the guest's lock during every function that changes something. A deletion or creation
that was interrupted is finished by the next call.
"""

from __future__ import annotations

import base64
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from minicloud.config import Config, write_atomically
from minicloud.host import attachment, cgroup, network, power, record, userdata, volume
from minicloud.host.client import HostError

POWER_OFF = 130  # how a shell tells death by SIGINT, the kernel's word for power-off in a pid namespace


def create(
    config: Config, spec: dict[str, Any], files: list[dict], config_drive: dict[str, str], user_data: str
) -> None:
    """Write the directory of a new guest; guest.json comes last and makes it exist. `spec` has been checked."""
    home = record.directory(config, spec["guest_id"])
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
    _save(config, spec)


def machine_id(guest_id: str) -> str:
    """The 32 hexadecimal digits of /etc/machine-id, the same at every boot."""
    return uuid.uuid5(uuid.NAMESPACE_OID, guest_id).hex


def delete(config: Config, guest_id: str) -> None:
    """Remove all traces of a guest; its volumes stay. Repeating it after a crash finishes the work."""
    home = record.directory(config, guest_id)
    if home.exists():
        power.kill(config, guest_id)
        for device in list(attachment.devices(config, guest_id)):
            volume.clear(config, attachment.devices(config, guest_id)[device]["volume_id"])
    network.unwire_guest(config, guest_id)
    try:
        cgroup.remove_guest(config, guest_id)
    except OSError as error:
        raise HostError("failed", f"guest {guest_id} not removed: {error}") from error
    # The guest's waiter may still be writing its last words into the directory while it is emptied.
    if not record.wait(lambda: _removed(home), power.KILL_TIMEOUT):
        raise HostError("failed", f"guest {guest_id} not removed: {home} does not become empty")


def resize(config: Config, guest_id: str, memory_mb: int, vcpus: int) -> None:
    """Apply and keep new limits."""
    spec = record.load(config, guest_id)
    home = record.directory(config, guest_id)
    if record.running(home):
        try:
            cgroup.set_limits(config, guest_id, memory_mb, vcpus)
        except OSError as error:
            raise HostError("failed", f"guest {guest_id} cannot be limited to {memory_mb} MB: {error}") from error
        with (home / "meminfo").open("r+") as file:  # in place: the guest has this very file mounted
            file.write(power.meminfo(memory_mb))
            file.truncate()
    _save(config, spec | {"memory_mb": memory_mb, "vcpus": vcpus})


def set_rules(config: Config, guest_id: str, allowed: list[dict]) -> None:
    """Keep and apply a new allow list."""
    spec = record.load(config, guest_id)
    for rule in allowed:
        network.rule_match(rule)
    _save(config, spec | {"allowed": allowed})
    network.set_rules(config, guest_id, allowed)


def describe(config: Config, spec: dict[str, Any]) -> dict[str, Any]:
    """State of one guest, as list_guests shows it."""
    home = record.directory(config, spec["guest_id"])
    init = record.init_of(home)
    try:
        status = int((home / "exit").read_text())
    except (FileNotFoundError, ValueError):  # ValueError: it is being written
        status = None
    state = state_of(record.running(home), status, (home / "stopping").exists())
    return {
        "guest_id": spec["guest_id"],
        "state": state,
        "address": spec["address"],
        "pid": init["pid"] if init and state == "running" else None,
    }


def state_of(is_running: bool, exit_status: int | None, stop_wanted: bool) -> str:
    """The pure decision behind the state of a guest."""
    if is_running:
        return "running"
    return "stopped" if stop_wanted or exit_status == POWER_OFF else "crashed"


def console(config: Config, guest_id: str, lines: int) -> str:
    """The last lines of the console log."""
    record.load(config, guest_id)
    path = record.directory(config, guest_id) / "console.log"
    text = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n") if path.exists() else ""
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines else text


def _removed(home: Path) -> bool:
    shutil.rmtree(home, ignore_errors=True)
    return not home.exists()


def _save(config: Config, spec: dict[str, Any]) -> None:
    home = record.directory(config, spec["guest_id"])
    write_atomically(home / "guest.json", json.dumps(spec, indent=1))
