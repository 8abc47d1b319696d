"""Glance as python-glanceclient sees it, and the layers that a server is made of."""

import io
import json
import os

import pytest
from glanceclient import client, exc
from novaclient import client as nova_client


@pytest.fixture
def glance(tenant):
    return client.Client("2", session=tenant)


@pytest.fixture
def glance_admin(admin):
    return client.Client("2", session=admin)


def upload(glance, data=b"bytes", **fields):
    image = glance.images.create(name="img", container_format="bare", disk_format="raw", **fields)
    glance.images.upload(image.id, io.BytesIO(data))
    return glance.images.get(image.id)


def test_an_image_is_uploaded_and_downloaded_whole(glance):
    data = os.urandom(3_000_000)
    image = upload(glance, data, os_distro="debian")
    assert (image.status, image.size, image.os_distro, image.os_hash_algo) == (
        "active",
        len(data),
        "debian",
        "sha512",
    )
    assert b"".join(glance.images.data(image.id)) == data, "the client compares the checksum too"
    with pytest.raises(exc.HTTPConflict):
        glance.images.upload(image.id, io.BytesIO(b"again"))


def test_properties_are_changed_by_json_patch(glance):
    image = glance.images.create(name="a", mine="1", other="2")
    glance.images.update(image.id, remove_props=["other"], name="b", mine="3", new="4")
    changed = glance.images.get(image.id)
    assert (changed.name, changed.mine, changed.new) == ("b", "3", "4") and "other" not in changed
    glance.image_tags.update(image.id, "t")
    assert glance.images.get(image.id).tags == ["t"]
    assert [i.id for i in glance.images.list(filters={"tag": ["t"]})] == [image.id]


def test_visibility(glance, glance_admin, new_tenant, admin):
    image = upload(glance)
    other_session = new_tenant()
    other = client.Client("2", session=other_session)
    with pytest.raises(exc.HTTPNotFound):
        other.images.get(image.id)
    glance.image_members.create(image.id, other_session.get_project_id())
    assert other.images.get(image.id).id == image.id
    with pytest.raises(exc.HTTPForbidden):
        other.images.delete(image.id)
    with pytest.raises(exc.HTTPForbidden):
        glance.images.update(image.id, visibility="public")
    glance_admin.images.update(image.id, visibility="public")
    assert image.id in [i.id for i in client.Client("2", session=new_tenant()).images.list()]


def test_a_protected_image_is_not_deleted(glance):
    image = glance.images.create(name="keep", protected=True)
    with pytest.raises(exc.HTTPForbidden):
        glance.images.delete(image.id)
    glance.images.update(image.id, protected=False)
    glance.images.delete(image.id)
    with pytest.raises(exc.HTTPNotFound):
        glance.images.get(image.id)


def test_layers_lie_in_order_and_binds_are_for_administrators(fake, glance, glance_admin, admin, tmp_path):
    layer = tmp_path / "top.squashfs"
    layer.write_bytes(b"top")
    base = upload(glance_admin)
    binds = [{"source": str(tmp_path), "target": "/opt/code"}]
    with pytest.raises(exc.HTTPForbidden):
        glance.images.create(name="x", minicloud_file=str(layer))
    top = glance_admin.images.create(
        name="top", minicloud_base=base.id, minicloud_file=str(layer), minicloud_binds=json.dumps(binds)
    )
    assert (top.status, top.size) == ("active", 3)
    with pytest.raises(exc.HTTPConflict):
        glance_admin.images.delete(base.id)
    server = nova_client.Client("2.12", session=admin).servers.create("layered", top.id, "1")
    fake.wait_idle()
    guest = fake.host.guest(server.id)
    assert guest["layers"][1] == str(layer) and guest["layers"][0].endswith(base.id)
    assert guest["binds"] == binds
    server.delete()


@pytest.mark.parametrize(
    "name, value",
    [
        ("minicloud_file", "relative"),
        ("minicloud_binds", "no json"),
        ("minicloud_binds", '[{"source": 1, "target": "/a"}]'),
    ],
)
def test_wrong_properties_are_refused(glance_admin, name, value):
    with pytest.raises(exc.HTTPBadRequest, match=name):
        glance_admin.images.create(name="x", **{name: value})


def test_lists_are_sorted_and_paged(glance):
    for name in ("c", "a", "b"):
        glance.images.create(name=name)
    listed = glance.images.list(sort_key="name", sort_dir="asc", page_size=2, filters={"visibility": "shared"})
    assert [i.name for i in listed] == ["a", "b", "c"]


def test_an_image_without_data_cannot_boot(glance, tenant):
    image = glance.images.create(name="empty", container_format="bare", disk_format="raw")
    from novaclient.exceptions import BadRequest

    with pytest.raises(BadRequest, match="not active"):
        nova_client.Client("2.12", session=tenant).servers.create("x", image.id, "1")


def test_nobody_builds_on_an_image_that_is_not_shown_to_them(glance, new_tenant):
    hidden = upload(glance)
    other = client.Client("2", session=new_tenant())
    with pytest.raises(exc.HTTPBadRequest, match="minicloud_base"):
        other.images.create(name="x", minicloud_base=hidden.id)
