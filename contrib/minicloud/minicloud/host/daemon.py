"""The root helper: answers the verbs of host/client.py on a Unix socket. `python -m minicloud.host.daemon --state DIR`.

Started by `minicloud up`. It may be killed at any moment and started again: guests, volumes and rules live in the
kernel and in files, never in this process alone. One thread per call, one lock per guest or volume.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import fcntl
import inspect
import ipaddress
import json
import logging
import re
import signal
import socketserver
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any

from minicloud import config as configuration
from minicloud.config import Config, socket_address
from minicloud.host import attachment, cgroup, guest, network, power, record, turns, volume
from minicloud.host.client import HostError

LOG = logging.getLogger(__name__)

_WATCHES, _LEAST_WATCHES = Path("/proc/sys/fs/inotify/max_user_instances"), 4096
MAX_REQUEST = 64 << 20  # bytes of one request line; injected files are the bulk of it
MIN_MEMORY_MB = 32
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?\Z")


class Verbs:
    """The verbs of HostClient with its arguments and meaning; only checks and locks are added here."""

    def __init__(self, config: Config):
        self._config = config
        self._locks: dict[str, threading.Lock] = {}  # never removed: a few hundred bytes per id ever seen
        self._guard = threading.Lock()
        self._creating = threading.Lock()  # two guests must not take one address at the same time
        self._attaching = threading.Lock()  # who has a volume is read from all guests' files
        self._turns = turns.Turns(lambda guest_id, weight: cgroup.set_weight(config, guest_id, weight))
        for guest_id in record.ids(config):  # a daemon that was killed may have left them low
            cgroup.set_weight(config, guest_id, cgroup.NORMAL_WEIGHT)
        self._doomed: set[str] = set()  # guests about to be deleted: no clean shutdown is awaited any more

    def facts(self) -> dict[str, Any]:
        try:
            release = version("minicloud")
        except PackageNotFoundError:  # run from a source tree
            release = "unknown"
        return {
            "gateway": self._config.gateway,
            "host_address": self._config.host_address,
            "subnet": self._config.subnet,
            "netns": self._config.netns,
            "version": release,
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
        files: list[dict],
        config_drive: dict[str, str],
        user_data: str,
    ) -> dict[str, Any]:
        spec = {
            "guest_id": guest_id,
            "hostname": hostname,
            "layers": layers,
            "binds": binds,
            "memory_mb": memory_mb,
            "vcpus": vcpus,
            "address": address,
            "allowed": allowed,
        }
        with self._locked(guest_id):
            if guest_id not in record.ids(self._config):
                check_guest(self._config, spec)
                check_injection(files, config_drive, user_data)
                with self._creating:
                    taken = record.owner_of(self._config, address)
                    if taken:
                        raise HostError("conflict", f"address: {address} belongs to guest {taken}")
                    guest.create(self._config, spec, files, config_drive, user_data)
            return self._start(guest_id)

    def start_guest(self, guest_id: str) -> dict[str, Any]:
        with self._locked(guest_id):
            return self._start(guest_id)

    def _start(self, guest_id: str) -> dict[str, Any]:
        started = power.start(self._config, guest_id)
        self._turns.started(guest_id)
        return started

    def stop_guest(self, guest_id: str, hard: bool) -> None:
        with self._locked(guest_id):
            power.stop(self._config, guest_id, hard, lambda: guest_id in self._doomed)

    def reboot_guest(self, guest_id: str, hard: bool) -> None:
        with self._locked(guest_id):
            power.reboot(self._config, guest_id, hard, lambda: guest_id in self._doomed)

    def delete_guest(self, guest_id: str) -> None:
        self._doomed.add(guest_id)
        try:
            with self._locked(guest_id):
                guest.delete(self._config, guest_id)
        finally:
            self._doomed.discard(guest_id)

    def resize_guest(self, guest_id: str, memory_mb: int, vcpus: int) -> None:
        check_flavor(memory_mb, vcpus)
        with self._locked(guest_id):
            guest.resize(self._config, guest_id, memory_mb, vcpus)

    def list_guests(self) -> list[dict[str, Any]]:
        return [guest.describe(self._config, spec) for spec in record.load_all(self._config)]

    def console(self, guest_id: str, lines: int) -> str:
        check_id("guest_id", guest_id)
        if not isinstance(lines, int) or lines < 0:
            raise HostError("bad_request", f"lines: {lines!r} must be a number, 0 or more")
        return guest.console(self._config, guest_id, lines)

    def exec_guest(self, guest_id: str, argv: list[str], stdin: str, timeout: int) -> dict[str, Any]:
        check_id("guest_id", guest_id)
        if not argv or not all(isinstance(item, str) for item in argv):
            raise HostError("bad_request", f"argv: {argv!r} must be a list of strings")
        return power.execute(self._config, guest_id, argv, stdin, timeout)

    def set_rules(self, guest_id: str, allowed: list[dict]) -> None:
        with self._locked(guest_id):
            guest.set_rules(self._config, guest_id, allowed)

    def create_volume(self, volume_id: str, size_gb: int) -> None:
        with self._locked(volume_id):
            volume.create(self._config, volume_id, size_gb)

    def delete_volume(self, volume_id: str) -> None:
        with self._locked(volume_id), self._attaching:
            owner = attachment.attachments(self._config).get(volume_id)
            if owner:
                raise HostError("conflict", f"volume {volume_id} is attached to guest {owner[0]}")
            volume.delete(self._config, volume_id)

    def grow_volume(self, volume_id: str, size_gb: int) -> None:
        with self._locked(volume_id):
            volume.grow(self._config, volume_id, size_gb)

    def attach_volume(self, volume_id: str, guest_id: str, device: str) -> None:
        with self._locked(volume_id), self._locked(guest_id), self._attaching:
            attachment.attach(self._config, volume_id, guest_id, device)

    def detach_volume(self, volume_id: str, guest_id: str) -> None:
        with self._locked(volume_id), self._locked(guest_id), self._attaching:
            attachment.detach(self._config, volume_id, guest_id)

    def list_volumes(self) -> list[dict[str, Any]]:
        attached = attachment.attachments(self._config)
        found = []
        for volume_id in volume.ids(self._config):
            owner, device = attached.get(volume_id, (None, None))
            try:
                size = volume.size_of(self._config, volume_id)
            except HostError:
                continue  # deleted since the listing
            found.append({"volume_id": volume_id, "size_gb": size, "guest_id": owner, "device": device})
        return found

    def _locked(self, name: str) -> threading.Lock:
        check_id("id", name)
        with self._guard:
            return self._locks.setdefault(name, threading.Lock())


def check_id(field: str, value: Any) -> None:
    """Refuse what could leave its directory or its name space."""
    if not isinstance(value, str) or not _ID.match(value):
        raise HostError("bad_request", f"{field}: {value!r} must be 1 to 64 letters, digits and dashes")


def check_flavor(memory_mb: Any, vcpus: Any) -> None:
    """Refuse limits with which nothing can run."""
    if not isinstance(memory_mb, int) or isinstance(memory_mb, bool) or memory_mb < MIN_MEMORY_MB:
        raise HostError("bad_request", f"memory_mb: {memory_mb!r} must be a number, {MIN_MEMORY_MB} or more")
    if not isinstance(vcpus, int) or isinstance(vcpus, bool) or vcpus < 1:
        raise HostError("bad_request", f"vcpus: {vcpus!r} must be a number, 1 or more")


def check_guest(config: Config, spec: dict[str, Any]) -> None:
    """Refuse a guest that could not be launched, naming the field."""
    check_flavor(spec["memory_mb"], spec["vcpus"])
    if not isinstance(spec["hostname"], str) or not _HOSTNAME.match(spec["hostname"]):
        raise HostError("bad_request", f"hostname: {spec['hostname']!r} must be letters, digits, dots and dashes")
    try:
        address = ipaddress.IPv4Address(spec["address"])
    except ValueError as error:
        raise HostError("bad_request", f"address: {error}") from None
    subnet = ipaddress.IPv4Network(config.subnet)
    if (
        address not in subnet
        or str(address) in (config.gateway, config.host_address)
        or address in (subnet.network_address, subnet.broadcast_address)
    ):
        raise HostError("bad_request", f"address: {address} must be in {subnet}, and not the gateway's or the host's")
    if not spec["layers"]:
        raise HostError("bad_request", "layers: at least one squashfs file is needed")
    for layer in spec["layers"]:
        if not isinstance(layer, str) or not Path(layer).is_absolute() or not Path(layer).is_file():
            raise HostError("bad_request", f"layers: {layer!r} must be the absolute path of a squashfs file")
        with open(layer, "rb") as file:
            if file.read(4) != b"hsqs":
                raise HostError("bad_request", f"layers: {layer} is no squashfs file")
    for item in spec["binds"]:
        source = Path(item.get("source", ""))
        if not source.is_absolute() or not source.exists():
            raise HostError("bad_request", f"binds: source {item.get('source')!r} must be an existing absolute path")
        check_target("binds", item.get("target"))
    for rule in spec["allowed"]:
        network.rule_match(rule)


def check_injection(files: list[dict], config_drive: dict[str, str], user_data: str) -> None:
    """Refuse content that is not base64 and paths that lead elsewhere."""
    for item in files:
        check_target("files", item.get("path"))
        check_base64("files", item.get("content"))
        if not isinstance(item.get("mode", 0o644), int):
            raise HostError("bad_request", f"files: mode {item['mode']!r} of {item['path']} must be a number")
    for name, content in config_drive.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or not name:
            raise HostError("bad_request", f"config_drive: {name!r} must be a relative path without ..")
        check_base64("config_drive", content)
    check_base64("user_data", user_data)


def check_target(field: str, path: Any) -> None:
    """Refuse paths in the guest that are relative or walk upwards."""
    if not isinstance(path, str) or not path.startswith("/") or ".." in PurePosixPath(path).parts or path == "/":
        raise HostError("bad_request", f"{field}: {path!r} must be an absolute path without ..")


def check_base64(field: str, content: Any) -> None:
    """Refuse what is no base64 text."""
    try:
        base64.b64decode(content, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise HostError("bad_request", f"{field}: not base64: {error}") from None


class _Handler(socketserver.StreamRequestHandler):
    """One connection: requests are answered one by one until the client closes."""

    def handle(self) -> None:
        while line := self.rfile.readline(MAX_REQUEST):
            try:
                self.wfile.write(json.dumps(answer(self.server.verbs, line)).encode() + b"\n")
            except BrokenPipeError:
                return  # the caller has died or given up; what it asked for is done all the same


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, config: Config):
        self.verbs = Verbs(config)
        # Bind under another name first: the socket must never be there with open permissions.
        fresh = config.socket_path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with socket_address(fresh) as address:
            super().__init__(address, _Handler)
        fresh.chmod(0o600)
        fresh.replace(config.socket_path)


def answer(verbs: Verbs, line: bytes) -> dict[str, Any]:
    """Turn one request line into one reply; the boundary at which every error becomes an answer."""
    verb = "?"
    try:
        verb, arguments, method = _understand(verbs, line)
        result = method(**arguments)
        LOG.log(
            logging.DEBUG if verb in ("list_guests", "list_volumes", "facts") else logging.INFO,
            "%s %s: done",
            verb,
            arguments.get("guest_id") or arguments.get("volume_id") or "",
        )
        return {"result": result}
    except HostError as error:
        LOG.warning("%s: %s", verb, error)
        return {"error": {"code": error.code, "message": error.message}}
    except OSError as error:
        LOG.exception("%s: failed", verb)
        return {"error": {"code": "no_space" if error.errno == 28 else "failed", "message": f"{verb}: {error}"}}
    except Exception as error:  # noqa: BLE001 - the door: a bug must not leave the caller without an answer
        LOG.exception("%s: failed", verb)
        return {"error": {"code": "failed", "message": f"{verb}: internal error: {error!r}"}}


def _understand(verbs: Verbs, line: bytes) -> tuple[str, dict[str, Any], Callable[..., Any]]:
    try:
        request = json.loads(line)
        verb, arguments = request["verb"], request["arguments"]
        method = getattr(verbs, verb) if not verb.startswith("_") else None
        inspect.signature(method).bind(**arguments)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HostError("bad_request", f"malformed request: {error}") from None
    return verb, arguments, method


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM. Returns 1 when the network cannot be made."""
    parser = argparse.ArgumentParser(prog="minicloud-host", description="root helper of minicloud")
    parser.add_argument("--state", type=Path, required=True, help="state directory of the cloud")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    config = configuration.load(arguments.state)
    config.guests_dir.mkdir(exist_ok=True)
    config.volumes_dir.mkdir(exist_ok=True)
    with ExitStack() as stack:
        lock = stack.enter_context((config.state_dir / "host.lock").open("w"))
        if not _lock(lock.fileno()):
            LOG.error("another host daemon serves %s", config.state_dir)
            return 1
        try:
            _allow_watches()
            cgroup.join_services(config.prefix)
            network.ensure_cloud(config)
        except (HostError, OSError) as error:
            LOG.error("%s", error)
            return 1
        server = stack.enter_context(_Server(config))
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        LOG.info("serving %s, prefix %s, subnet %s", config.socket_path, config.prefix, config.subnet)
        server.serve_forever()
    return 0


def _allow_watches() -> None:
    """Raise the kernel's limit of inotify instances, which all guests share: twenty take more than the usual 128.

    A guest that gets none boots without its network. The limit stays raised.
    """
    try:
        if int(_WATCHES.read_text()) < _LEAST_WATCHES:
            _WATCHES.write_text(str(_LEAST_WATCHES))
    except OSError as error:
        LOG.warning("%s cannot be raised, and many guests at once may not boot: %s", _WATCHES, error)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
