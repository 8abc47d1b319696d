"""Shared fixtures: a real cloud for scenario tests, removed before and after, and an image to boot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minicloud import image, janitor, services
from minicloud.config import Config
from minicloud.host.client import HostClient

PREFIX = "mctest"
SUBNET = "10.213.0.0/16"


@pytest.fixture(scope="session")
def guest_image() -> Path:
    """A bootable image: MINICLOUD_TEST_IMAGE, else a minimal one built once and kept in the user's cache."""
    given = os.environ.get("MINICLOUD_TEST_IMAGE")
    if given:
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minicloud"
    path = cache / "bookworm.squashfs"
    if not path.exists():
        image.build(image.Recipe("bookworm"), path)
    return path


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory):
    """Configuration of a cloud whose root helper runs; leftovers of a killed test run are removed first."""
    janitor.remove_kernel_objects(PREFIX)
    config = Config(tmp_path_factory.mktemp("cloud"), prefix=PREFIX, subnet=SUBNET, guest_ports=(5672,))
    config.save()
    services.ensure(config, ["host"])
    yield config
    janitor.remove_kernel_objects(PREFIX)
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
