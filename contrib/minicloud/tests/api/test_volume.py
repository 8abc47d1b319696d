"""Cinder as python-cinderclient sees it, and volumes attached to servers through Nova."""

import pytest
import requests
from cinderclient import client, exceptions
from novaclient import client as nova_client
from novaclient import exceptions as nova_exceptions

from minicloud.host.client import HostError


@pytest.fixture
def cinder(tenant):
    return client.Client("3", session=tenant)


@pytest.fixture
def cinder_admin(admin):
    return client.Client("3", session=admin)


@pytest.fixture
def nova(tenant):
    return nova_client.Client("2.12", session=tenant)


@pytest.fixture
def volume(fake, cinder):
    made = cinder.volumes.create(2, name="data", description="d", metadata={"a": "b"})
    fake.wait_idle()
    return cinder.volumes.get(made.id)


@pytest.fixture
def server(fake, nova, image):
    made = nova.servers.create("with-volume", image, "1")
    fake.wait_idle()
    return made


def on_host(fake, volume):
    return next((v for v in fake.host.list_volumes() if v["volume_id"] == volume.id), None)


def test_a_volume_is_made_grown_and_deleted(fake, cinder, volume):
    assert (volume.status, volume.size, volume.volume_type) == ("available", 2, "lvmdriver-1")
    assert volume.metadata == {"a": "b"} and volume.bootable == "false"
    volume.extend(volume, 3)
    fake.wait_idle()
    assert cinder.volumes.get(volume.id).size == on_host(fake, volume)["size_gb"] == 3
    volume.delete()
    fake.wait_idle()
    with pytest.raises(exceptions.NotFound):
        cinder.volumes.get(volume.id)
    assert on_host(fake, volume) is None


def test_attaching_and_detaching_through_nova(fake, cinder, nova, volume, server):
    attachment = nova.volumes.create_server_volume(server.id, volume.id, "/dev/vdc")
    assert (attachment.device, attachment.volumeId) == ("/dev/vdc", volume.id)
    fake.wait_idle()
    used = cinder.volumes.get(volume.id)
    assert (used.status, used.attachments[0]["server_id"]) == ("in-use", server.id)
    assert on_host(fake, volume)["device"] == "/dev/vdc"
    shown = getattr(nova.servers.get(server.id), "os-extended-volumes:volumes_attached")
    assert shown == [{"id": volume.id, "delete_on_termination": False}]
    for refused in (volume.delete, lambda: volume.extend(volume, 9)):
        with pytest.raises(exceptions.BadRequest):
            refused()
    with pytest.raises(nova_exceptions.BadRequest):
        nova.volumes.create_server_volume(server.id, volume.id)
    nova.volumes.delete_server_volume(server.id, volume.id)
    fake.wait_idle()
    assert (cinder.volumes.get(volume.id).status, on_host(fake, volume)["guest_id"]) == ("available", None)
    with pytest.raises(nova_exceptions.NotFound):
        nova.volumes.delete_server_volume(server.id, volume.id)


def test_since_3_42_a_volume_grows_while_attached(fake, tenant, nova, volume, server):
    nova.volumes.create_server_volume(server.id, volume.id)
    fake.wait_idle()
    client.Client("3.42", session=tenant).volumes.extend(volume.id, 5)
    fake.wait_idle()
    assert on_host(fake, volume)["size_gb"] == 5


def test_a_volume_that_is_mounted_stays_attached(fake, cinder, nova, volume, server):
    nova.volumes.create_server_volume(server.id, volume.id)
    fake.wait_idle()

    def refuse(verb, arguments):
        if verb == "detach_volume":
            raise HostError("conflict", "the volume is mounted")

    fake.host.on_call = refuse
    try:
        nova.volumes.delete_server_volume(server.id, volume.id)
        fake.wait_idle()
    finally:
        fake.host.on_call = None
    assert cinder.volumes.get(volume.id).status == "in-use"


@pytest.mark.parametrize("ends, left", [("0", ["available"]), ("1", [])])
def test_a_server_boots_with_a_volume_in_the_legacy_form(fake, cinder, nova, volume, image, ends, left):
    server = nova.servers.create("legacy", image, "1", block_device_mapping={"vdb": f"{volume.id}::2:{ends}"})
    fake.wait_idle()
    assert on_host(fake, volume) == {
        "volume_id": volume.id,
        "size_gb": 2,
        "guest_id": server.id,
        "device": "/dev/vdb",
    }
    server.delete()
    fake.wait_idle()
    assert [v.status for v in cinder.volumes.list()] == left


