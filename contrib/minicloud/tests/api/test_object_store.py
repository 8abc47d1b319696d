"""Swift as python-swiftclient sees it."""

import hashlib
import io
import json
import os
import socket
import time

import pytest
import requests
import swiftclient

from minicloud.api import swift_http
from minicloud.api.objects import Objects


@pytest.fixture
def swift(fake, tenant):
    url = tenant.get_endpoint(service_type="object-store")
    return swiftclient.Connection(preauthurl=url, preauthtoken=tenant.get_token(), retries=0)


@pytest.fixture
def container(swift):
    swift.put_container("backups")
    return "backups"


def md5(data):
    return hashlib.md5(data).hexdigest()


def put_segments(swift, container, prefix, parts):
    return [swift.put_object(container, f"{prefix}_{n:08}", part) for n, part in enumerate(parts)]


def test_an_object_is_stored_and_read_back(swift, container):
    data = os.urandom(3_000_000)
    assert swift.put_object(
        container, "a/b ü?#%2F", io.BytesIO(data), content_type="app/x", headers={"X-Object-Meta-Lsn": "5"}
    ) == md5(data)
    headers, body = swift.get_object(container, "a/b ü?#%2F")
    assert body == data and headers["etag"] == md5(data)
    assert (headers["content-type"], headers["x-object-meta-lsn"]) == ("app/x", "5")
    swift.delete_object(container, "a/b ü?#%2F")
    with pytest.raises(swiftclient.ClientException) as error:
        swift.head_object(container, "a/b ü?#%2F")
    assert error.value.http_status == 404


def test_a_dynamic_large_object_has_the_etag_of_its_segments(swift, container):
    parts = [os.urandom(1000), os.urandom(1000), os.urandom(10)]
    etags = put_segments(swift, container, "id", parts)
    assert etags == [md5(part) for part in parts]
    swift.put_object(container, "id.gz", contents="", headers={"X-Object-Manifest": f"{container}/id_"})
    expected = md5("".join(etags).encode())
    for headers in (swift.head_object(container, "id.gz"), swift.get_object(container, "id.gz")[0]):
        assert headers["etag"] == f'"{expected}"' and headers["content-length"] == "2010"
    assert swift.get_object(container, "id.gz")[1] == b"".join(parts)
    assert swift.get_object(container, "id.gz", headers={"Range": "bytes=995-2004"})[1] == b"".join(parts)[995:2005]


def test_a_post_replaces_the_metadata_and_repeats_the_manifest(swift, container):
    put_segments(swift, container, "m", [b"1", b"2"])
    manifest = {"X-Object-Manifest": f"{container}/m_"}
    swift.put_object(container, "m", contents="", headers=manifest)
    swift.post_object(
        container, "m", {**manifest, "X-Object-Meta-datastore-version": "10.11", "X-Object-Meta-lsn": "1"}
    )
    swift.post_object(container, "m", {**manifest, "X-Object-Meta-parent-checksum": "x"})
    headers = swift.head_object(container, "m")
    assert headers["x-object-meta-parent-checksum"] == "x" and "x-object-meta-lsn" not in headers
    assert swift.get_object(container, "m")[1] == b"12"


def test_a_static_large_object(swift, container):
    parts = [b"a" * 100, b"b" * 50]
    etags = put_segments(swift, container, "s", parts)
    entries = [{"path": f"/{container}/s_{n:08}", "etag": etags[n], "size_bytes": len(parts[n])} for n in (0, 1)]
    etag = swift.put_object(container, "slo", json.dumps(entries), query_string="multipart-manifest=put")
    assert etag == md5("".join(etags).encode())
    headers, body = swift.get_object(container, "slo")
    assert body == b"".join(parts) and headers["x-static-large-object"] == "True" and headers["etag"] == f'"{etag}"'
    stored = json.loads(swift.get_object(container, "slo", query_string="multipart-manifest=get")[1])
    assert [(e["name"], e["bytes"], e["hash"]) for e in stored] == [
        (f"/{container}/s_{n:08}", len(parts[n]), etags[n]) for n in (0, 1)
    ]
    swift.delete_object(container, "slo", query_string="multipart-manifest=delete")
    assert swift.get_container(container)[1] == []


