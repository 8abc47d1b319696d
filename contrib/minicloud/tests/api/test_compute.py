"""Nova as python-novaclient sees it; what the schema of strict clients would refuse is compared member by member."""

import base64
import threading

import pytest
import requests
from novaclient import client, exceptions

from minicloud.host.client import HostError


@pytest.fixture
def nova(tenant):
    return client.Client("2.12", session=tenant)


@pytest.fixture
def nova_admin(admin):
    return client.Client("2.12", session=admin)


@pytest.fixture
def boot(fake, nova, image):
    """Create a server and wait for what becomes of it."""

    def make(name="one", flavor="1", **arguments):
        server = nova.servers.create(name, image, flavor, **arguments)
        fake.wait_idle()
        return nova.servers.get(server.id)

    return make


def test_a_server_becomes_active_with_what_was_asked_for(fake, boot):
    server = boot(
        "My Server_1",
        flavor="2",
        files={"/etc/app.conf": b"[DEFAULT]\n"},
        userdata="#!/bin/sh\ntrue\n",
        config_drive=True,
        meta={"role": "db"},
        availability_zone="nova",
    )
    assert (server.status, server.metadata, server.config_drive) == ("ACTIVE", {"role": "db"}, "True")
    assert server.flavor["id"] == "2"
    address = server.addresses["private"][0]
    assert address["OS-EXT-IPS:type"] == "fixed" and address["addr"].startswith("10.77.")
    guest = fake.host.guest(server.id)
    assert (guest["hostname"], guest["memory_mb"], guest["vcpus"], guest["address"]) == (
        "my-server-1",
        1024,
        1,
        address["addr"],
    )
    assert guest["files"] == [
        {"path": "/etc/app.conf", "content": base64.b64encode(b"[DEFAULT]\n").decode(), "mode": 0o600}
    ]
    assert base64.b64decode(guest["user_data"]) == b"#!/bin/sh\ntrue\n"
    assert base64.b64decode(guest["config_drive"]["openstack/latest/user_data"]) == b"#!/bin/sh\ntrue\n"
    assert base64.b64decode(guest["config_drive"]["openstack/content/0000"]) == b"[DEFAULT]\n"


def test_the_members_of_a_server_are_those_of_2_1(fake, boot, tenant):
    server = boot()
    shown = tenant.get(f"{fake.url('compute')}/v2.1/servers/{server.id}").json()["server"]
    assert set(shown) == {
        "id",
        "name",
        "status",
        "tenant_id",
        "user_id",
        "metadata",
        "hostId",
        "image",
        "flavor",
        "created",
        "updated",
        "addresses",
        "accessIPv4",
        "accessIPv6",
        "links",
        "OS-DCF:diskConfig",
        "progress",
        "OS-EXT-AZ:availability_zone",
        "config_drive",
        "key_name",
        "OS-SRV-USG:launched_at",
        "OS-SRV-USG:terminated_at",
        "security_groups",
        "OS-EXT-STS:task_state",
        "OS-EXT-STS:vm_state",
        "OS-EXT-STS:power_state",
        "os-extended-volumes:volumes_attached",
    }
    assert set(shown["flavor"]) == {"id", "links"}


@pytest.mark.parametrize(
    "version, there, absent",
    [
        ("2.9", ["locked"], ["description", "tags"]),
        ("2.19", ["description"], ["tags"]),
        ("2.26", ["tags"], []),
        ("2.63", ["trusted_image_certificates"], []),
    ],
)
def test_newer_microversions_add_members(fake, boot, tenant, version, there, absent):
    server = boot()
    answer = tenant.get(
        f"{fake.url('compute')}/v2.1/servers/{server.id}",
        headers={"OpenStack-API-Version": f"compute {version}"},
    )
    assert answer.headers["OpenStack-API-Version"] == f"compute {version}"
    assert answer.headers["X-OpenStack-Nova-API-Version"] == version
    assert set(there) <= set(answer.json()["server"]) and not set(absent) & set(answer.json()["server"])


def test_since_2_47_a_server_shows_what_its_flavor_was(fake, boot, tenant):
    server = client.Client("2.47", session=tenant).servers.get(boot(flavor="3").id)
    assert server.flavor == {
        "original_name": "m1.medium",
        "ram": 2048,
        "vcpus": 2,
        "disk": 10,
        "ephemeral": 0,
        "swap": 0,
        "extra_specs": {},
    }