def test_a_server_boots_with_volumes_in_the_second_form(fake, cinder, nova, volume, image):
    mapping = [
        {"source_type": "volume", "destination_type": "volume", "uuid": volume.id, "boot_index": None},
        {
            "source_type": "blank",
            "destination_type": "volume",
            "volume_size": 1,
            "boot_index": -1,
            "delete_on_termination": True,
        },
    ]
    server = nova.servers.create("second", image, "1", block_device_mapping_v2=mapping)
    fake.wait_idle()
    assert nova.servers.get(server.id).status == "ACTIVE"
    attached = nova.volumes.get_server_volumes(server.id)
    assert [a.device for a in attached] == ["/dev/vdb", "/dev/vdc"]
    server.delete()
    fake.wait_idle()
    assert [v.id for v in cinder.volumes.list()] == [volume.id]


def test_a_failure_of_the_host_ends_in_error(fake, cinder):
    def refuse(verb, arguments):
        if verb == "create_volume":
            raise HostError("no_space", "the disk is full")

    fake.host.on_call = refuse
    try:
        made = cinder.volumes.create(1)
        fake.wait_idle()
    finally:
        fake.host.on_call = None
    assert cinder.volumes.get(made.id).status == "error"
    made.delete()
    fake.wait_idle()
    assert cinder.volumes.list() == []


def test_quotas_answer_413(fake, cinder, cinder_admin, tenant):
    cinder_admin.quotas.update(tenant.get_project_id(), volumes=1, gigabytes=3)
    cinder.volumes.create(2)
    for size, word in ((2, "gigabytes"), (1, "VolumeLimitExceeded")):
        with pytest.raises(exceptions.OverLimit, match=word):
            cinder.volumes.create(size)
    limits = {limit.name: limit.value for limit in cinder.limits.get().absolute}
    assert (limits["maxTotalVolumes"], limits["totalGigabytesUsed"]) == (1, 2)
    assert cinder.quotas.get(tenant.get_project_id(), usage=True).volumes["in_use"] == 1


@pytest.mark.parametrize(
    "body", [{"size": 0}, {"size": "x"}, {}, {"size": 1, "volume_type": 5}, {"size": 1, "more": 1}]
)
def test_wrong_requests_are_refused(fake, tenant, body):
    url = f"{fake.url('volume')}/v3/{tenant.get_project_id()}/volumes"
    answer = tenant.post(url, json={"volume": body}, raise_exc=False)
    assert answer.status_code == 400 and answer.json()["badRequest"]["code"] == 400


def test_what_there_is_none_of_is_listed(cinder):
    assert cinder.transfers.list() == []
    assert cinder.volume_snapshots.list() == cinder.backups.list() == []


def test_types_are_listed_and_made_by_administrators(cinder, cinder_admin):
    assert [t.name for t in cinder.volume_types.list(is_public=None)] == ["lvmdriver-1"]
    assert cinder.volume_types.default().name == "lvmdriver-1"
    made = cinder_admin.volume_types.create("fast", is_public=False)
    assert "fast" not in [t.name for t in cinder.volume_types.list(is_public=None)]
    assert "fast" in [t.name for t in cinder_admin.volume_types.list(is_public=None)]
    cinder_admin.volume_types.delete(made)
    with pytest.raises(exceptions.NotFound):
        cinder.volumes.create(1, volume_type="fast")


def test_tenants_do_not_see_each_other(volume, new_tenant, cinder_admin):
    other = client.Client("3", session=new_tenant())
    assert other.volumes.list() == []
    for refused in (other.volumes.get, other.volumes.delete):
        with pytest.raises(exceptions.NotFound):
            refused(volume.id)
    assert volume.id in [v.id for v in cinder_admin.volumes.list(search_opts={"all_tenants": 1})]


def test_version_2_and_discovery(fake, tenant, volume):
    old = tenant.get(f"{fake.url('volume')}/v2/{tenant.get_project_id()}/volumes/detail").json()["volumes"]
    assert [v["id"] for v in old] == [volume.id]
    versions = requests.get(f"{fake.url('volume')}/")
    assert versions.status_code == 300
    assert {v["id"]: v["version"] for v in versions.json()["versions"]} == {"v2.0": "", "v3.0": "3.42"}
    answer = tenant.get(
        f"{fake.url('volume')}/v3/{tenant.get_project_id()}/volumes",
        headers={"OpenStack-API-Version": "volume 3.10"},
    )
    assert answer.headers["OpenStack-API-Version"] == "volume 3.10"


def test_lists_are_paged(fake, cinder):
    for number in range(3):
        cinder.volumes.create(1, name=f"v{number}")
    assert [v.name for v in cinder.volumes.list(limit=2, sort="name:asc")] == ["v0", "v1"]
    assert [v.name for v in cinder.volumes.list(search_opts={"name": "v2"})] == ["v2"]
