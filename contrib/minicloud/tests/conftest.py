"""Shared fixtures: a real cloud for scenario tests, removed before and after, and an image to boot."""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import json
import os
import subprocess
from pathlib import Path

import pytest

from minicloud import image, janitor, services
from minicloud.config import Config
from minicloud.host.client import HostClient


def _place(number: int) -> tuple[str, str]:
    """Return (prefix, subnet) of a test's cloud: those of no other checkout, nor of a test process beside this one.

    number: of the cloud, 0-9.
    """
    place = f"{Path(__file__).resolve()} {os.environ.get('PYTEST_XDIST_WORKER', '')}"
    digest = hashlib.sha256(place.encode()).hexdigest()
    routes = json.loads(subprocess.run(["ip", "-json", "route"], capture_output=True, check=True, timeout=60).stdout)
    taken = [ipaddress.ip_network(route["dst"], strict=False) for route in routes if route["dst"][0].isdigit()]
    for step in range(120):
        subnet = ipaddress.ip_network(f"10.{130 + (int(digest, 16) + 10 * step + number) % 120}.0.0/16")
        if not any(subnet.overlaps(other) for other in taken):
            return f"m{digest[:4]}{number}", str(subnet)
    raise RuntimeError("no free subnet in 10.130.0.0-10.249.255.255")


@pytest.fixture(scope="session")
def guest_image() -> Path:
    """A bootable image: MINICLOUD_TEST_IMAGE, else a minimal one built once and kept in the user's cache."""
    given = os.environ.get("MINICLOUD_TEST_IMAGE")
    if given:
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minicloud"
    path = cache / "bookworm.squashfs"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".lock", "w") as lock:  # the cache is the user's, for all checkouts
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            image.build(image.Recipe("bookworm"), path)
    return path


@pytest.fixture(name="own_place", scope="session")
def _own_place():
    """A function of a number, 0-9: (prefix, subnet) of that cloud of this test process."""
    return _place


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, own_place):
    """Configuration of a cloud whose root helper runs; leftovers of a killed test run are removed first."""
    prefix, subnet = own_place(0)
    janitor.remove_kernel_objects(prefix)
    config = Config(tmp_path_factory.mktemp("cloud"), prefix=prefix, subnet=subnet, guest_ports=(5672,))
    config.save()
    services.ensure(config, ["host"])
    yield config
    janitor.remove_kernel_objects(prefix)
    janitor.remove_state(config.state_dir)


@pytest.fixture
def host(cloud: Config):
    """A client of the root helper; every guest and volume is removed after the test."""
    client = HostClient(cloud)
    yield client
    services.ensure(cloud, ["host"])  # a test may have killed it
    for guest in client.list_guests():
        client.delete_guest(guest["guest_id"])
    for volume in client.list_volumes():
        client.delete_volume(volume["volume_id"])
