"""The outbox is emptied in order, by one task manager at a time; neither bus nor process loses anything of it."""
import types

import pytest
import sqlalchemy

from trove import rpc
from trove.db.sqlalchemy import tables
from trove.notification import models, sender


@pytest.fixture
def bus(monkeypatch):
    """What was sent; ``broken``: how many messages it still takes before it refuses."""
    class Bus(list):
        takes = 1_000_000

        def notify(self, publisher, event_type, payload):
            if len(self) >= self.takes:
                raise rpc.DeliveryFailure("no broker")
            self.append((event_type, payload["n"]))
    bus = Bus()
    monkeypatch.setattr(sender.bus, "notify", bus.notify)
    return bus


def fill(db, count):
    with db.writer() as session:
        for number in range(count):
            models.put(session, "e", {"n": number})


def waiting(db):
    with db.reader() as session:
        return session.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(tables.notifications)).scalar()


def test_all_are_sent_in_order_once(db_each, bus):
    fill(db_each, 120)
    sender.send_waiting()
    assert bus == [("e", number) for number in range(120)]
    assert waiting(db_each) == 0


def test_what_the_bus_does_not_take_waits(db_each, bus):
    fill(db_each, 10)
    bus.takes = 3
    sender.send_waiting()
    assert waiting(db_each) == 7
    bus.takes = 1_000_000
    sender.send_waiting()
    assert bus == [("e", number) for number in range(10)]


def test_without_a_driver_what_waits_is_dropped(db, conf):
    conf.set_override("transport_url", "fake://")
    fill(db, 3)
    sender.send_waiting()
    assert waiting(db) == 0
    sender.bus.cleanup()


def test_one_at_a_time_sends(db_each, bus):
    fill(db_each, 3)
    with db_each.writer() as session:
        taken = models.take(session, 2)
    assert [payload["n"] for *_, payload in taken] == [0, 1]
    sender.send_waiting()
    assert bus == []


def test_an_older_one_that_is_committed_late_lets_nobody_send_what_another_has_taken(db_each, bus):
    fill(db_each, 3)
    with db_each.writer() as session:
        first = session.execute(sqlalchemy.select(tables.notifications).order_by(tables.notifications.c.id)).first()
        models.remove(session, [first.id])
        models.take(session, 2)
        session.execute(tables.notifications.insert().values(**{**first._mapping, "lease_until": None}))
    sender.send_waiting()
    assert bus == []


def test_a_slow_bus_is_given_no_more_than_the_lease_covers(db_each, bus, monkeypatch):
    fill(db_each, 3)
    clock = iter((0, 1, models.LEASE))
    monkeypatch.setattr(sender, "time", types.SimpleNamespace(monotonic=lambda: next(clock, models.LEASE)))
    sender.send_waiting()
    assert bus == [("e", 0)]
    assert waiting(db_each) == 2
    sender.send_waiting()
    assert bus == [("e", 0), ("e", 1), ("e", 2)]


def test_what_a_dead_sender_took_is_sent_by_another(db_each, bus, monkeypatch):
    fill(db_each, 3)
    with monkeypatch.context() as past, db_each.writer() as session:
        past.setattr(models, "LEASE", -1)
        models.take(session, 2)
    sender.send_waiting()
    assert bus == [("e", 0), ("e", 1), ("e", 2)]


def test_a_run_by_the_clock_is_one_process_s(db_each):
    with db_each.writer() as session:
        assert models.last_run(session, "exists") is None
        assert models.claim_run(session, "exists", None, 10.5)
        assert not models.claim_run(session, "exists", None, 11.0)
    with db_each.writer() as session:
        assert models.last_run(session, "exists") == 10.5
        assert models.claim_run(session, "exists", 10.5, 20.25)
        assert not models.claim_run(session, "exists", 10.5, 20.5)
