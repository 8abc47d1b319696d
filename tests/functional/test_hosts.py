"""Hosts (rest-api 4, GET /hosts, GET /hosts/{name}, POST /hosts/{name}/instances/action)."""

import pytest

from tests.functional.world import create_active
from tests.waiting import wait_until
from trove.common import remote


@pytest.fixture
def servers(cloud, world, alice):
    """A server that is the database instance m1, and one that is nobody's: (instance id, server, other server)."""
    nova = remote.nova_client()
    made = [nova.servers.create(name, cloud.image_id, "1", nics=None) for name in ("m1", "other")]
    wait_until(lambda: all(nova.servers.get(server.id).status == "ACTIVE" for server in made))
    instance_id = create_active(world, alice)
    world.set(instance_id, compute_instance_id=made[0].id)
    return instance_id, *made


def test_index(servers, admin):
    assert admin.get("/mgmt/hosts").json == {"hosts": [{"name": "minicloud", "instanceCount": 1}]}


def test_show(servers, admin):
    instance_id, ours, other = servers
    host = admin.get("/mgmt/hosts/minicloud").json["host"]
    assert host["name"] == "minicloud"
    assert host["usedRAM"] == 1024
    assert host["totalRAM"] > 1024
    assert host["percentUsed"] == round(100 * 1024 / host["totalRAM"])
    found = {entry["server_id"]: entry for entry in host["instances"]}
    assert found[ours.id].items() >= {
        "id": instance_id, "name": "m1", "tenant_id": "tenant-a", "status": "ACTIVE"}.items()
    assert (found[other.id]["id"], found[other.id]["name"]) == (None, "other")
    admin.get("/mgmt/hosts/nowhere", status=404)


def test_update_of_all_agents_is_refused(cloud, admin):
    admin.post("/mgmt/hosts/minicloud/instances/action", {"update": ""}, status=501)
    admin.post("/mgmt/hosts/minicloud/instances/action", {"upgrade": ""}, status=400)
    admin.post("/mgmt/hosts/nowhere/instances/action", {"update": ""}, status=404)


def test_a_silent_nova_is_no_fault_of_ours(cloud, options, admin):
    options.set_override("nova_compute_url", "http://127.0.0.1:1/v2.1/")
    options.set_override("cloud_request_retries", 0)
    remote.reset()
    admin.get("/mgmt/hosts", status=503)
    options.clear_override("nova_compute_url")
    remote.reset()
