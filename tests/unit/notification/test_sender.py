"""The outbox is emptied in order, by one task manager at a time; neither bus nor process loses anything of it."""
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
    monkeypatch.setattr(rpc, "notify", bus.notify)
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


def test_one_at_a_time_sends(db_each, bus):
    fill(db_each, 3)
    with db_each.writer() as session:
        taken = models.take(session, 2)
    assert [payload["n"] for *_, payload in taken] == [0, 1]
    sender.send_waiting()
    assert bus == []


def test_what_a_dead_sender_took_is_sent_by_another(db_each, bus, monkeypatch):
    fill(db_each, 3)
    monkeypatch.setattr(models, "LEASE", -1)
    with db_each.writer() as session:
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