@pytest.mark.parametrize("version, code", [("2.999", 406), ("1.9", 406), ("two", 400)])
def test_microversions_that_are_not_offered_are_refused(fake, tenant, version, code):
    answer = tenant.get(
        f"{fake.url('compute')}/v2.1/servers",
        raise_exc=False,
        headers={"X-OpenStack-Nova-API-Version": version},
    )
    assert answer.status_code == code


def test_since_2_37_a_network_must_be_named_and_personality_ends_with_2_57(fake, tenant, image):
    url, body = f"{fake.url('compute')}/v2.1/servers", {"name": "x", "imageRef": image, "flavorRef": "1"}

    def post(version, **more):
        return tenant.post(
            url,
            json={"server": {**body, **more}},
            raise_exc=False,
            headers={"OpenStack-API-Version": f"compute {version}"},
        )

    assert post("2.37").status_code == 400
    assert post("2.37", networks="auto").status_code == 202
    files = [{"path": "/a", "contents": ""}]
    assert post("2.56", networks="auto", personality=files).status_code == 202
    refused = post("2.57", networks="auto", personality=files)
    assert refused.status_code == 400 and "personality" in refused.json()["badRequest"]["message"]


@pytest.mark.parametrize(
    "change, word",
    [
        ({"flavorRef": "99"}, "Flavor"),
        ({"imageRef": "nothing"}, "image"),
        ({"name": ""}, "name"),
        ({"unknown": 1}, "unknown"),
        ({"networks": [{"uuid": "nothing"}]}, "Network"),
        ({"security_groups": [{"name": "nothing"}]}, "security_group"),
        ({"user_data": "not base64!"}, "user_data"),
        ({"availability_zone": "mars"}, "zone"),
        (
            {"block_device_mapping_v2": [{"boot_index": 0, "source_type": "volume", "uuid": "x"}]},
            "Block Device",
        ),
    ],
)
def test_a_wrong_request_is_refused_and_leaves_nothing(fake, tenant, image, change, word):
    body = {"server": {"name": "x", "imageRef": image, "flavorRef": "1", **change}}
    answer = tenant.post(f"{fake.url('compute')}/v2.1/servers", json=body, raise_exc=False)
    assert answer.status_code == 400 and word in answer.json()["badRequest"]["message"]
    assert answer.headers["x-compute-request-id"] == answer.headers["x-openstack-request-id"]
    assert not tenant.get(f"{fake.url('compute')}/v2.1/servers").json()["servers"]
    assert not tenant.get(f"{fake.url('network')}/v2.0/ports").json()["ports"]


def test_a_host_that_fails_leaves_an_error_with_its_reason(fake, nova, image):
    def refuse(verb, arguments):
        if verb == "create_guest":
            raise HostError("no_space", "the disk is full")

    fake.host.on_call = refuse
    try:
        server = nova.servers.create("doomed", image, "1")
        fake.wait_idle()
    finally:
        fake.host.on_call = None
    server = nova.servers.get(server.id)
    assert (server.status, server.fault["message"]) == ("ERROR", "the disk is full")
    server.delete()
    fake.wait_idle()
    assert not nova.servers.list()


def test_the_status_is_what_the_host_says(fake, boot, nova):
    server = boot()
    fake.host.crash(server.id)
    fake.cloud.guests.changed()
    assert nova.servers.get(server.id).status == "SHUTOFF"
    server.start()
    fake.wait_idle()
    assert nova.servers.get(server.id).status == "ACTIVE"
    fake.host.delete_guest(server.id)
    fake.cloud.guests.changed()
    lost = nova.servers.get(server.id)
    assert (lost.status, lost.fault["code"]) == ("ERROR", 500)


def test_start_stop_and_reboot(fake, boot, nova):
    server = boot()
    for action, status in ((server.stop, "SHUTOFF"), (server.start, "ACTIVE"), (server.reboot, "ACTIVE")):
        action()
        fake.wait_idle()
        assert nova.servers.get(server.id).status == status
    with pytest.raises(exceptions.Conflict):
        server.start()
    server.reboot("HARD")
    fake.wait_idle()
    assert server.get_console_output(length=1) == f"guest {server.id} started\n"


