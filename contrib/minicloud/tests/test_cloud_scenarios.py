"""The whole cloud, by command line and openstacksdk, with real guests: up, use, kill -9 both services, up, down."""

from __future__ import annotations

import base64
import os
import signal
import socket
import time

import openstack
import pytest

from minicloud import config as configuration
from minicloud import janitor, services
from minicloud.cli import main
from minicloud.host.client import HostClient

pytestmark = pytest.mark.scenario

DEADLINE = 600  # seconds; ends what hangs
USER_DATA = b"#!/bin/sh\nexec systemd-run --unit web python3 -m http.server 8080\n"


def until(condition, what: str):
    deadline = time.monotonic() + DEADLINE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {DEADLINE} s: {what}"
        time.sleep(0.02)
    return value


def answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def state(tmp_path, own_place):
    directory = tmp_path / "state"
    prefix, subnet = own_place(1)
    janitor.remove_kernel_objects(prefix)
    assert main(["up", "--state", str(directory), "--prefix", prefix, "--subnet", subnet]) == 0
    yield directory
    assert main(["down", "--state", str(directory)]) == 0
    assert not directory.exists()


def connect(state) -> openstack.connection.Connection:
    config = configuration.load(state)
    return openstack.connect(
        auth_url=f"{config.base_url}/identity/v3",
        username="admin",
        password=configuration.load_secrets(config)["admin_password"],
        project_name="admin",
        user_domain_name="Default",
        project_domain_name="Default",
        region_name="RegionOne",
    )


def test_servers_outlive_both_services(state, guest_image):
    cloud = connect(state)
    image = cloud.image.create_image(
        name="base", disk_format="raw", container_format="bare", minicloud_file=str(guest_image)
    )
    network = next(cloud.network.networks())
    group = cloud.network.create_security_group(name="web")
    cloud.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=8080, port_range_max=8080
    )
    server = cloud.compute.create_server(
        name="first",
        image_id=image.id,
        flavor_id="1",
        networks=[{"uuid": network.id}],
        security_groups=[{"name": "web"}],
        user_data=base64.b64encode(USER_DATA).decode(),
    )
    server = cloud.compute.wait_for_server(server, interval=0.1, wait=DEADLINE)
    address = server.addresses["private"][0]["addr"]
    until(lambda: answers(address, 8080), "the server's web service answers")
    assert not answers(address, 22), "the security group does not allow it"

    volume = cloud.block_storage.create_volume(size=1, name="data")
    cloud.block_storage.wait_for_status(volume, "available", interval=0.1, wait=DEADLINE)
    cloud.compute.create_volume_attachment(server, volume_id=volume.id, device="/dev/vdb")
    cloud.block_storage.wait_for_status(volume, "in-use", interval=0.1, wait=DEADLINE)
    host = HostClient(configuration.load(state))
    assert host.exec_guest(server.id, ["mkfs.ext4", "-q", "/dev/vdb"])["rc"] == 0

    for name in ("host", "api"):
        os.kill(services.identity(state, name)["pid"], signal.SIGKILL)
    assert answers(address, 8080)
    assert main(["up", "--state", str(state)]) == 0

    cloud = connect(state)
    assert cloud.compute.get_server(server.id).status == "ACTIVE"
    assert cloud.block_storage.get_volume(volume.id).status == "in-use"
    os.kill(next(g["pid"] for g in host.list_guests() if g["guest_id"] == server.id), signal.SIGKILL)
    until(lambda: cloud.compute.get_server(server.id).status in ("SHUTOFF", "ERROR"), "the API tells a dead guest")
    cloud.compute.delete_server(server.id)
    cloud.compute.wait_for_delete(server, interval=0.1, wait=DEADLINE)
    until(lambda: cloud.block_storage.get_volume(volume.id).status == "available", "the volume is free again")
    assert host.list_guests() == []
