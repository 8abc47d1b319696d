"""What one cloud is: a small frozen configuration saved by `minicloud up` and read by every other part.

Holds no behaviour beyond names and addresses derived from the fields; must not start or touch anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONFIG_FILE = "minicloud.json"
SECRETS_FILE = "secrets.json"
DRIVERS = ("host", "fake")
# The services, in the order of their ports.
SERVICES = ("identity", "compute", "volume", "image", "network", "object-store")
# The one that guests may reach.
GUEST_SERVICE = "object-store"
_PREFIX = re.compile(r"[a-z0-9]{1,6}\Z")


class ConfigError(ValueError):
    """A field has a value that cannot work; the message names the field and what would be right."""


@dataclass(frozen=True)
class Config:
    """The settings of one cloud.

    state_dir    directory of everything this cloud writes (absolute)
    prefix       1-6 characters a-z 0-9: first part of the name of every kernel object of this cloud
    subnet       IPv4 network of the guests, /8 to /24; first address: gateway, second: the host
    port         first TCP port on the gateway: each of SERVICES has one of its own, one after another
    guest_ports  TCP ports on the gateway that guests may reach beside that of GUEST_SERVICE
    driver       "host" (real guests, needs root) or "fake" (guests exist in memory only)
    """

    state_dir: Path
    prefix: str = "mc"
    subnet: str = "10.77.0.0/16"
    port: int = 8770
    guest_ports: tuple[int, ...] = ()
    driver: str = "host"

    def __post_init__(self) -> None:
        object.__setattr__(self, "state_dir", Path(self.state_dir).resolve())
        object.__setattr__(self, "guest_ports", tuple(self.guest_ports))
        if not _PREFIX.match(self.prefix):
            raise ConfigError(f"prefix: {self.prefix!r} must be 1 to 6 characters of a-z and 0-9")
        if self.driver not in DRIVERS:
            raise ConfigError(f"driver: {self.driver!r} must be one of {', '.join(DRIVERS)}")
        try:
            network = ipaddress.IPv4Network(self.subnet)
        except ValueError as error:
            raise ConfigError(f"subnet: {error}; an example is 10.77.0.0/16") from None
        if not 8 <= network.prefixlen <= 24:
            raise ConfigError(f"subnet: {self.subnet} must have a prefix length of 8 to 24")
        for port in (self.port, *self.guest_ports):
            if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
                raise ConfigError(f"port: {port!r} must be a number from 1 to 65535")
        if self.port + len(SERVICES) - 1 > 65535:
            raise ConfigError(f"port: {self.port} leaves no room for the ports of {len(SERVICES)} services")

    @property
    def gateway(self) -> str:
        """First address of the subnet: where guests and host find the HTTP services."""
        return str(ipaddress.IPv4Network(self.subnet)[1])

    @property
    def host_address(self) -> str:
        """Second address of the subnet: the source of connections from the host to guests. Never a guest's."""
        return str(ipaddress.IPv4Network(self.subnet)[2])

    @property
    def listen_address(self) -> str:
        """Address on which the HTTP services listen (inside the cloud's namespace unless driver is fake)."""
        return "127.0.0.1" if self.driver == "fake" else self.gateway

    @property
    def base_url(self) -> str:
        """URL of the first service, Keystone, without its path."""
        return self.root("identity")

    def service_port(self, service: str) -> int:
        """TCP port of one of SERVICES."""
        return self.port + SERVICES.index(service)

    def root(self, service: str) -> str:
        """URL of one of SERVICES without its path, the same for host and guests."""
        return f"http://{self.listen_address}:{self.service_port(service)}"

    def url(self, service: str) -> str:
        """URL of one of SERVICES with its path, below which all its versions lie."""
        return f"{self.root(service)}/{service}"

    @property
    def netns(self) -> str:
        """Name of the cloud's network namespace (as in `ip netns`)."""
        return f"{self.prefix}-net"

    @property
    def netns_path(self) -> Path:
        """File to open for setns() into the cloud's network namespace."""
        return Path("/run/netns") / self.netns

    @property
    def socket_path(self) -> Path:
        """Unix socket of the root helper; bind and connect to it with `socket_address`."""
        return self.state_dir / "host.sock"

    @property
    def guests_dir(self) -> Path:
        """One directory per guest lies here."""
        return self.state_dir / "guests"

    @property
    def volumes_dir(self) -> Path:
        """One sparse file per volume lies here."""
        return self.state_dir / "volumes"

    @property
    def log_dir(self) -> Path:
        """Logs of the two services."""
        return self.state_dir / "log"

    def save(self) -> None:
        """Write state_dir/minicloud.json, whole or not at all."""
        fields = dataclasses.asdict(self) | {"state_dir": str(self.state_dir)}
        write_atomically(self.state_dir / CONFIG_FILE, json.dumps(fields, indent=2) + "\n")


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Give an address for a Unix socket that is short however long its path: the kernel takes 107 bytes."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def load(state_dir: Path | str) -> Config:
    """Read the configuration saved in `state_dir`. Raises ConfigError when there is none or it is damaged."""
    path = Path(state_dir) / CONFIG_FILE
    try:
        fields = json.loads(path.read_text())
        return Config(**(fields | {"state_dir": Path(state_dir)}))
    except FileNotFoundError:
        raise ConfigError(f"state: no cloud in {state_dir} ({CONFIG_FILE} is missing); run `minicloud up`") from None
    except (ValueError, TypeError) as error:
        raise ConfigError(f"state: {path} is damaged: {error}") from None


def ensure_secrets(config: Config) -> dict[str, str]:
    """Return the cloud's secrets ({"admin_password"}), generating the file (mode 0600) when it is missing."""
    path = config.state_dir / SECRETS_FILE
    if not path.exists():
        write_atomically(path, json.dumps({"admin_password": secrets.token_urlsafe(18)}) + "\n", mode=0o600)
    return load_secrets(config)


def load_secrets(config: Config) -> dict[str, str]:
    """Read the secrets generated by the first `up`. Raises ConfigError when they are missing or damaged."""
    path = config.state_dir / SECRETS_FILE
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"state: {path} is missing; run `minicloud up`") from None
    except ValueError as error:
        raise ConfigError(f"state: {path} is damaged: {error}") from None


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace `path` by a file with `text`; a reader sees the old or the new content, never a part.

    The temporary name holds the writer's pid and a random part, so that two writers do not meet. There is no fsync: it
    guards against the death of the machine, which ends all guests anyway, and would double the time of a guest's start.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
