"""FakeHost: the verbs of HostClient in memory, for running the cloud without root and for tests.

Held to the same contract as the real one (tests/test_host_contract.py). Guests "run" at once and do nothing.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicloud.config import Config
from minicloud.host.client import HostError

_DEVICE = re.compile(r"/dev/vd[b-z]\Z")
_PROTOCOLS = ("tcp", "udp", "icmp", "any")


class FakeHost:
    """Same methods, arguments and errors as HostClient.

    Tests may set ``on_call`` (called as on_call(verb, arguments) before a verb acts; it may raise HostError or block)
    and use crash() and power_off() to play what happens to real guests.
    """

    def __init__(self, config: Config):
        self._config = config
        self._guests: dict[str, dict[str, Any]] = {}
        self._volumes: dict[str, dict[str, Any]] = {}
        self._next_pid = 1000
        self._mutex = threading.RLock()
        self.on_call: Callable[[str, dict], None] | None = None

    def _called(self, verb: str, **arguments: Any) -> None:
        if self.on_call:
            self.on_call(verb, arguments)

    def _guest(self, guest_id: str) -> dict[str, Any]:
        if guest_id not in self._guests:
            raise HostError("not_found", f"guest {guest_id} does not exist")
        return self._guests[guest_id]

    def _volume(self, volume_id: str) -> dict[str, Any]:
        if volume_id not in self._volumes:
            raise HostError("not_found", f"volume {volume_id} does not exist")
        return self._volumes[volume_id]

    def _run(self, guest: dict[str, Any]) -> dict[str, Any]:
        if guest["state"] != "running":
            self._next_pid += 1
            guest.update(state="running", pid=self._next_pid)
            guest["console"].append(f"guest {guest['guest_id']} started")
        return {"pid": guest["pid"]}

    # What happens to real guests

    def crash(self, guest_id: str) -> None:
        """Let a guest die as if its init had been killed."""
        with self._mutex:
            self._guest(guest_id).update(state="crashed", pid=None)

    def power_off(self, guest_id: str) -> None:
        """Let a guest power itself off."""
        with self._mutex:
            self._guest(guest_id).update(state="stopped", pid=None)

    def guest(self, guest_id: str) -> dict[str, Any]:
        """All that is known of a guest: the arguments of create_guest, state and console. Errors: not_found."""
        with self._mutex:
            return dict(self._guest(guest_id))

    # The verbs

    def facts(self) -> dict[str, Any]:
        """See HostClient."""
        return {
            "gateway": self._config.gateway,
            "host_address": self._config.host_address,
            "subnet": self._config.subnet,
            "netns": self._config.netns,
            "version": "fake",
        }

    def create_guest(
        self,
        guest_id: str,
        hostname: str,
        layers: list[str],
        binds: list[dict],
        memory_mb: int,
        vcpus: int,
        address: str,
        allowed: list[dict],
        files: list[dict] | None = None,
        config_drive: dict[str, str] | None = None,
        user_data: str = "",
    ) -> dict[str, Any]:
        """See HostClient."""
        self._called(
            "create_guest",
            guest_id=guest_id,
            hostname=hostname,
            layers=layers,
            binds=binds,
            memory_mb=memory_mb,
            vcpus=vcpus,
            address=address,
            allowed=allowed,
            files=files,
            config_drive=config_drive,
            user_data=user_data,
        )
        with self._mutex:
            if guest_id in self._guests:
                return self._run(self._guests[guest_id])
            self._check_address(address)
            if not layers or not all(Path(layer).is_file() for layer in layers):
                raise HostError("bad_request", f"layers: each of {layers} must be an existing file, and one is needed")
            for bind in binds:
                if not Path(bind["source"]).exists():
                    raise HostError("bad_request", f"binds: {bind['source']} does not exist")
            if memory_mb < 1 or vcpus < 1:
                raise HostError("bad_request", "memory_mb and vcpus must be at least 1")
            _check_rules(allowed)
            self._guests[guest_id] = guest = {
                "guest_id": guest_id,
                "hostname": hostname,
                "layers": layers,
                "binds": binds,
                "memory_mb": memory_mb,
                "vcpus": vcpus,
                "address": address,
                "allowed": allowed,
                "files": files or [],
                "config_drive": config_drive or {},
                "user_data": user_data,
                "state": "stopped",
                "pid": None,
                "console": [],
            }
            return self._run(guest)

    def _check_address(self, address: str) -> None:
        try:
            inside = ipaddress.IPv4Address(address) in ipaddress.IPv4Network(self._config.subnet)
        except ValueError:
            inside = False
        if not inside or address in (self._config.gateway, self._config.host_address):
            raise HostError("bad_request", f"address: {address} must be a free address of {self._config.subnet}")
        if any(guest["address"] == address for guest in self._guests.values()):
            raise HostError("conflict", f"address: {address} belongs to another guest")

    def start_guest(self, guest_id: str) -> dict[str, Any]:
        """See HostClient."""
        self._called("start_guest", guest_id=guest_id)
        with self._mutex:
            return self._run(self._guest(guest_id))

    def stop_guest(self, guest_id: str, hard: bool = False) -> None:
        """See HostClient."""
        self._called("stop_guest", guest_id=guest_id, hard=hard)
        self.power_off(guest_id)

    def reboot_guest(self, guest_id: str, hard: bool = False) -> None:
        """See HostClient."""
        self._called("reboot_guest", guest_id=guest_id, hard=hard)
        with self._mutex:
            self.power_off(guest_id)
            self._run(self._guest(guest_id))

    def delete_guest(self, guest_id: str) -> None:
        """See HostClient."""
        self._called("delete_guest", guest_id=guest_id)
        with self._mutex:
            self._guests.pop(guest_id, None)
            for volume in self._volumes.values():
                if volume["guest_id"] == guest_id:
                    volume.update(guest_id=None, device=None)

    def resize_guest(self, guest_id: str, memory_mb: int, vcpus: int) -> None:
        """See HostClient."""
        self._called("resize_guest", guest_id=guest_id, memory_mb=memory_mb, vcpus=vcpus)
        if memory_mb < 1 or vcpus < 1:
            raise HostError("bad_request", "memory_mb and vcpus must be at least 1")
        with self._mutex:
            self._guest(guest_id).update(memory_mb=memory_mb, vcpus=vcpus)

    def list_guests(self) -> list[dict[str, Any]]:
        """See HostClient."""
        self._called("list_guests")
        with self._mutex:
            return [
                {key: guest[key] for key in ("guest_id", "state", "pid", "address")} for guest in self._guests.values()
            ]

    def console(self, guest_id: str, lines: int = 100) -> str:
        """See HostClient."""
        self._called("console", guest_id=guest_id, lines=lines)
        with self._mutex:
            return "".join(line + "\n" for line in self._guest(guest_id)["console"][-lines:])

    def exec_guest(self, guest_id: str, argv: list[str], stdin: str = "", timeout: int = 60) -> dict[str, Any]:
        """See HostClient. There is nothing in a fake guest: every command is unknown to it (127)."""
        self._called("exec_guest", guest_id=guest_id, argv=argv)
        with self._mutex:
            if self._guest(guest_id)["state"] != "running":
                raise HostError("conflict", f"guest {guest_id} is not running")
        return {"rc": 127, "stdout": "", "stderr": f"{argv[0]}: command not found\n"}

    def set_rules(self, guest_id: str, allowed: list[dict]) -> None:
        """See HostClient."""
        self._called("set_rules", guest_id=guest_id, allowed=allowed)
        _check_rules(allowed)
        with self._mutex:
            self._guest(guest_id)["allowed"] = allowed

    def create_volume(self, volume_id: str, size_gb: int) -> None:
        """See HostClient."""
        self._called("create_volume", volume_id=volume_id, size_gb=size_gb)
        if size_gb < 1:
            raise HostError("bad_request", "size_gb must be at least 1")
        with self._mutex:
            known = self._volumes.setdefault(
                volume_id, {"volume_id": volume_id, "size_gb": size_gb, "guest_id": None, "device": None}
            )
            if known["size_gb"] != size_gb:
                raise HostError("conflict", f"volume {volume_id} exists with {known['size_gb']} GB")

    def delete_volume(self, volume_id: str) -> None:
        """See HostClient."""
        self._called("delete_volume", volume_id=volume_id)
        with self._mutex:
            if self._volumes.get(volume_id, {}).get("guest_id"):
                raise HostError("conflict", f"volume {volume_id} is attached")
            self._volumes.pop(volume_id, None)

    def grow_volume(self, volume_id: str, size_gb: int) -> None:
        """See HostClient."""
        self._called("grow_volume", volume_id=volume_id, size_gb=size_gb)
        with self._mutex:
            volume = self._volume(volume_id)
            if size_gb < volume["size_gb"]:
                raise HostError("bad_request", f"size_gb: volume {volume_id} has {volume['size_gb']} GB already")
            volume["size_gb"] = size_gb

    def attach_volume(self, volume_id: str, guest_id: str, device: str = "/dev/vdb") -> None:
        """See HostClient."""
        self._called("attach_volume", volume_id=volume_id, guest_id=guest_id, device=device)
        if not _DEVICE.match(device):
            raise HostError("bad_request", f"device: {device} must be /dev/vdb to /dev/vdz")
        with self._mutex:
            volume = self._volume(volume_id)
            self._guest(guest_id)
            if (volume["guest_id"], volume["device"]) == (guest_id, device):
                return
            taken = any((v["guest_id"], v["device"]) == (guest_id, device) for v in self._volumes.values())
            if volume["guest_id"] or taken:
                raise HostError("conflict", f"volume {volume_id} or device {device} is in use")
            volume.update(guest_id=guest_id, device=device)

    def detach_volume(self, volume_id: str, guest_id: str) -> None:
        """See HostClient."""
        self._called("detach_volume", volume_id=volume_id, guest_id=guest_id)
        with self._mutex:
            volume = self._volumes.get(volume_id)
            if volume and volume["guest_id"] == guest_id:
                volume.update(guest_id=None, device=None)

    def list_volumes(self) -> list[dict[str, Any]]:
        """See HostClient."""
        self._called("list_volumes")
        with self._mutex:
            return [dict(volume) for volume in self._volumes.values()]


def _check_rules(allowed: list[dict]) -> None:
    for rule in allowed:
        if rule.get("protocol") not in _PROTOCOLS:
            raise HostError("bad_request", f"allowed: protocol {rule.get('protocol')!r} must be one of {_PROTOCOLS}")
