"""Swift's TempURL, with signatures that python-swiftclient makes: what a guest without a token may do, and no more."""

import time
from urllib import parse

import pytest
import requests
import swiftclient
from swiftclient import utils

KEY = "a key for tests"


@pytest.fixture
def swift(tenant):
    url = tenant.get_endpoint(service_type="object-store")
    connection = swiftclient.Connection(preauthurl=url, preauthtoken=tenant.get_token(), retries=0)
    connection.put_container("backups", {"X-Container-Meta-Temp-URL-Key": KEY})
    connection.put_container("others")
    connection.put_object("backups", "b1_0", b"0123456789")
    connection.put_object("others", "b1_0", b"hidden")
    return connection


@pytest.fixture
def sign(swift):
    """A function that returns the signed URL of an object; prefix: sign all names that begin with it."""

    def make(method="GET", name="b1_0", container="backups", key=KEY, seconds=60, prefix=None, digest="sha256"):
        account = parse.urlsplit(swift.url).path
        path = f"{account[account.index('/v1/') :]}/{container}/"
        signed = utils.generate_temp_url(
            path + (name if prefix is None else prefix),
            int(time.time()) + seconds,
            key,
            method,
            absolute=True,
            prefix=prefix is not None,
            digest=digest,
        )
        return f"{swift.url}/{container}/{name}?{signed.partition('?')[2]}"

    return make


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_a_signature_stands_for_a_token(sign, digest):
    answer = requests.get(sign(digest=digest))
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    part = requests.get(sign(digest=digest), headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")


def test_objects_are_written_and_removed(sign, swift):
    assert requests.put(sign("PUT", "b1_1"), data=b"more").status_code == 201
    assert swift.get_object("backups", "b1_1")[1] == b"more"
    assert requests.delete(sign("DELETE", "b1_1")).status_code == 204
    assert requests.get(sign("GET", "b1_1")).status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "HEAD"])
def test_head_is_allowed_with_what_allows_more(sign, method):
    answer = requests.head(sign(method))
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, "10")


def test_head_is_not_allowed_with_a_delete(sign):
    assert requests.head(sign("DELETE")).status_code == 401


@pytest.mark.parametrize(
    "signed, used",
    [("GET", "PUT"), ("GET", "DELETE"), ("PUT", "GET"), ("PUT", "DELETE"), ("HEAD", "GET"), ("GET", "POST")],
)
def test_a_signature_is_for_one_method(sign, swift, signed, used):
    assert requests.request(used, sign(signed), data=b"x").status_code == 401
    assert swift.get_object("backups", "b1_0")[1] == b"0123456789"


def test_it_is_for_one_object_for_some_time_with_the_containers_key(sign, swift):
    assert requests.get(sign().replace("b1_0?", "b1_1?")).status_code == 401
    assert requests.get(sign().replace("/backups/", "/others/")).status_code == 401
    assert requests.get(sign(container="others")).status_code == 401
    assert requests.get(sign(seconds=-1)).status_code == 401
    assert requests.get(sign(key="another")).status_code == 401
    assert requests.get(sign(digest="sha1")).status_code == 401
    url, _, query = sign().partition("?")
    right = dict(parse.parse_qsl(query))
    for name, value in [("temp_url_sig", value) for value in ("", "0" * 64, "x" * 64, "sha256:", "md5:AAAA", "ä")] + [
        ("temp_url_expires", value) for value in ("tomorrow", "9" * 12, "²", "")
    ]:
        assert requests.get(url, params=right | {name: value}).status_code == 401
    for missing in ("temp_url_sig", "temp_url_expires"):
        given = {name: value for name, value in parse.parse_qsl(query) if name != missing}
        assert requests.get(url, params=given).status_code == 401


def test_the_accounts_key_is_for_every_container_and_a_second_key_lets_the_first_be_changed(sign, swift):
    swift.post_account({"X-Account-Meta-Temp-URL-Key": "of the account"})
    assert requests.get(sign(container="others", key="of the account")).content == b"hidden"
    swift.post_container("backups", {"X-Container-Meta-Temp-URL-Key-2": "the next"})
    assert {requests.get(sign(key=key)).status_code for key in (KEY, "the next")} == {200}
    swift.post_container("backups", {"X-Container-Meta-Temp-URL-Key": ""})
    assert [requests.get(sign(key=key)).status_code for key in (KEY, "the next")] == [401, 200]


def test_a_prefix_is_for_all_names_that_begin_with_it(sign):
    for name in ("b1_0", "b1_7", "b1_8/x"):
        assert requests.put(sign("PUT", name, prefix="b1_"), data=b"x").status_code == 201
    assert requests.put(sign("PUT", "b2_0", prefix="b1_"), data=b"x").status_code == 401
    wider = sign("PUT", "b1_0", prefix="b1_").replace("temp_url_prefix=b1_", "temp_url_prefix=b")
    assert requests.put(wider, data=b"x").status_code == 401


@pytest.mark.parametrize("header", ["X-Object-Manifest", "X-Symlink-Target", "X-Copy-From"])
@pytest.mark.parametrize("target", ["backups/b1_0", "others/b1_0"])
def test_what_leads_to_other_objects_cannot_be_made(sign, swift, header, target):
    assert requests.put(sign("PUT", "b1_m"), data=b"", headers={header: target}).status_code == 400
    with pytest.raises(swiftclient.ClientException):
        swift.head_object("backups", "b1_m")


@pytest.mark.parametrize("path", ["backups/b1_0", "others/b1_0"])
def test_a_signed_request_makes_no_static_manifest_as_its_other_parameters_are_taken_away(sign, swift, path):
    manifest = f'[{{"path": "{path}"}}]'
    assert requests.put(f"{sign('PUT', 'b1_m')}&multipart-manifest=put", data=manifest).status_code == 201
    made = swift.head_object("backups", "b1_m")
    assert "x-static-large-object" not in made and made["content-length"] == str(len(manifest))
    assert requests.get(sign("GET", "b1_m")).text == manifest


@pytest.mark.parametrize("path", ["", "/backups"])
def test_neither_accounts_nor_containers_are_shown(swift, sign, path):
    query = sign().partition("?")[2]
    assert requests.get(f"{swift.url}{path}?{query}").status_code == 401


def test_a_signed_answer_has_no_metadata_but_public_ones(sign, swift):
    swift.post_object("backups", "b1_0", {"X-Object-Meta-Lsn": "1", "X-Object-Meta-Public-Name": "x"})
    for answer in (requests.get(sign()), requests.head(sign())):
        shown = {name.lower() for name in answer.headers if name.lower().startswith("x-object-meta-")}
        assert shown == {"x-object-meta-public-name"}
    assert swift.head_object("backups", "b1_0")["x-object-meta-lsn"] == "1"
