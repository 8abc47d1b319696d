"""What root in a guest can do with the objects of backups: nothing outside of the backup that it takes.

Guests act here by their signatures, over HTTP that sends paths as they are given; the control plane by the real
swiftclient, as a user who is no administrator.
"""
import http.client
import json
import time
from urllib.parse import quote, urlsplit

import pytest
from swiftclient import exceptions as swift_exceptions

from tests.fakes.agent import GUESTS
from trove.backup import models, store
from trove.common import crypto, object_store, remote, security
from trove.db import models as db_models
from trove.operation import models as operations
from trove.taskmanager import reconcile
from trove.taskmanager.steps import backup as steps

DOTS = "../.."


@pytest.fixture
def events(monkeypatch):
    """The security events that are reported."""
    found = []
    monkeypatch.setattr(security, "_sinks", [found.append])
    return found


@pytest.fixture
def neighbour(world):
    """A completed backup of another instance: its row, and what must not change."""
    row = take(world)
    yield row
    GUESTS.reset()
    info = steps.restore_info([row])
    assert [segment[0] for segment in info["chain"][0]["segments"]] == [f"{row.id}_00000000"]


def take(world, state="COMPLETED"):
    """Take a backup of a new instance to its end; returns its row."""
    backup_id, operation_id = world.backup(world.built())
    world.run(operation_id)
    return found(world, backup_id, state)


def found(world, backup_id, state):
    with world.db.reader() as session:
        row = session.get(models.DBBackup, backup_id)
    assert row.state == state, [(one.step, one.error) for one in [newest(world, backup_id)]]
    return row


def newest(world, backup_id):
    with world.db.reader() as session:
        return operations.newest_for(session, "backup", backup_id)


