"""The whole cloud through openstacksdk, which negotiates the newest microversions that both sides know."""

import os

import openstack
import pytest

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # the SDK announces its own next releases


@pytest.fixture
def cloud(tenant):
    connection = openstack.connection.Connection(session=tenant, region_name="RegionOne")
    yield connection
    connection.close()


def test_every_service_is_discovered(cloud, fake):
    assert cloud.compute.get_endpoint_data().max_microversion == (2, 72)
    assert cloud.block_storage.get_endpoint_data().max_microversion == (3, 42)
    for service in ("identity", "image", "network"):
        assert getattr(cloud, service).get_endpoint_data().url.startswith(fake.url(service))


def test_a_server_with_a_volume_from_first_to_last(cloud, fake, image, tmp_path):
    group = cloud.network.create_security_group(name="sdk")
    cloud.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=22, port_range_max=22
    )
    network = cloud.network.find_network("private")
    flavor = cloud.compute.find_flavor("m1.small")
    server = cloud.compute.create_server(
        name="sdk",
        image_id=image,
        flavor_id=flavor.id,
        networks=[{"uuid": network.id}],
        security_groups=[{"name": group.id}],
        user_data="IyEvYmluL3NoCg==",
        tags=["a"],
    )
    server = cloud.compute.wait_for_server(server, interval=0.05, wait=10)
    assert (server.status, server.flavor.original_name, server.tags) == ("ACTIVE", "m1.small", ["a"])
    volume = cloud.block_storage.create_volume(size=1, name="sdk")
    cloud.block_storage.wait_for_status(volume, "available", interval=0.05, wait=10)
    cloud.compute.create_volume_attachment(server, volume_id=volume.id)
    cloud.block_storage.wait_for_status(volume, "in-use", interval=0.05, wait=10)
    assert [a.volume_id for a in cloud.compute.volume_attachments(server)] == [volume.id]
    cloud.compute.resize_server(server, "3")
    cloud.compute.wait_for_server(server, status="VERIFY_RESIZE", interval=0.05, wait=10)
    cloud.compute.confirm_server_resize(server)
    cloud.compute.wait_for_server(server, interval=0.05, wait=10)
    cloud.compute.delete_server(server)
    cloud.compute.wait_for_delete(server, interval=0.05, wait=10)
    cloud.block_storage.wait_for_status(volume, "available", interval=0.05, wait=10)
    cloud.block_storage.delete_volume(volume)
    cloud.block_storage.wait_for_delete(volume, interval=0.05, wait=10)
    cloud.network.delete_security_group(group)
    assert list(cloud.network.ports()) == []


def test_images_and_objects(cloud, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(os.urandom(100_000))
    image = cloud.create_image("sdk", filename=str(path), disk_format="raw", container_format="bare", wait=True)
    assert image.size == 100_000
    assert cloud.image.download_image(image).content == path.read_bytes()
    cloud.image.delete_image(image)
    cloud.object_store.create_container("c")
    cloud.create_object("c", "o", filename=str(path), segment_size=40_000)
    assert cloud.object_store.download_object("o", container="c") == path.read_bytes()
    cloud.delete_object("c", "o")


def test_limits_quotas_and_zones(cloud, tenant):
    assert cloud.compute.get_limits().absolute.instances == 100
    assert cloud.block_storage.get_limits().absolute.max_total_volumes == 200
    assert cloud.get_network_quotas(tenant.get_project_id()).ports == 1000
    assert [zone.name for zone in cloud.compute.availability_zones()] == ["nova"]
    assert [t.name for t in cloud.block_storage.types()] == ["lvmdriver-1"]


def test_the_administrator_makes_a_project(admin, fake):
    connection = openstack.connection.Connection(session=admin, region_name="RegionOne")
    project = connection.identity.create_project(name="sdk-made")
    user = connection.identity.create_user(name="sdk-made", password="x", default_project_id=project.id)
    role = connection.identity.find_role("member")
    connection.identity.assign_project_role_to_user(project, user, role)
    assert connection.identity.validate_user_has_project_role(project, user, role)
    connection.identity.delete_user(user)
    connection.identity.delete_project(project)
    assert connection.identity.find_project("sdk-made") is None
    connection.close()