@pytest.mark.parametrize("change", [{"etag": "0" * 32}, {"size_bytes": 5}, {"path": "/backups/none"}])
def test_a_wrong_manifest_is_refused(swift, container, change):
    swift.put_object(container, "seg", b"1")
    body = json.dumps([{"path": f"/{container}/seg", **change}])
    with pytest.raises(swiftclient.ClientException) as error:
        swift.put_object(container, "slo", body, query_string="multipart-manifest=put")
    assert error.value.http_status == 400


def test_bytes_that_do_not_fit_the_etag_are_refused(swift, container):
    with pytest.raises(swiftclient.ClientException) as error:
        swift.put_object(container, "x", b"data", etag="0" * 32)
    assert error.value.http_status == 422
    assert swift.get_container(container)[1] == []


def test_an_upload_that_is_cut_off_leaves_the_old_object(fake, swift, container, tenant):
    swift.put_object(container, "x", b"old")
    host, port = fake.url("object-store").removeprefix("http://").removesuffix("/object-store").split(":")
    path = f"/object-store/v1/AUTH_{tenant.get_project_id()}/{container}/x"
    with socket.create_connection((host, int(port))) as connection:
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {tenant.get_token()}\r\nContent-Length: 100\r\n\r\nnew"
        connection.sendall(head.encode())
    assert swift.get_object(container, "x")[1] == b"old"
    assert swift.get_container(container)[1][0]["bytes"] == 3


def test_listings(swift, container):
    for name in ("a", "b/1", "b/2", "b/c/1", "d"):
        swift.put_object(container, name, b"x")

    def names(**arguments):
        return [e.get("name", e.get("subdir")) for e in swift.get_container(container, **arguments)[1]]

    assert names() == ["a", "b/1", "b/2", "b/c/1", "d"]
    assert names(delimiter="/") == ["a", "b/", "d"]
    assert names(prefix="b/", delimiter="/") == ["b/1", "b/2", "b/c/"]
    assert names(marker="b/1", limit=2) == ["b/2", "b/c/1"]
    assert names(end_marker="b/2") == ["a", "b/1"]
    assert names(query_string="reverse=true") == ["d", "b/c/1", "b/2", "b/1", "a"]
    assert names(full_listing=True, limit=2) == names()


def test_plain_listings_and_counts(swift, container, tenant):
    swift.put_object(container, "a", b"xyz")
    url = tenant.get_endpoint(service_type="object-store")
    assert tenant.get(f"{url}/{container}").text == "a\n"
    headers = swift.head_container(container)
    assert (headers["x-container-object-count"], headers["x-container-bytes-used"]) == ("1", "3")
    account, containers = swift.get_account()
    assert (account["x-account-container-count"], account["x-account-bytes-used"]) == ("1", "3")
    assert [(c["name"], c["count"], c["bytes"]) for c in containers] == [(container, 1, 3)]


def test_containers_know_conflicts_and_metadata(swift, container):
    swift.put_object(container, "a", b"")
    with pytest.raises(swiftclient.ClientException) as error:
        swift.delete_container(container)
    assert error.value.http_status == 409
    swift.post_container(container, {"X-Container-Meta-Kind": "db", "X-Container-Read": ".r:*"})
    assert swift.head_container(container)["x-container-meta-kind"] == "db"
    url = f"{swift.url}/{container}/a"
    assert requests.get(url).status_code == 200, "whoever reads may read without a token"
    assert requests.delete(url).status_code == 401
    swift.post_container(container, {"X-Container-Read": ""})
    assert requests.get(url).status_code == 401
    swift.delete_object(container, "a")
    swift.delete_container(container)
    with pytest.raises(swiftclient.ClientException) as error:
        swift.put_object(container, "a", b"")
    assert error.value.http_status == 404


