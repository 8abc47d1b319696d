"""The sink: off the hot path, bounded whatever is claimed, and nothing is lost while the database is away."""
import os
import threading
import time

import pytest

from tests.waiting import wait_until
from trove.common import security
from trove.db.sqlalchemy import tables
from trove.security_event import models, store


def event(name="message.forged", instance_id="i-1", account=None, reason="why"):
    return security.Event(name, reason, instance_id, account, time.time())


@pytest.fixture
def collected(db, conf):
    """A store whose thread never writes: the test does."""
    conf.set_override("security_event_interval", 3600.0)
    return store.Store()


def rows(db):
    with db.reader() as session:
        return models.newest(session, 3600, 1000)


def test_a_flood_of_one_key_is_one_row(collected, db, statements):
    for number in range(10000):
        collected.add(event(reason=f"reason {number}"))
    assert statements == []
    collected.flush()
    assert len(statements) < 6
    (row,) = rows(db)
    assert (row["count"], row["reason"]) == (10000, "reason 9999")
    collected.flush()
    assert rows(db) == [row]


def test_an_account_that_claims_many_instances_gets_few_rows(collected, db):
    for number in range(5000):
        collected.add(event(instance_id=f"i-{number}", account="guest-1"))
    collected.add(event(instance_id="victim", account="guest-2"))
    collected.flush()
    found = rows(db)
    assert len(found) == store.MOST_OF_AN_ACCOUNT + 2
    assert sum(row["count"] for row in found) == 5001
    assert [row["count"] for row in found if row["instance_id"] is None and row["account"] == "guest-1"] == [
        5000 - store.MOST_OF_AN_ACCOUNT]
    assert any(row["instance_id"] == "victim" for row in found)


def test_many_accounts_are_bounded_too(collected, db):
    for number in range(3000):
        collected.add(event(account=f"guest-{number}"))
    collected.flush()
    found = rows(db)
    assert len(found) == store.MOST + 1
    assert sum(row["count"] for row in found) == 3000


def test_what_the_database_did_not_take_is_written_later(collected, db, monkeypatch):
    collected.add(event())
    with db.writer() as session:
        tables.security_events.drop(session.connection())
    with pytest.raises(Exception, match="security_events"):
        collected.flush()
    collected.add(event(reason="the last"))
    with db.writer() as session:
        tables.security_events.create(session.connection())
    collected.flush()
    assert [(row["count"], row["reason"]) for row in rows(db)] == [(2, "the last")]


def test_the_thread_writes_by_itself_and_goes_on_after_errors(db, conf, monkeypatch, caplog):
    conf.set_override("security_event_interval", 0.1)
    fail = threading.Event()
    fail.set()
    record = models.record

    def broken(session, batches):
        if fail.is_set():
            raise OSError("away\nnow")
        record(session, batches)
    monkeypatch.setattr(models, "record", broken)
    made = store.Store()
    made.add(event())
    time.sleep(0.5)
    fail.clear()
    wait_until(lambda: rows(db))
    assert [row["count"] for row in rows(db)] == [1]
    assert len([text for text in caplog.messages if "not stored now" in text]) == 1


def test_a_forked_worker_gets_a_thread_of_its_own(collected, monkeypatch):
    collected.add(event())
    first = collected._thread
    monkeypatch.setattr(os, "getpid", lambda: -1)
    collected.add(event())
    assert collected._thread is not first


def test_a_process_that_stops_writes_what_it_has(db, conf, monkeypatch):
    conf.set_override("security_event_interval", 3600.0)
    monkeypatch.setattr(security, "_sinks", [])
    monkeypatch.setattr(store, "_store", store.Store())
    store.start()
    store.start()
    security.report("path.refused", "it leaves its place")
    assert rows(db) == []
    store.stop()
    assert [(row["name"], row["count"]) for row in rows(db)] == [("path.refused", 1)]


def test_a_dead_database_keeps_nobody_from_stopping(collected, monkeypatch):
    hanging = threading.Event()
    monkeypatch.setattr(store, "_store", collected)
    monkeypatch.setattr(models, "record", lambda *_: hanging.wait())
    collected.add(event())
    store.stop(seconds=0.2)
    hanging.set()  # comes after stopping: that waited for nothing but its seconds


def test_old_rows_are_forgotten_by_the_clock(db, conf):
    conf.set_override("security_event_rows", 100)
    with db.writer() as session:
        session.execute(tables.security_events.insert(), [
            {"name": "path.refused", "reason": "", "instance_id": "", "account": "", "count": 1,
             "first_seen": time.time() - number, "last_seen": time.time() - number} for number in range(1300)])
    store.forget_old()
    assert len(rows(db)) == 100


def test_memory_stays_bounded_while_the_database_is_away(collected, monkeypatch):
    for window in range(20):
        collected._window_end = 0.0
        for number in range(300):
            collected.add(event(account=f"guest-{window}-{number}"))
    assert len(collected._waiting) <= 2 * store.MOST + len(security.KINDS)