def test_resize_is_verified_then_confirmed_or_reverted(fake, boot, nova):
    server = boot(flavor="1")
    for finish, flavor in (("confirm_resize", "2"), ("revert_resize", "2")):
        server.resize("3" if finish == "revert_resize" else "2")
        fake.wait_idle()
        assert nova.servers.get(server.id).status == "VERIFY_RESIZE"
        getattr(server, finish)()
        fake.wait_idle()
        found = nova.servers.get(server.id)
        assert (found.status, found.flavor["id"]) == ("ACTIVE", flavor)
        assert fake.host.guest(server.id)["memory_mb"] == 1024
    with pytest.raises(exceptions.BadRequest):
        server.resize("2")
    with pytest.raises(exceptions.Conflict):
        server.confirm_resize()


def test_an_administrator_migrates_and_resets(fake, boot, nova_admin):
    server = nova_admin.servers.get(boot().id)
    server.migrate()
    fake.wait_idle()
    assert nova_admin.servers.get(server.id).status == "VERIFY_RESIZE"
    server.confirm_resize()
    fake.wait_idle()
    server.reset_state("error")
    assert nova_admin.servers.get(server.id).status == "ERROR"


def test_tenants_do_not_see_each_other(fake, boot, new_tenant, nova_admin):
    server = boot("mine-only")
    other = client.Client("2.12", session=new_tenant())
    assert other.servers.list() == []
    with pytest.raises(exceptions.NotFound):
        other.servers.get(server.id)
    with pytest.raises(exceptions.NotFound):
        other.servers.delete(server.id)
    with pytest.raises(exceptions.Forbidden):
        other.servers.list(search_opts={"all_tenants": 1})
    found = nova_admin.servers.list(search_opts={"all_tenants": True, "name": "^mine-only$"})
    assert [s.id for s in found] == [server.id]


def test_a_reader_reads_only(new_tenant, image):
    reader = client.Client("2.12", session=new_tenant("reader"))
    assert reader.servers.list() == []
    with pytest.raises(exceptions.Forbidden):
        reader.servers.create("x", image, "1")


def test_lists_are_filtered_sorted_and_paged(fake, boot, nova):
    for name in ("a1", "a2", "b1"):
        boot(name)
    assert [
        s.name for s in nova.servers.list(search_opts={"name": "a"}, sort_keys=["display_name"], sort_dirs=["asc"])
    ] == ["a1", "a2"]
    assert [s.name for s in nova.servers.list()] == ["b1", "a2", "a1"], "the newest first"
    first = nova.servers.list(limit=2)
    rest = nova.servers.list(marker=first[-1].id)
    assert [s.name for s in [*first, *rest]] == ["b1", "a2", "a1"]
    assert nova.servers.list(search_opts={"status": "SHUTOFF"}) == []
    assert len(nova.servers.list(search_opts={"status": "active"})) == 3
    with pytest.raises(exceptions.BadRequest):
        nova.servers.list(marker="nothing")
    with pytest.raises(exceptions.BadRequest):
        nova.servers.list(search_opts={"name": "("})


def test_twenty_at_once_get_addresses_of_their_own(fake, nova, image):
    failures = []

    def create(number):
        try:
            nova.servers.create(f"many-{number}", image, "1")
        except exceptions.ClientException as error:
            failures.append(error)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fake.wait_idle(30)
    servers = nova.servers.list()
    assert not failures and {s.status for s in servers} == {"ACTIVE"}
    assert len({s.addresses["private"][0]["addr"] for s in servers}) == 20


def test_quotas_are_enforced(fake, nova, nova_admin, tenant, image):
    nova_admin.quotas.update(tenant.get_project_id(), instances=1)
    nova.servers.create("first", image, "1")
    with pytest.raises(exceptions.Forbidden, match="Quota exceeded for instances"):
        nova.servers.create("second", image, "1")
    absolute = {limit.name: limit.value for limit in nova.limits.get().absolute}
    assert (absolute["maxTotalInstances"], absolute["totalInstancesUsed"], absolute["totalRAMUsed"]) == (
        1,
        1,
        512,
    )


def test_deletion_is_legal_at_any_time_and_removes_the_port(fake, nova, tenant, image):
    release = threading.Event()
    fake.host.on_call = lambda verb, arguments: verb == "create_guest" and release.wait(5)
    try:
        server = nova.servers.create("short", image, "1")
        assert nova.servers.get(server.id).status == "BUILD"
        server.delete()
        assert getattr(nova.servers.get(server.id), "OS-EXT-STS:task_state") == "deleting"
    finally:
        fake.host.on_call = None
        release.set()
    fake.wait_idle()
    with pytest.raises(exceptions.NotFound):
        nova.servers.get(server.id)
    assert server.id not in [guest["guest_id"] for guest in fake.host.list_guests()]
    assert not tenant.get(f"{fake.url('network')}/v2.0/ports").json()["ports"]


