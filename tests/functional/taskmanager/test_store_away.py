"""Backups while the object store, or a part of it, is away: flows of the task manager against minicloud's Swift.

minicloud behaves as Swift 2.38.3 was seen to; ``tests/functional/test_real_swift.py`` asks that one itself.
"""
import pytest

from tests.fakes.agent import GUESTS
from tests.functional.taskmanager.test_backup_objects import everything, found, newest, take
from trove.backup import store
from trove.common import object_store
from trove.operation import models as operations
from trove.taskmanager import reconcile
from trove.taskmanager.steps import backup as steps

AWAY = ("account", "container", "object", "proxy")
# Servers without which a step of taking a backup cannot be done; the container is made without object servers.
NEEDED = {"store": ("account", "container", "proxy"), "check": AWAY, "manifest": AWAY}


@pytest.fixture
def weather(world, conf):
    """The switches of minicloud's Swift. Nothing waits between two attempts; no object may be lost at the end."""
    conf.set_override("cloud_request_retries", 0)
    conf.set_override("operation_retry_interval", 0.01)
    object_store.forget_limits()
    cloud = world.cloud.server.cloud
    yield cloud.weather
    cloud.weather.clear()
    object_store.forget_limits()
    assert cloud.objects.unlisted() == []


def look(world, operation_id, until=None, times=30):
    """Carry on an operation, until a step begins if one is named; returns whether it has ended."""
    world.end_lease(operation_id)
    with world.db.writer() as session:
        operations.claim(session, operation_id, "runner", 60)
    for _ in range(times):
        if world.advance(operation_id) is None:
            return True
        if until and world.operation(operation_id).step == until:
            return False
    return False


@pytest.mark.parametrize("away", AWAY)
def test_a_delete_waits(world, weather, away):
    row = take(world)
    operation_id = world.delete_backup(row.id)
    with weather.without_servers(away):
        assert not look(world, operation_id, times=5)
    assert len(everything()[store.own_container(row.id)]) == 2
    world.run(operation_id)
    assert everything() == {}
    assert newest(world, row.id).state == operations.DONE


@pytest.mark.parametrize("away", AWAY)
def test_an_undo_waits(world, weather, away):
    """The guest reports a failure, and the servers go away at the same time."""
    def fail(info):
        weather.away.add(away)
        GUESTS.lies = {"state": "FAILED"}
    GUESTS.uploaded = fail
    backup_id, operation_id = world.backup(world.built())
    assert not look(world, operation_id)
    assert newest(world, backup_id).state == operations.UNDOING
    weather.clear()
    assert len(everything()[store.own_container(backup_id)]) == 1
    world.run(operation_id)
    assert everything() == {}
    found(world, backup_id, "FAILED")


@pytest.mark.parametrize(("step", "away"), [(step, away) for step, servers in NEEDED.items() for away in servers])
def test_a_backup_waits(world, weather, monkeypatch, step, away):
    """A server is away when a step begins, and comes back."""
    name = {"store": "make", "check": "open_for_reading", "manifest": "guest_metadata"}[step]
    do, calls = getattr(store, name), []

    def gone(*args):
        calls.append(args)
        # The metadata are asked for by the step before too.
        if len(calls) == (2 if step == "manifest" else 1):
            weather.away.add(away)
        if len(calls) == 5:
            weather.clear()
        return do(*args)
    monkeypatch.setattr(store, name, gone)
    take(world)
    assert len(calls) >= 5


def test_a_backup_that_waits_too_long_says_why(world, weather, conf):
    conf.set_override("object_store_time_out", 1)
    GUESTS.uploaded = lambda info: weather.away.add("account")
    backup_id, operation_id = world.backup(world.built())
    world.run(operation_id, looks=2000)
    assert "object_store_time_out" in newest(world, backup_id).error
    assert "503" in newest(world, backup_id).error
    weather.clear()
    assert len(everything()[store.own_container(backup_id)]) == 1
    reconcile.look_at_backups()
    assert everything() == {}


@pytest.mark.parametrize("status", [408, 429, 498, 503])
def test_a_refusal_for_now_is_repeated(world, weather, status):
    backup_id, operation_id = world.backup(world.built())
    weather.refusal, weather.refusals = status, 3
    world.run(operation_id)
    row = found(world, backup_id, "COMPLETED")
    operation_id = world.delete_backup(row.id)
    weather.refusals = 3
    world.run(operation_id)
    assert everything() == {}


