"""Backups in the real Swift of PyPI while its servers go away and come back: the control plane's functions for objects
and the agent's storage. No guests are needed.
"""
import contextlib
import dataclasses
import os
import threading
import time

import pytest

from tests.fakes import cloud as fake_cloud
from tests.real_swift import RealSwift
from trove.backup import store
from trove.common import object_store, remote
from trove.db import models as db_models
from trove.guestagent.strategies.storage import swift as guest

pytestmark = pytest.mark.slow
MIB = 1 << 20
LATER = 60  # seconds


@pytest.fixture(scope="module")
def keystone(tmp_path_factory):
    cloud = fake_cloud.Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.stop()


def _swift(keystone, **more):
    return RealSwift(keystone.auth_url, fake_cloud.SERVICE_USER, fake_cloud.SERVICE_PASSWORD, "service", **more)


@pytest.fixture(scope="module")
def running(keystone):
    swift = _swift(keystone)
    try:
        yield swift.start()
    finally:
        swift.stop()


def configure(conf, keystone, swift):
    keystone.configure(conf)
    object_store.forget_limits()
    for name, value in (("swift_url", f"{swift.url}/v1/AUTH_"), ("backup_segment_max_size", MIB),
                        ("cloud_request_retries", 0), ("backup_request_patience", LATER),
                        ("backup_encryption_key", "a key for tests, never for a deployment")):
        conf.set_override(name, value)


@pytest.fixture
def swift(conf, keystone, running):
    configure(conf, keystone, running)
    yield running
    remote.reset()
    object_store.forget_limits()


class Taken:
    """A backup that is being taken: ``data`` was uploaded in segments of 1 MiB."""

    def __init__(self, size=5 * MIB):
        self.id = db_models.new_id()
        self.where = store.place(self.id)
        store.make(self.id)
        self.storage = store.signatures(self.where, ("PUT", "POST"), 600)
        self.data = os.urandom(size)

    def upload(self, between=lambda number: None):
        """Upload it as the agent does; between: called before each MiB."""
        def blocks():
            for number in range(0, len(self.data), MIB):
                between(number // MIB)
                yield self.data[number:number + MIB]
        info = {"id": self.id, "storage": self.storage}
        self.saved = guest.SwiftStorage().save(info, blocks())
        guest.SwiftStorage().save_metadata(info, {"compression": "none", "lsn": "7"})
        return self

    def complete(self):
        """Check it and make its manifest."""
        store.open_for_reading(self.where)
        self.segments = store.segments(self.where, self.saved.segments)
        assert store.checksum(self.segments) == self.saved.checksum
        self.manifest = dataclasses.replace(self.where, manifest=f"{self.id}.xbstream")
        _, etag = store.write_manifest(self.manifest, store.guest_metadata(self.where))
        return etag

    def read(self):
        """The bytes that the agent reads."""
        link = {"id": self.id, "checksum": self.saved.checksum,
                "segments": [[each.name, each.size, each.hash] for each in self.segments],
                "storage": store.signatures(self.where, ("GET",), 600)}
        return b"".join(guest.SwiftStorage().load(link))

    def delete(self, seconds=30):
        """Delete it; returns what store.delete does."""
        return store.delete(self.id, time.monotonic() + seconds, self.saved.segments, f"{self.id}.xbstream")


@contextlib.contextmanager
def returning(swift, *names, seconds=3):
    """Stop servers, and start them again after some seconds, in a thread of its own."""
    for name in names:
        swift.suspend(name)

    def back():
        time.sleep(seconds)
        for name in names:
            swift.resume(name)
    thread = threading.Thread(target=back)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_fair_weather(swift):
    before = swift.stored()
    taken = Taken().upload()
    assert taken.complete() == taken.saved.checksum
    assert taken.read() == taken.data
    assert store.manifest(taken.manifest)[1] == {"compression": "none", "lsn": "7"}
    assert swift.stored() - before == 6
    assert taken.delete() is None
    assert swift.stored() == before
    assert taken.delete() is None  # again


@pytest.mark.parametrize("away", ["account", "container", "object", "proxy"])
def test_a_server_goes_away_while_a_backup_is_taken_read_and_deleted(swift, away):
    before, taken = swift.stored(), Taken()
    stopped = contextlib.ExitStack()
    with stopped:
        taken.upload(lambda number: number == 2 and stopped.enter_context(returning(swift, away)))
    # An updater brings the listings up to date that were not written while their server was away.
    swift.catch_up()
    assert taken.complete() == taken.saved.checksum
    with returning(swift, away):
        assert taken.read() == taken.data
    with swift.away(away):
        with pytest.raises(Exception) as refused:
            taken.delete()
        assert remote.is_passing(refused.value) and not remote.is_missing(refused.value)
        if away != "object":
            with pytest.raises(Exception) as refused:
                store.open_for_reading(taken.where)
            assert remote.is_passing(refused.value)
    swift.catch_up()
    assert taken.delete() is None
    assert swift.stored() == before


def test_a_listing_that_lags_loses_nothing(swift, conf):
    """Segments arrive while the container server does not take updates from the object server."""
    before, taken = swift.stored(), Taken()
    taken.upload()
    # What an update that was lost leaves behind: the object is there, the row of the listing is not.
    swift.forget_listed(store.own_container(taken.id))
    assert object_store.service_account().list(taken.where.container) == []
    assert [each.size for each in store.segments(taken.where, 5)] == [MIB] * 5
    assert taken.complete() != taken.saved.checksum  # a manifest shows what is listed; the step tries again
    assert taken.read() == taken.data
    assert taken.delete() is None
    assert swift.stored() == before


def test_an_undo_that_does_not_know_how_many_segments_there_are(swift):
    before, taken = swift.stored(), Taken().upload()
    swift.forget_listed(store.own_container(taken.id))
    assert store.delete(taken.id, time.monotonic() + 30) is None
    assert swift.stored() == before


@pytest.mark.parametrize(("missing", "words"), [("tempurl", "add the filter tempurl"), ("bulk", None)])
def test_a_proxy_without_a_filter(conf, keystone, missing, words):
    swift = _swift(keystone, without=(missing,))
    try:
        swift.start()
        configure(conf, keystone, swift)
        if words:
            with pytest.raises(object_store.Unfit, match=words):
                store.make(db_models.new_id())
            return
        taken = Taken(MIB).upload()
        assert taken.complete() == taken.saved.checksum
        account, container = object_store.service_account(), taken.where.container
        account.put(container, f"{taken.id}_x", {})
        assert account.limits().bulk == 0
        assert taken.delete() is None
        assert swift.stored() == 0
    finally:
        swift.stop()
        remote.reset()
        object_store.forget_limits()
