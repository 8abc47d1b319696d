"""Client of the root helper: one method per verb, spoken as JSON lines over a Unix socket.

Used by the HTTP facades and by tests; `host/fake.py` offers the same methods in memory. Holds no state, so that
threads may share one client and the daemon may be restarted between two calls.

Common words: `guest_id` and `volume_id` are UUID strings; sizes are in GiB unless the name says `_mb` (MiB);
binary content travels as base64 text. Every verb is safe to repeat.
"""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from minicloud.config import Config, socket_address

# Seconds. A verb that waits for a guest tells its own deadline; the rest answer in milliseconds on an idle machine.
CALL_TIMEOUT = 120
_RETRY_INTERVAL = 0.1
ERROR_CODES = ("not_found", "conflict", "bad_request", "no_space", "failed")


class HostError(Exception):
    """A verb was refused or failed.

    code     one of ERROR_CODES: not_found (no such guest or volume), conflict (state does not allow it),
             bad_request (an argument is wrong), no_space (disk is full), failed (anything else, see the daemon's log)
    message  one sentence for a person
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class HostGone(HostError):
    """The daemon is not there, or went away before it answered."""

    def __init__(self, message: str):
        super().__init__("failed", message)


class HostClient:
    """Calls the daemon of one cloud. Raises HostError("failed", ...) when the daemon does not answer."""

    def __init__(self, config: Config, patience: float = 0):
        """patience: seconds for which a verb waits for a daemon that is being started (list_guests never waits)."""
        self._path = config.socket_path
        self._patience = patience

    def facts(self) -> dict[str, Any]:
        """Return {"gateway", "host_address", "subnet", "netns", "version"}."""
        return self._call("facts")

    # ----------------------------------------------------------------- guests

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
        """Create and start a guest; return {"pid": pid of its init on the host}.

        layers        absolute paths of squashfs files, lowest first
        binds         [{"source": absolute host path, "target": absolute path in the guest}], read-only
        address       IPv4 address inside the subnet, not the gateway's nor the host's
        allowed       ingress rules, see set_rules
        files         [{"path": absolute, "content": base64, "mode": int, default 0o644}], written before init starts
        config_drive  {relative path: base64}, shown read-only as a directory at /mnt/config
        user_data     base64 of a shebang script, #cloud-config (write_files, runcmd), MIME parts of these, or ""

        Idempotent: an existing guest with this id is (started and) returned; the other arguments are then ignored.
        Errors: bad_request (argument, missing layer or bind), conflict (address in use), no_space, failed (no boot).
        """
        return self._call(
            "create_guest",
            guest_id=guest_id,
            hostname=hostname,
            layers=layers,
            binds=binds,
            memory_mb=memory_mb,
            vcpus=vcpus,
            address=address,
            allowed=allowed,
            files=files or [],
            config_drive=config_drive or {},
            user_data=user_data,
        )

    def start_guest(self, guest_id: str) -> dict[str, Any]:
        """Start a stopped or crashed guest; return {"pid"}. A running one is left alone. Errors: not_found, failed."""
        return self._call("start_guest", guest_id=guest_id)

    def stop_guest(self, guest_id: str, hard: bool = False) -> None:
        """Power off: clean with a deadline of 60 s, then (or at once if `hard`) by force. Errors: not_found."""
        self._call("stop_guest", guest_id=guest_id, hard=hard)

    def reboot_guest(self, guest_id: str, hard: bool = False) -> None:
        """Restart the guest's init; returns when the new one has started. A stopped guest is started.

        Soft: asks init, and after 60 s resets by force; hard: at once. Errors: not_found, failed.
        """
        self._call("reboot_guest", guest_id=guest_id, hard=hard)

    def delete_guest(self, guest_id: str) -> None:
        """Kill the guest, detach its volumes (kept), remove all its traces. Deleting an absent guest is fine."""
        self._call("delete_guest", guest_id=guest_id)

    def resize_guest(self, guest_id: str, memory_mb: int, vcpus: int) -> None:
        """Set new limits, at once. /proc/meminfo in the guest follows. Errors: not_found, bad_request."""
        self._call("resize_guest", guest_id=guest_id, memory_mb=memory_mb, vcpus=vcpus)

    def list_guests(self) -> list[dict[str, Any]]:
        """Return [{"guest_id", "state": "running"|"stopped"|"crashed", "pid" (None unless running), "address"}].

        "stopped" = powered off, by itself or by stop_guest; "crashed" = ended in any other way.
        """
        return self._call("list_guests")

    def console(self, guest_id: str, lines: int = 100) -> str:
        """Return the last `lines` lines of the guest's console (0: all that is kept). Errors: not_found."""
        return self._call("console", guest_id=guest_id, lines=lines)

    def exec_guest(self, guest_id: str, argv: list[str], stdin: str = "", timeout: int = 60) -> dict[str, Any]:
        """Run a command as root inside a running guest, with its limits and capabilities (for tests and debugging).

        Returns {"rc", "stdout", "stderr"} (text; rc 127 = no such command). Errors: not_found, conflict (not
        running), failed (not finished in `timeout` seconds).
        """
        return self._call("exec_guest", guest_id=guest_id, argv=argv, stdin=stdin, timeout=timeout)

    def set_rules(self, guest_id: str, allowed: list[dict]) -> None:
        """Replace the guest's ingress allow list. Replies always pass; everything not allowed is dropped.

        allowed  [{"protocol": "tcp"|"udp"|"icmp"|"any", "port_min": int|None, "port_max": int|None, "cidr": str|None}]
                 ports None = all of the protocol; cidr None = from anywhere
        Errors: not_found, bad_request.
        """
        self._call("set_rules", guest_id=guest_id, allowed=allowed)

    # ---------------------------------------------------------------- volumes

    def create_volume(self, volume_id: str, size_gb: int) -> None:
        """Make an empty volume. An existing one of the same size is fine. Errors: conflict, bad_request, no_space."""
        self._call("create_volume", volume_id=volume_id, size_gb=size_gb)

    def delete_volume(self, volume_id: str) -> None:
        """Remove a volume and its data. Deleting an absent one is fine. Errors: conflict (attached)."""
        self._call("delete_volume", volume_id=volume_id)

    def grow_volume(self, volume_id: str, size_gb: int) -> None:
        """Enlarge, also while attached (the guest's device grows at once). Errors: not_found, bad_request (smaller)."""
        self._call("grow_volume", volume_id=volume_id, size_gb=size_gb)

    def attach_volume(self, volume_id: str, guest_id: str, device: str = "/dev/vdb") -> None:
        """Show the volume in the guest as `device` ("/dev/vdb" to "/dev/vdz"), now and after every start.

        Repeating the same attachment is fine. Errors: not_found, bad_request (device), conflict (volume or device
        in use).
        """
        self._call("attach_volume", volume_id=volume_id, guest_id=guest_id, device=device)

    def detach_volume(self, volume_id: str, guest_id: str) -> None:
        """Take the volume out of the guest; one that is not attached is fine. Errors: conflict (mounted there)."""
        self._call("detach_volume", volume_id=volume_id, guest_id=guest_id)

    def list_volumes(self) -> list[dict[str, Any]]:
        """Return [{"volume_id", "size_gb", "guest_id" (None when detached), "device" (None when detached)}]."""
        return self._call("list_volumes")

    # --------------------------------------------------------------- transport

    def _call(self, verb: str, **arguments: Any) -> Any:
        deadline = time.monotonic() + (self._patience if verb != "list_guests" else 0)
        while True:
            try:
                return self._call_once(verb, **arguments)
            except HostGone:
                # Every verb is safe to repeat, so it does not matter how far the last daemon came with it.
                if time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_INTERVAL)

    def _call_once(self, verb: str, **arguments: Any) -> Any:
        timeout = CALL_TIMEOUT + arguments.get("timeout", 0)
        request = json.dumps({"verb": verb, "arguments": arguments}) + "\n"
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                with socket_address(self._path) as address:
                    connection.connect(address)
                connection.sendall(request.encode())
                with connection.makefile("rb") as stream:
                    reply = json.loads(stream.readline() or b"null")
        except TimeoutError:
            raise HostError("failed", f"{verb}: the host daemon did not answer in {timeout} s") from None
        except (OSError, ValueError) as error:
            raise HostGone(f"{verb}: no answer from the host daemon at {self._path}: {error}") from None
        if reply is None:
            raise HostGone(f"{verb}: the host daemon closed the connection without an answer")
        if "error" in reply:
            raise HostError(reply["error"]["code"], reply["error"]["message"])
        return reply["result"]