def many(info):
    """Segments beside the first one, as a guest sends them."""
    from trove.guestagent.strategies.storage import swift
    hashes = [swift.put(info["storage"], f"{info['id']}_{number:08d}", b"%d" % number) for number in range(13)]
    swift.SwiftStorage().save_metadata(info, {"compression": "none", "lsn": "1"})
    GUESTS.lies = {"segments": 13, "uploaded": 16, "checksum": store.checksum(
        [object_store.Object("", 0, each) for each in hashes])}


def test_a_listing_that_lags_fails_no_backup(world, weather):
    def send(info):
        many(info)
        weather.lag()
        weather.lagging -= 3600  # nothing is listed
    GUESTS.uploaded = send
    backup_id, operation_id = world.backup(world.built())
    assert not look(world, operation_id)
    assert newest(world, backup_id).step == "manifest"  # it would show less than there is
    weather.clear()
    world.run(operation_id)
    row = found(world, backup_id, "COMPLETED")
    assert (row.segments, row.uploaded) == (13, 16)
    weather.lagging = 0.0
    store.check(row)
    assert len(steps.restore_info([row])["chain"][0]["segments"]) == 13


@pytest.mark.parametrize("reported", [True, False])
def test_a_listing_that_lags_leaves_no_objects(world, weather, reported):
    """The undo, and the end of a delete: the container goes last, and takes the names of its objects with it."""
    def fail(info):
        many(info)
        weather.lagging = 0.0
        GUESTS.lies = {**GUESTS.lies, "checksum": "0" * 32} if reported else {"state": "FAILED"}
    GUESTS.uploaded = fail
    take(world, "FAILED")
    assert everything() == {} and world.cloud.server.cloud.objects.unlisted() == []
    weather.clear()
    GUESTS.reset()
    GUESTS.uploaded = many
    row = take(world)
    weather.lagging = 0.0
    world.run(world.delete_backup(row.id))
    assert everything() == {} and world.cloud.server.cloud.objects.unlisted() == []


def test_segments_with_gaps_that_are_not_listed_are_deleted(world, weather):
    """An upload that was cut off lacks the two segments that were under way."""
    from trove.guestagent.strategies.storage import swift
    row = take(world)
    store.make(row.id)
    signed = store.signatures(store.place(row.id), ("PUT",), 60)
    for number in (1, 2, 5, 6):
        swift.put(signed, f"{row.id}_{number:08d}", b"x")
    weather.lagging = 0.0
    world.run(world.delete_backup(row.id))
    assert everything() == {} and world.cloud.server.cloud.objects.unlisted() == []


@pytest.mark.parametrize("where", ["all the time", "the manifest"])
def test_metadata_that_a_proxy_removes_refuse_the_backup(world, weather, where):
    def strip(info):
        weather.strips = True
    if where == "the manifest":
        GUESTS.uploaded = strip
    else:
        weather.strips = True
    row = take(world, "FAILED")
    error = newest(world, row.id).error
    assert "X-Object-Meta-*" in error
    weather.clear()
    assert everything() == {}


@pytest.mark.parametrize(("info", "words"), [
    ({"tempurl"}, "must add the filter tempurl"), ({"bulk_delete"}, None), ({"info"}, None)])
def test_what_the_operator_must_enable(world, weather, caplog, info, words):
    weather.without = info
    row = take(world, "FAILED" if words else "COMPLETED")
    if words:
        assert words in newest(world, row.id).error and words in caplog.text
        weather.clear()  # without a restart of the task manager
        row = take(world)
    world.run(world.delete_backup(row.id))
    assert everything() == {}
    assert info != {"bulk_delete"} or "no bulk deletion" in caplog.text


def test_without_bulk_deletion_odd_names_are_deleted_if_they_stay_in_place(world, weather):
    weather.without = {"bulk_delete"}
    row, account = take(world), object_store.service_account()
    account.put(store.own_container(row.id), f"{row.id}_x", {})
    world.run(world.delete_backup(row.id))
    assert everything() == {}
