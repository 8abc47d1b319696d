"""The two long-running processes of a cloud: how they are started, found again and ended. Used by the command line."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

from minicloud.config import Config, write_atomically
from minicloud.host import cgroup, process
from minicloud.host.client import HostClient, HostError

MODULES = {"host": "minicloud.host.daemon", "api": "minicloud.api.app"}
START_TIMEOUT = 60  # seconds until a service answers; two are usual
STOP_TIMEOUT = 10  # seconds between SIGTERM and SIGKILL


class ServiceError(Exception):
    """A service does not start; the message holds the end of its log."""


def names(config: Config) -> list[str]:
    """The services this cloud consists of, in the order of their start."""
    return ["api"] if config.driver == "fake" else ["host", "api"]


def ensure(config: Config, wanted: Iterable[str] | None = None) -> list[str]:
    """Start the services that do not run (all, or those `wanted`) and wait until they answer; return those started."""
    started = []
    for name in wanted or names(config):
        if not _answers(config, name):
            _start(config, name)
            started.append(name)
            if not _answers(config, name):
                raise ServiceError(f"service {name} ended:\n{_log_tail(config, name)}")
    return started


def identity(state_dir: Path, name: str) -> dict | None:
    """Pid and start time of a service as it was last started, or None."""
    try:
        return json.loads(_pid_file(state_dir, name).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None


def stop_all(state_dir: Path) -> None:
    """End the services, by force if they do not listen. Services that are not there are fine."""
    running = [found for name in MODULES if process.alive(found := identity(state_dir, name))]
    for found in running:
        process.kill(found, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while any(process.alive(found) for found in running) and time.monotonic() < deadline:
        time.sleep(0.02)
    for found in running:
        process.kill(found, signal.SIGKILL)


@contextmanager
def exclusive(state_dir: Path):
    """Hold the cloud's lock: `up` and `down` of one state directory wait for each other."""
    # A directory is locked, not a file in it: so the file need not outlive, or be left by, `down`.
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _start(config: Config, name: str) -> None:
    config.log_dir.mkdir(exist_ok=True)

    def enter_group() -> None:
        if config.driver == "host":
            cgroup.join_services(config.prefix)

    package_root = str(Path(__file__).resolve().parent.parent)
    with (config.log_dir / f"{name}.log").open("ab") as log:
        started = subprocess.Popen(  # noqa: PLW1509 - this process has one thread
            [sys.executable, "-m", MODULES[name], "--state", str(config.state_dir)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            preexec_fn=enter_group,
            env=os.environ | {"PYTHONPATH": package_root, "PYTHONUNBUFFERED": "1"},
        )
    write_atomically(_pid_file(config.state_dir, name), json.dumps(process.identify(started.pid)))


def _answers(config: Config, name: str) -> bool:
    """Wait until the service answers; False when its process is not there, or ends meanwhile."""
    ready = _ready_host if name == "host" else _ready_api
    deadline = time.monotonic() + START_TIMEOUT
    while process.alive(identity(config.state_dir, name)):
        if ready(config):
            return True
        if time.monotonic() > deadline:
            raise ServiceError(f"service {name} does not answer after {START_TIMEOUT} s:\n{_log_tail(config, name)}")
        time.sleep(0.05)
    return False


def _ready_host(config: Config) -> bool:
    try:
        HostClient(config).facts()
    except HostError:
        return False
    return True


def _ready_api(config: Config) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the cloud is local, whatever proxy is set
    try:
        opener.open(config.base_url + "/", timeout=5).close()
    except urllib.error.HTTPError:
        return True  # any answer will do
    except OSError:
        return False
    return True


def _log_tail(config: Config, name: str) -> str:
    path = config.log_dir / f"{name}.log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:]) if path.exists() else "(no log)"


def _pid_file(state_dir: Path, name: str) -> Path:
    return state_dir / f"{name}.pid"
