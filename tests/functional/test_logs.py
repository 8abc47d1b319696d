"""Logs of an instance (rest-api 3.1, GET and POST /instances/{id}/log; 3.8)."""
import http.client
from urllib.parse import quote

import pytest
import requests
import swiftclient
from swiftclient import exceptions

from tests.functional.world import UNKNOWN, create, create_active
from trove.common import exception, remote, security

PIECE = "log-2026-01-02T03:04:05.000006"
NOTHING = {"published": 0, "container": "None", "prefix": "None", "metafile": "None"}


@pytest.fixture
def account(cloud, options, monkeypatch):
    """The account in Swift that the caller's token leads to."""
    options.clear_override("remote_swift_client")
    connection = remote.swift_client()
    connection.url, connection.token = connection.get_auth()

    def client(token, project_id):
        assert token.startswith(f"{project_id}:")  # it is the caller's own, for its own tenant
        return swiftclient.Connection(preauthurl=connection.url, preauthtoken=connection.token, retries=0)
    monkeypatch.setattr(remote, "tenant_swift_client", client)
    yield connection
    cloud.clear_objects()


@pytest.fixture
def events(monkeypatch):
    """The security events that are reported."""
    found = []
    monkeypatch.setattr(security, "_sinks", [found.append])
    return found


@pytest.fixture
def path(world, alice):
    return f"/instances/{create_active(world, alice)}/log"


def test_the_logs_that_there_are(world, alice, bob, path):
    logs = {log["name"]: log for log in alice.get(path).json["logs"]}
    assert logs == {
        "guest": {"name": "guest", "type": "SYS", "status": "Enabled", "pending": 10, **NOTHING},
        **{name: {"name": name, "type": "USER", "status": "Disabled", "pending": 0, **NOTHING}
           for name in ("general", "slow_query")}}  # what the option does not name stays hidden
    bob.get(path, status=404)
    alice.get(f"/instances/{UNKNOWN}/log", status=404)


def test_a_guest_that_is_not_there_is_not_asked(world, alice):
    path = f"/instances/{create(alice)}/log"
    assert {log["status"] for log in alice.get(path).json["logs"]} == {"Unavailable"}
    assert alice.post(path, {"name": "general"}).json["log"]["status"] == "Unavailable"
    alice.post(path, {"name": "general", "enable": 1}, status=422)


@pytest.mark.parametrize(("body", "code"), [
    ({"name": "elephants", "enable": 1}, 404), ({"name": "error", "enable": 1}, 404), ({"enable": 1}, 400), ({}, 400),
    ({"name": "general", "enable": 1, "disable": 1}, 400), ({"name": "general", "enable": "yes"}, 400)])
def test_what_cannot_be_asked_for(world, alice, bob, path, body, code):
    alice.post(path, body, status=code)
    assert "guest_log_action" not in world.guest(path.split("/")[2]).calls
    assert bob.post(path, {"name": "general", "enable": 1}, status=404)


@pytest.mark.parametrize("flags", [{}, {"enable": 0, "publish": None}])
def test_one_is_shown_to_who_asks_for_nothing_else(alice, path, flags):
    shown = alice.post(path, {"name": "general", **flags}).json["log"]
    assert shown in alice.get(path).json["logs"]
    assert shown["name"] == "general"


def test_on_and_off(alice, path):
    assert alice.post(path, {"name": "general", "enable": 1}).json["log"]["status"] == "Enabled"
    assert alice.post(path, {"name": "general", "disable": True}).json["log"]["status"] == "Disabled"


def test_what_is_published_lies_in_the_callers_account(world, account, alice, path):
    instance_id = path.split("/")[2]
    published = alice.post(path, {"name": "guest", "publish": 1}).json["log"]
    assert published == {
        "name": "guest", "type": "SYS", "status": "Published", "published": 10, "pending": 0,
        "container": "database_logs", "prefix": f"{instance_id}/mysql-guest/",
        "metafile": f"{instance_id}/mysql-guest_metafile"}
    storage = world.guest(instance_id).storage
    assert storage["prefix"] == published["prefix"]
    for name, code in ((f"{storage['prefix']}{PIECE}", 201), (published["metafile"], 201), ("other/log", 401),
                       (f"{instance_id}/mysql-general/{PIECE}", 401)):
        assert requests.put(f"{storage['url']}/{name}?{storage['PUT']}", data=b"a line\n").status_code == code, name
    names = [entry["name"] for entry in account.get_container("database_logs")[1]]
    assert names == [f"{storage['prefix']}{PIECE}", published["metafile"]]
    assert requests.get(f"{storage['url']}/{names[0]}?{storage['PUT']}").status_code == 401
    account.put_object("database_logs", f"{instance_id}/mysql-guest_metafile2", b"stays")

    discarded = alice.post(path, {"name": "guest", "discard": 1}).json["log"]
    assert discarded.items() >= {"pending": 10, **NOTHING}.items()
    assert [entry["name"] for entry in account.get_container("database_logs")[1]] == [f"{published['metafile']}2"]


def test_names_that_a_guest_has_made_up_are_not_used_by_a_discard(world, account, alice, path, events):
    """The caller's token must not reach another container by the name of an object in this one."""
    published = alice.post(path, {"name": "guest", "publish": 1}).json["log"]
    storage = world.guest(path.split("/")[2]).storage
    account.put_container("other")
    account.put_object("other", "kept", b"the tenant's own")
    odd = f"{storage['prefix']}../../../other/kept"
    host, _, rest = storage["url"].removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host)  # which sends a path as it is given
    connection.request("PUT", f"/{rest}/{odd}?{storage['PUT']}", b"x")
    assert connection.getresponse().status == 201
    connection.close()
    account.put_object("database_logs", f"{storage['prefix']}{PIECE}", b"a line")

    alice.post(path, {"name": "guest", "discard": 1})
    assert account.get_object("other", "kept")[1] == b"the tenant's own"
    assert [entry["name"] for entry in account.get_container(published["container"])[1]] == [odd]
    assert [event.name for event in events] == ["path.refused"]
    account.post_account({}, query_string="bulk-delete", data=quote(f"database_logs/{odd}", safe="").encode())


def test_discarding_nothing_is_fine(options, account, alice, path):
    options.set_override("guest_log_container_name", "not-there-yet")
    alice.post(path, {"name": "general", "discard": 1})


@pytest.mark.parametrize(("status", "code"), [(401, 401), (403, 403), (404, 404), (500, 503), (None, 503)])
def test_an_object_store_that_refuses(world, account, monkeypatch, alice, path, status, code):
    def refuse(*_args, **_kwargs):
        raise exceptions.ClientException("no", http_status=status)
    monkeypatch.setattr(swiftclient.Connection, "put_container", refuse)
    alice.post(path, {"name": "guest", "publish": 1}, status=code)
    assert "guest_log_action" not in world.guest(path.split("/")[2]).calls


def test_a_guest_that_fails(world, account, alice, path):
    world.guest(path.split("/")[2]).error = exception.GuestError(original="no room")
    assert "no room" in alice.post(path, {"name": "guest", "publish": 1}, status=400).text