def send(storage, method, name, body=b"", headers=None, more=""):
    """One request of a guest, with its signature; name: goes into the path as it is. Returns (status, headers)."""
    parts = urlsplit(storage["url"])
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    signature = storage[method] if method in storage else storage["PUT"]
    connection.request(method, f"{parts.path}/{name}?{signature}{more}", body, headers or {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders())


def everything():
    """{container: {name: ETag}} of the account in which backups are kept."""
    client = remote.swift_client()
    return {container["name"]: {entry["name"]: entry["hash"] for entry in client.get_container(container["name"])[1]}
            for container in client.get_account()[1]}


@pytest.mark.parametrize(("lies", "words"), [
    ({"segments": 2}, "00000001 is missing"), ({"uploaded": 1}, "reported 1"), ({"checksum": "0" * 32}, "0" * 32),
    ({"segments": None}, "did not report"), ({"checksum": None}, "did not report")])
def test_a_report_that_does_not_fit_the_objects(world, events, neighbour, lies, words):
    before = everything()
    GUESTS.lies = lies
    row = take(world, "FAILED")
    assert words in newest(world, row.id).error
    assert [(event.name, event.instance_id) for event in events] == [("backup.mismatch", row.instance_id)]
    assert everything() == before


@pytest.mark.parametrize("metadata", [
    {"extension": f"/{DOTS}/x"}, {"compression": "zstd/../x"}, {"compression": ""}, {"lsn": "1" * 21}, {"lsn": "x"},
    {"datastore": "y"}, {"compression": "rar"}])
def test_metadata_that_no_agent_writes(world, events, neighbour, metadata):
    before = everything()

    def mark(info):
        headers = {f"X-Object-Meta-{name}": value for name, value in metadata.items()}
        assert send(info["storage"], "POST", f"{info['id']}_00000000", headers=headers)[0] == 202
    GUESTS.uploaded = mark
    take(world, "FAILED")
    assert [event.name for event in events] == ["backup.mismatch"]
    assert everything() == before


@pytest.mark.parametrize("ending", ["1", "x", "00000001", "00000009", f"{DOTS}/x", "%2e%2e", "a//b", "%0a", "%C3%A4",
                                    f"/{DOTS}/{DOTS}/identity/v3/projects/x"])
def test_an_object_beside_the_segments_fails_the_backup_and_goes_with_it(world, events, neighbour, ending):
    before = everything()

    def add(info):
        assert send(info["storage"], "PUT", f"{info['id']}_{ending}", b"x")[0] == 201
    GUESTS.uploaded = add
    row = take(world, "FAILED")
    assert "beside its segments" in newest(world, row.id).error
    assert "backup.mismatch" in [event.name for event in events]
    assert everything() == before


def test_a_name_with_dots_in_the_container_of_a_neighbour_reaches_nothing(world, events, neighbour):
    """The names of a neighbour's objects, reached by dot segments, are those that must stay."""
    before = everything()
    target = f"{store.own_container(neighbour.id)}/{neighbour.id}_00000000"

    def add(info):
        assert send(info["storage"], "PUT", f"{info['id']}_/../../{target}", b"x")[0] == 201
        assert send(info["storage"], "PUT", f"../{target}", b"x")[0] == 401
    GUESTS.uploaded = add
    take(world, "FAILED")
    assert everything() == before


def test_a_signature_shows_nothing_of_others_and_makes_no_manifest(world, neighbour):
    seen = {}

    def probe(info):
        storage, own = info["storage"], f"{info['id']}_0000000"
        target = f"{store.own_container(neighbour.id)}/{neighbour.id}_00000000"
        seen["direct"] = [send({**storage, "url": storage["url"].replace(info["id"], neighbour.id)}, method,
                               f"{neighbour.id}_00000000")[0] for method in ("PUT", "POST", "HEAD", "DELETE", "GET")]
        seen["copy"] = send(storage, "PUT", f"{own}1", headers={"X-Copy-From": target})[0]
        seen["dynamic"] = send(storage, "PUT", f"{own}2", headers={"X-Object-Manifest": target})[0]
        seen["link"] = send(storage, "PUT", f"{own}3", headers={"X-Symlink-Target": target})[0]
        body = json.dumps([{"path": target}]).encode()
        seen["static"] = send(storage, "PUT", f"{own}4", body, more="&multipart-manifest=put")[0]
        status, headers = send(storage, "HEAD", f"{own}4")
        seen["shown"] = (status, headers["Content-Length"], "X-Static-Large-Object" in headers)
        seen["size"] = str(len(body))
        seen["listing"] = send(storage, "GET", "")[0]
    GUESTS.uploaded = probe
    take(world, "FAILED")
    assert seen["direct"] == [401] * 5
    assert (seen["copy"], seen["dynamic"], seen["link"], seen["listing"]) == (400, 400, 400, 401)
    # The body is kept as it is: it names others' objects and shows nothing of them.
    assert (seen["static"], seen["shown"]) == (201, (200, seen["size"], False))


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_a_manifest_in_the_place_of_a_segment_is_found(world, events, neighbour, kind):
    """An object store that is less strict than Swift would let a guest put one there."""
    def replace(info):
        container, name = store.own_container(info["id"]), f"{info['id']}_00000000"
        client, target = remote.swift_client(), f"{store.own_container(neighbour.id)}/{neighbour.id}_00000000"
        headers = {"X-Object-Meta-Compression": "none"}
        if kind == "static":
            body = json.dumps([{"path": target}]).encode()
            client.put_object(container, name, body, query_string="multipart-manifest=put", headers=headers)
        else:
            client.put_object(container, name, b"", headers={**headers, "X-Object-Manifest": target})
        [entry] = client.get_container(container)[1]
        GUESTS.lies = {"uploaded": entry["bytes"],
                       "checksum": store.checksum([object_store.Object(name, entry["bytes"], entry["hash"])])}
    GUESTS.uploaded = replace
    row = take(world, "FAILED")
    assert "not a plain object" in newest(world, row.id).error
    assert [event.name for event in events] == ["backup.mismatch"]


def test_a_segment_that_would_vanish_later_is_found(world, events):
    GUESTS.uploaded = lambda info: send(info["storage"], "POST", f"{info['id']}_00000000", headers={
        "X-Delete-After": "1000", "X-Object-Meta-Compression": "none"})
    row = take(world, "FAILED")
    assert "not a plain object" in newest(world, row.id).error
    assert [event.name for event in events] == ["backup.mismatch"]


def test_signatures_end_with_the_check_and_with_the_container(world):
    kept = {}
    GUESTS.uploaded = lambda info: kept.update(info)
    row = take(world)
    name = f"{row.id}_00000000"
    assert [send(kept["storage"], method, name, b"late")[0] for method in ("PUT", "POST", "HEAD")] == [401] * 3
    reading = store.signatures(store.place(row.id), ("GET",), 60)
    assert send(reading, "GET", name)[0] == 200
    assert send(reading, "GET", f"{row.id}.xbstream.gcm")[0] == 401
    world.run(world.delete_backup(row.id))
    assert send(kept["storage"], "PUT", name, b"late")[0] == 401
    assert send(reading, "GET", name)[0] == 401
    assert everything() == {}


OLD, NEW = "an operation_key that is going to leave us", "an operation_key that takes over from it"


def test_a_backup_is_taken_restored_and_deleted_while_operation_key_is_rotated(world, conf):
    conf.set_override("operation_key", [OLD])
    kept, name = {}, "{id}_00000000"

    def rotate(info):
        kept.update(info)
        conf.set_override("operation_key", [NEW, OLD])
        store.make(info["id"])  # as if the command had been lost, and were sent again
        repeated = store.signatures(store.place(info["id"]), ("PUT", "POST"), 60)
        for storage in (info["storage"], repeated):
            assert send(storage, "HEAD", name.format(**info))[0] == 200
        assert send(store.signatures(store.place(info["id"]), ("GET",), 60), "GET", name.format(**info))[0] == 401
    GUESTS.uploaded = rotate
    row = take(world)
    assert send(kept["storage"], "PUT", name.format(id=row.id), b"late")[0] == 401
    for keys in ([NEW, OLD], [NEW], [OLD, NEW], ["one more operation_key, which has nothing to do with them"]):
        conf.set_override("operation_key", keys)
        storage = steps.restore_info([row])["chain"][0]["storage"]
        assert send(storage, "GET", name.format(id=row.id))[0] == 200
        assert send(kept["storage"], "PUT", name.format(id=row.id), b"late")[0] == 401
    world.run(world.delete_backup(row.id))
    assert send(storage, "GET", name.format(id=row.id))[0] == 401
    assert everything() == {}


def test_a_guest_that_goes_on_after_the_backup_was_given_up_leaves_nothing(world):
    kept = {}
    GUESTS.uploaded = lambda info: kept.update(info)
    GUESTS.lies = {"segments": 5}
    row = take(world, "FAILED")
    assert send(kept["storage"], "PUT", f"{row.id}_00000001", b"late")[0] == 401
    assert everything() == {}


def test_what_came_late_is_found_by_a_later_look(world, caplog):
    """A container that came back, or that a killed task manager left."""
    GUESTS.lies = {"segments": 5}
    failed = take(world, "FAILED")
    GUESTS.reset()
    deleted, kept = take(world), take(world)
    world.run(world.delete_backup(deleted.id))
    unknown = db_models.new_id()
    client = remote.swift_client()
    for backup_id in (failed.id, deleted.id, unknown):
        store.make(backup_id)
        client.put_object(store.own_container(backup_id), f"{backup_id}_00000000", b"late")
    client.put_container("database_backups_of_somebody")
    reconcile.look_at_backups()
    assert set(everything()) == {*map(store.own_container, (unknown, kept.id)), "database_backups_of_somebody"}
    assert "1 containers of backups belong to no backup" in caplog.text and unknown in caplog.text
    assert len(everything()[store.own_container(kept.id)]) == 2


def test_a_running_backup_is_left_alone_by_the_later_look(world):
    GUESTS.builds = True
    instance_id = world.built()
    GUESTS.builds = None
    backup_id, operation_id = world.backup(instance_id)
    world.end_lease(operation_id)
    store.make(backup_id)
    with world.db.writer() as session:
        models.move(session, backup_id, models.FAILED)
    reconcile.look_at_backups()
    assert set(everything()) == {store.own_container(backup_id)}


@pytest.fixture
def old(world):
    """A backup as an earlier release left it, between others, in the container of all backups; its row."""
    row, client = take(world), remote.swift_client()
    client.put_container("database_backups", {"X-Container-Meta-Temp-URL-Key": crypto.shared_container_keys()[0]})
    where = store.place(row.id)
    store.delete(row.id, time.monotonic() + 10)
    name = f"{row.id}.xbstream.zst.gcm"
    hashes = [client.put_object("database_backups", where.segment(number), f"part {number}".encode())
              for number in range(2)]
    segments = [object_store.Object(where.segment(number), 6, hashes[number]) for number in range(2)]
    client.put_object("database_backups", name, b"", headers={
        "X-Object-Manifest": f"database_backups/{row.id}_", "X-Object-Meta-segments": "2"})
    client.put_object("database_backups", "unrelated", b"stays")
    with world.db.writer() as session:
        row = session.get(models.DBBackup, row.id)
        row.location = f"{client.get_auth()[0]}/database_backups/{name}"
        row.checksum, row.segments, row.uploaded = store.checksum(segments), None, None
    return found(world, row.id, "COMPLETED")


def test_a_backup_of_an_earlier_release_is_restored_and_deleted(world, old):
    store.check(old)
    link = steps.restore_info([old])["chain"][0]
    assert [segment[0] for segment in link["segments"]] == [f"{old.id}_00000000", f"{old.id}_00000001"]
    assert send(link["storage"], "GET", f"{old.id}_00000001")[0] == 200
    assert send(link["storage"], "GET", "unrelated")[0] == 401
    world.run(world.delete_backup(old.id))
    assert everything() == {"database_backups": {"unrelated": everything()["database_backups"]["unrelated"]}}


@pytest.mark.parametrize("location", ["http://s/v1/AUTH_s/other/unrelated", f"http://s/database_backups/{DOTS}/unrelated"])
def test_a_location_that_a_guest_reported_once_is_not_followed(world, events, old, location):
    with world.db.writer() as session:
        session.get(models.DBBackup, old.id).location = location
    row = found(world, old.id, "COMPLETED")
    for use in (store.check, lambda row: steps.restore_info([row])):
        with pytest.raises(object_store.PathRefused):
            use(row)
    assert [event.name for event in events] == ["path.refused"] * 2
    world.run(world.delete_backup(old.id))  # by names that are made of its id
    assert set(everything()["database_backups"]) == {"unrelated"}


def test_the_user_for_backups_is_no_administrator(world, neighbour):
    session = remote.swift_session()
    assert session.auth.get_access(session).role_names == ["member", "reader"]
    assert session.get_project_id() != remote.service_session().get_project_id()
    client = remote.swift_client()
    url = client.get_auth()[0].replace(session.get_project_id(), remote.service_session().get_project_id())
    other = client.__class__(preauthurl=url, preauthtoken=session.get_token(), retries=0)
    with pytest.raises(swift_exceptions.ClientException) as refused:
        other.get_account()
    assert refused.value.http_status == 403


def test_a_purge_deletes_by_exact_names(world):
    account, client = object_store.service_account(), remote.swift_client()
    for container in ("a", "b"):
        client.put_container(container)
        client.put_object(container, "x", b"x")
    odd = ["../b/x", "/../b/x", "a\nb/x", "ä", "%2e%2e/b/x", " x "]
    parts = urlsplit(account.url())
    for name in odd:
        connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        connection.request("PUT", f"{parts.path}/a/{quote(name, safe='./')}", b"x",
                           {"X-Auth-Token": remote.swift_session().get_token()})
        assert connection.getresponse().status == 201
        connection.close()
    assert {found.name for found in account.list("a")} == {*odd, "x"}
    account.purge("a", [*odd, "absent"])
    assert {name: list(names) for name, names in everything().items()} == {"a": ["x"], "b": ["x"]}
