"""Where one set-up on this machine lives and what its things are called.

Made by the command line tools, saved beside the state at the first start and read again later. Touches nothing else.
"""
import fcntl
import hashlib
import ipaddress
import json
import os
import secrets
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
SAVED, LOCK = "onebox.json", "lock"
API_PORTS = range(8779, 8979)
AGENTS = ("image", "checkout")
DATASTORE = "mariadb"  # offered when none is named


class SetupError(Exception):
    """The set-up cannot go on; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Settings:
    """One set-up.

    state: directory of everything that ``--down`` removes; cache: what takes minutes to make and may be used again
    (virtual environments, guest image); prefix: first part of the names of kernel objects, 1-6 characters a-z 0-9;
    subnet: network of the guests; api_port: port of trove-api on 127.0.0.1; agent: ``image`` (the agent is part of
    the guest image, as in production) or ``checkout`` (guests see the trove directory of this checkout);
    datastores: versions that are offered, as ``datastore:version`` or ``datastore`` for its default one; the first is
    the default, and the first of each datastore is that datastore's.
    """

    state: Path
    cache: Path
    prefix: str
    subnet: str
    api_port: int
    agent: str = "image"
    datastores: tuple = (DATASTORE,)

    @property
    def gateway(self):
        """Address of the cloud and the broker: the first of the subnet."""
        return str(ipaddress.ip_network(self.subnet)[1])

    @property
    def netns(self):
        """Name of the cloud's network namespace."""
        return f"{self.prefix}-net"

    @property
    def cloud_state(self):
        """State directory of minicloud."""
        return self.state / "cloud"

    @property
    def logs(self):
        """Directory of the logs of all services."""
        return self.state / "log"

    @property
    def etc(self):
        """Directory of the configuration files of the control plane."""
        return self.state / "etc"

    @property
    def api_url(self):
        """Root of trove-api."""
        return f"http://127.0.0.1:{self.api_port}"

    def save(self):
        """Write the settings beside the state, so that later runs find the same names and ports."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o700)  # the volumes of guests and the infrastructure database are nobody else's to read
        fields = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}
        write(self.state / SAVED, json.dumps(fields, indent=2) + "\n")


def locate(state=None, cache=None):
    """The state and cache directories: the arguments, else TROVE_STATE and TROVE_CACHE, else .run and .cache."""
    state = Path(state or os.environ.get("TROVE_STATE") or CHECKOUT / ".run").absolute()
    return state, Path(cache or os.environ.get("TROVE_CACHE") or CHECKOUT / ".cache").absolute()


def load(state=None, cache=None):
    """The settings of an earlier start in this state directory, or None if there are none."""
    state, cache = locate(state, cache)
    try:
        fields = json.loads((state / SAVED).read_text())
        return Settings(**fields | {"state": state, "cache": cache,
                                    "datastores": tuple(fields.get("datastores", (DATASTORE,)))})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise SetupError(f"{state / SAVED} is damaged ({error}); remove it and run tools/quickstart --down") from None


def choose(state=None, cache=None, agent=None, datastore=None):
    """The settings of this state directory: those saved, else new ones that do not meet a neighbour's.

    agent: overrides the saved choice when given; datastore: one to be offered beside those that are.
    """
    saved = load(state, cache)
    if saved:
        more = (datastore,) if datastore and datastore not in saved.datastores else ()
        return replace(saved, agent=agent or saved.agent, datastores=(*saved.datastores, *more))
    state, cache = locate(state, cache)
    if state.exists() and any(path.name != LOCK for path in state.iterdir()):
        raise SetupError(f"{state} holds other files; name an empty or a new directory with TROVE_STATE")
    return Settings(state, cache, derived_prefix(state), free_subnet(state), free_port(state), agent or "image",
                    (datastore or DATASTORE,))


@contextmanager
def exclusive(state):
    """Hold the state directory against another run of a tool. Raises SetupError when one is at work."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupError(f"Another run is at work in {state}; wait for its end") from None
        yield


@contextmanager
def making(path):
    """Hold the right to make ``path`` in the cache; who makes it now is waited for (its commands have deadlines)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def derived_prefix(state):
    """The prefix of a state directory: the same for the same path, so that a lost file hides nothing from --down."""
    return "tr" + hashlib.sha256(str(state).encode()).hexdigest()[:4]


def free_subnet(state):
    """A /16 of 10.64-10.127 without a route on this host; two paths begin their search at different ones."""
    routes = json.loads(subprocess.run(["ip", "-json", "route"], capture_output=True, check=True, timeout=30).stdout)
    taken = [ipaddress.ip_network(route["dst"], strict=False) for route in routes if route["dst"][0].isdigit()]
    start = int(hashlib.sha256(str(state).encode()).hexdigest(), 16)
    for step in range(64):
        subnet = ipaddress.ip_network(f"10.{64 + (start + step) % 64}.0.0/16")
        if not any(subnet.overlaps(other) for other in taken):
            return str(subnet)
    raise SetupError("No free subnet in 10.64.0.0-10.127.255.255: end another set-up first (tools/quickstart --down)")


def free_port(state):
    """A port on which nothing listens on 127.0.0.1: 8779 for a checkout's own set-up, else one derived from the path.

    Set-ups that begin at the same moment must not choose the same: it is used only when all else is made.
    """
    start = 0 if state == CHECKOUT / ".run" else int(hashlib.sha256(str(state).encode()).hexdigest(), 16)
    for step in range(len(API_PORTS)):
        port = API_PORTS[(start + step) % len(API_PORTS)]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SetupError(f"No free port from {API_PORTS[0]} to {API_PORTS[-1]} for trove-api")


def write(path, text, mode=0o644):
    """Replace a file as a whole; it never exists with wider rights than ``mode``. Returns whether it changed."""
    if path.exists() and path.read_text() == text and path.stat().st_mode & 0o777 == mode:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    partial.replace(path)
    return True


def secret(settings, name):
    """A random secret of this set-up, made at first use and kept in the state directory (0600)."""
    path = settings.state / "secrets.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if name not in known:
        known[name] = secrets.token_urlsafe(32)
        write(path, json.dumps(known, indent=2) + "\n", mode=0o600)
    return known[name]