def test_metadata_and_tags(fake, boot, tenant):
    nova = client.Client("2.26", session=tenant)
    server = nova.servers.get(boot(meta={"a": "1"}).id)
    nova.servers.set_meta(server, {"b": "2"})
    nova.servers.delete_meta(server, ["a"])
    assert nova.servers.get(server.id).metadata == {"b": "2"}
    server.add_tag("x")
    server.set_tags(["y", "z"])
    server.delete_tag("z")
    assert server.tag_list() == ["y"]
    assert [s.id for s in nova.servers.list(search_opts={"tags": "y"})] == [server.id]


def test_flavors_are_public_and_made_by_administrators(nova, nova_admin):
    assert [(f.id, f.name, f.ram, f.vcpus) for f in nova.flavors.list()][:4] == [
        ("1", "m1.tiny", 512, 1),
        ("2", "m1.small", 1024, 1),
        ("3", "m1.medium", 2048, 2),
        ("4", "m1.large", 4096, 2),
    ]
    with pytest.raises(exceptions.Forbidden):
        nova.flavors.create("mine", 1, 1, 1)
    private = nova_admin.flavors.create("private", 128, 1, 1, flavorid="private", is_public=False)
    assert "private" not in [f.id for f in nova.flavors.list(is_public=None)]
    assert "private" in [f.id for f in nova_admin.flavors.list(is_public=None)]
    with pytest.raises(exceptions.Conflict):
        nova_admin.flavors.create("private", 128, 1, 1)
    nova_admin.flavors.delete(private)


def test_what_dashboards_ask_for(fake, boot, nova, nova_admin, tenant):
    boot()
    assert [zone.zoneName for zone in nova.availability_zones.list(detailed=False)] == ["nova"]
    usage = tenant.get(f"{fake.url('compute')}/v2.1/os-simple-tenant-usage/{tenant.get_project_id()}").json()
    assert len(usage["tenant_usage"]["server_usages"]) == 1
    assert {service.binary for service in nova_admin.services.list()} >= {"nova-compute"}
    assert requests.get(f"{fake.url('compute')}/v2.1").json()["version"]["min_version"] == "2.1"


def test_urls_may_carry_the_project(fake, tenant, new_tenant):
    url = f"{fake.url('compute')}/v2.1/{{}}/servers"
    assert tenant.get(url.format(tenant.get_project_id())).json() == {"servers": []}
    assert tenant.get(url.format(new_tenant().get_project_id()), raise_exc=False).status_code == 400


@pytest.mark.parametrize(
    "method, path, code, name",
    [
        ("GET", "/servers/nothing", 404, "itemNotFound"),
        ("GET", "/nothing", 404, "itemNotFound"),
        ("PATCH", "/servers", 405, "badMethod"),
        ("POST", "/servers", 400, "badRequest"),
    ],
)
def test_errors_have_novas_shape(fake, tenant, method, path, code, name):
    answer = tenant.request(f"{fake.url('compute')}/v2.1{path}", method, raise_exc=False)
    assert (answer.status_code, answer.json()[name]["code"]) == (code, code)


def test_without_a_token_nothing_is_shown(fake):
    answer = requests.get(f"{fake.url('compute')}/v2.1/servers")
    assert answer.status_code == 401 and "Keystone uri=" in answer.headers["WWW-Authenticate"]


def test_a_host_that_is_away_does_not_hide_the_servers(fake, boot, nova):
    server = boot()

    def gone(verb, arguments):
        raise HostError("failed", "no answer from the host daemon")

    fake.host.on_call = gone
    try:
        fake.cloud.guests.changed()
        assert [s.status for s in nova.servers.list()] == ["ACTIVE"], "as it was last known"
        with pytest.raises(exceptions.ClientException) as error:
            server.get_console_output()
        assert error.value.code == 503
    finally:
        fake.host.on_call = None


def test_what_was_injected_is_not_kept(fake, boot):
    server = boot(files={"/etc/secret": b"secret"})
    assert fake.host.guest(server.id)["files"] and fake.cloud.store.get("server", server.id)["personality"] == []