def test_objects_vanish_when_their_time_is_over(fake, swift, container, monkeypatch):
    swift.put_object(container, "x", b"1", headers={"X-Delete-After": "1000"})
    assert int(swift.head_object(container, "x")["x-delete-at"]) > time.time()
    later = time.time() + 2000
    monkeypatch.setattr("minicloud.api.objects.time.time", lambda: later)
    # the server's clock: tokens are over too, so the index is asked itself
    objects = Objects(fake.cloud.store, fake.cloud.config.state_dir / "objects")
    account = swift.url.rsplit("/", 1)[1]
    assert objects.find(account, container, "x") is None and list(objects.list(account, container)) == []
    objects.expire()
    monkeypatch.undo()
    assert objects.find(account, container, "x") is None


def test_copies(swift, container):
    swift.put_object(container, "a", b"data", headers={"X-Object-Meta-K": "v"})
    swift.copy_object(container, "a", f"/{container}/b")
    headers, body = swift.get_object(container, "b")
    assert (body, headers["x-object-meta-k"]) == (b"data", "v")


def test_many_are_deleted_at_once(swift, container):
    for name in ("a", "b"):
        swift.put_object(container, name, b"1")
    body = f"{container}/a\n{container}/b\n{container}/none\n{container}\n"
    headers = {"X-Auth-Token": swift.token, "Content-Type": "text/plain"}
    answer = requests.post(f"{swift.url}?bulk-delete", data=body, headers=headers).json()
    assert (answer["Number Deleted"], answer["Number Not Found"], answer["Errors"]) == (3, 1, [])
    assert swift.get_account()[1] == []


def test_tenants_do_not_see_each_other(swift, container, new_tenant):
    other = new_tenant()
    answer = other.get(f"{swift.url}/{container}", raise_exc=False)
    assert answer.status_code == 403
    swift.post_container(container, {"X-Container-Read": f"{other.get_project_id()}:*"})
    assert other.get(f"{swift.url}/{container}", raise_exc=False).status_code == 204


@pytest.mark.parametrize(
    "header, size, expected",
    [
        (None, 10, []),
        ("bytes=0-3", 10, [(0, 3)]),
        ("bytes=4-", 10, [(4, 9)]),
        ("bytes=-3", 10, [(7, 9)]),
        ("bytes=2-99", 10, [(2, 9)]),
        ("nonsense", 10, []),
        ("bytes=-", 10, []),
        ("bytes=0-0,2-3, 20-", 10, [(0, 0), (2, 3)]),
        ("bytes=-99", 10, [(0, 9)]),
    ],
)
def test_ranges(header, size, expected):
    assert swift_http.parse_ranges(header, size) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=-0", "bytes=5-4"])
def test_ranges_outside_are_refused(header):
    with pytest.raises(swift_http.Fault) as error:
        swift_http.parse_ranges(header, 10)
    assert error.value.code == 416


def test_what_it_can_do_is_told(fake):
    root = fake.url("object-store").removesuffix("/object-store")
    for path in ("/info", "/object-store/info"):
        assert requests.get(root + path).json()["slo"]["max_manifest_segments"] == 1000


def test_several_ranges_come_in_parts(swift, container):
    swift.put_object(container, "x", b"0123456789")
    answer = requests.get(
        f"{swift.url}/{container}/x", headers={"X-Auth-Token": swift.token, "Range": "bytes=0-0,2-3"}
    )
    assert answer.status_code == 206
    assert answer.headers["Content-Type"].startswith("multipart/byteranges;boundary=")
    assert b"bytes 0-0/10\r\n\r\n0\r\n" in answer.content
    assert b"bytes 2-3/10\r\n\r\n23\r\n" in answer.content


def test_metadata_have_a_size_altogether(swift, container):
    swift.put_object(container, "x", b"", headers={f"X-Object-Meta-A{n:02}": "x" * 252 for n in range(16)})
    with pytest.raises(swiftclient.ClientException) as error:
        swift.post_object(container, "x", {f"X-Object-Meta-A{n:02}": "x" * 254 for n in range(16)})
    assert error.value.http_status == 400


def test_an_announced_checksum_is_in_small_letters(swift, container):
    with pytest.raises(swiftclient.ClientException) as error:
        swift.put_object(container, "x", b"x", headers={"ETag": md5(b"x").upper()})
    assert error.value.http_status == 422
