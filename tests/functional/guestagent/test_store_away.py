"""The agent's storage while the object store, or a part of it, is away. The clocks are moved: nothing waits."""
import http.client
import os
import ssl
import time

import pytest

from tests.fakes import cloud as fake_cloud
from trove.backup import store
from trove.common import object_store, remote
from trove.db import models as db_models
from trove.guestagent.strategies.storage import swift

AWAY = ("account", "container", "object", "proxy")
MIB = 1 << 20


@pytest.fixture(scope="module")
def running_cloud(tmp_path_factory):
    cloud = fake_cloud.Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.stop()


class Clock:
    """Time for the module under test: sleeping moves it. ``due``: [(seconds from now, function)] to be called then."""

    def __init__(self, begin):
        self.now, self.slept, self.due = begin, 0.0, []

    def time(self):
        """As time.time and time.monotonic."""
        return self.now + self.slept

    monotonic = time

    def sleep(self, seconds):
        """As time.sleep."""
        self.slept += seconds
        for entry in [entry for entry in self.due if entry[0] <= self.slept]:
            self.due.remove(entry)
            entry[1]()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock(time.time())
    monkeypatch.setattr(swift, "time", clock)
    return clock


@pytest.fixture
def weather(conf, running_cloud):
    running_cloud.configure(conf)
    object_store.forget_limits()
    conf.set_override("backup_encryption_key", "a key for tests, never for a deployment")
    conf.set_override("backup_segment_max_size", MIB)
    weather = running_cloud.server.cloud.weather
    yield weather
    weather.clear()
    running_cloud.clear_objects()
    remote.reset()


@pytest.fixture
def backup(weather):
    """backup_info of a new backup, as far as the storage needs it."""
    backup_id = db_models.new_id()
    store.make(backup_id)
    return {"id": backup_id, "storage": store.signatures(store.place(backup_id), ("PUT", "POST"), 3600)}


def blocks(count, between):
    """``count`` MiB; between: called with their number before each."""
    for number in range(count):
        between(number)
        yield os.urandom(MIB)


def link(backup, saved):
    """What prepare is given to read it."""
    where = store.place(backup["id"])
    store.open_for_reading(where)
    return {"id": backup["id"], "checksum": saved.checksum,
            "segments": [[each.name, each.size, each.hash] for each in store.segments(where, saved.segments)],
            "storage": store.signatures(where, ("GET",), 3600)}


@pytest.mark.parametrize("away", AWAY)
def test_ten_minutes_without_a_server(weather, backup, clock, away):
    clock.due.append((600, weather.clear))
    storage = swift.SwiftStorage()
    saved = storage.save(backup, blocks(5, lambda number: number == 2 and weather.away.add(away)))
    assert saved.segments == 5 and saved.size == 5 * MIB and clock.slept > 599.9
    clock.due.append((clock.slept + 600, weather.clear))
    weather.away.add(away)
    storage.save_metadata(backup, {"compression": "none"})
    assert store.guest_metadata(store.place(backup["id"])) == {"compression": "none"}
    stream = storage.load(link(backup, saved))
    size = len(next(stream))
    weather.away.add(away)
    clock.due.append((clock.slept + 600, weather.clear))
    assert size + sum(map(len, stream)) == 5 * MIB
    assert clock.slept > 1799.9


@pytest.mark.parametrize("status", [408, 429, 498, 499, 503])
def test_a_refusal_for_now_is_repeated(weather, backup, clock, status):
    weather.refusal, weather.refusals = status, 20
    saved = swift.SwiftStorage().save(backup, blocks(1, lambda number: None))
    assert saved.segments == 1 and clock.slept > 100


@pytest.mark.parametrize(("away", "words"), [("container", "signature is not accepted"), ("object", "503")])
def test_the_time_is_bounded(weather, backup, clock, conf, away, words):
    weather.away.add(away)
    with pytest.raises(swift.StorageError, match=words) as error:
        swift.SwiftStorage().save(backup, blocks(1, lambda number: None))
    assert "900 s (option backup_request_patience)" in str(error.value)
    assert 899.9 < clock.slept < 911
    conf.set_override("backup_request_patience", 0)
    before = clock.slept
    with pytest.raises(swift.StorageError, match=words):
        swift.SwiftStorage().save(backup, blocks(1, lambda number: None))
    assert clock.slept == before


def test_a_signature_whose_time_is_over_is_not_tried_again(weather, backup, clock, conf):
    conf.set_override("backup_request_patience", 100000)
    weather.away.add("container")
    with pytest.raises(swift.StorageError, match="time of the signature is over"):
        swift.SwiftStorage().save(backup, blocks(1, lambda number: None))
    assert 3600 <= clock.slept < 3615


def test_a_restore_is_patient_anew_with_each_byte(weather, backup, clock):
    storage = swift.SwiftStorage()
    given = link(backup, storage.save(backup, blocks(3, lambda number: None)))
    given["storage"] = store.signatures(store.place(backup["id"]), ("GET",), 36000)
    for _ in storage.load(given):
        weather.away.add("container")
        clock.due.append((clock.slept + 800, weather.clear))
    assert clock.slept > 1600


def test_what_is_missing_or_has_no_room_is_final(weather, backup, clock, monkeypatch):
    storage = swift.SwiftStorage()
    given = link(backup, storage.save(backup, blocks(1, lambda number: None)))
    object_store.service_account().delete(store.own_container(backup["id"]), given["segments"][0][0])
    with pytest.raises(swift.StorageError, match="it is missing"):
        list(storage.load(given))
    for status in (413, 507):
        weather.refusal, weather.refusals = status, 1
        with pytest.raises(swift.StorageError, match="no room"):
            swift.put(backup["storage"], f"{backup['id']}_00000000", b"x")
    assert clock.slept == 0


@pytest.mark.parametrize("error", [ConnectionRefusedError(), ConnectionResetError(), TimeoutError(),
                                   http.client.RemoteDisconnected()])
def test_a_proxy_that_nothing_answers_for(weather, backup, clock, monkeypatch, error):
    whole = http.client.HTTPConnection.request

    def gone(*arguments, **more):
        if clock.slept < 300:
            raise error
        return whole(*arguments, **more)
    monkeypatch.setattr(http.client.HTTPConnection, "request", gone)
    swift.put(backup["storage"], f"{backup['id']}_00000000", b"x")
    assert clock.slept >= 300


def test_a_certificate_that_is_not_accepted_is_final(weather, backup, clock, monkeypatch):
    def refuse(*_, **__):
        raise ssl.SSLCertVerificationError(1, "self-signed certificate")
    monkeypatch.setattr(http.client.HTTPConnection, "request", refuse)
    with pytest.raises(swift.StorageError, match="certificate"):
        swift.put(backup["storage"], f"{backup['id']}_00000000", b"x")
    assert clock.slept == 0
