"""Batches of reports: written in one transaction, each judged by itself, none able to stop the others."""
import time

import pytest
from sqlalchemy import event, exc

from tests.unit.conductor.test_conductor import GUEST, populate, rows
from trove.common import crypto, envelope, security
from trove.common.instance import ServiceStatuses
from trove.conductor import intake, manager, models
from trove.db import guest_secrets
from trove.db import models as db_models
from trove.db.sqlalchemy import session as db_session
from trove.db.sqlalchemy import tables
from trove.instance.models import DBInstance, InstanceServiceStatus
from trove.instance.tasks import InstanceTasks

GUESTS = [f"{number:08d}-2222-4222-8222-222222222222" for number in range(20)]


@pytest.fixture
def guests(db):
    populate(db)
    with db.writer() as session:
        for guest in GUESTS:
            session.add(DBInstance(id=guest, name="m", tenant_id="t", datastore_version_id="v",
                                   task=InstanceTasks.NONE))
            session.add(InstanceServiceStatus(id=db_models.new_id(), instance_id=guest, status=ServiceStatuses.NEW))
    return db


@pytest.fixture
def events(monkeypatch):
    found = []
    monkeypatch.setattr(security, "_sinks", [found.append])
    return found


def report(instance_id, method="heartbeat", key=None, sent=None, **args):
    sent = time.time() if sent is None else sent
    args = {"instance_id": instance_id, **(args or {"payload": {"service_status": "running", "agent_version": "1"}})}
    proof = envelope.sign(key or crypto.guest_key(instance_id), method, args, sent)
    return intake.Report(method, {**args, "sent": sent, "proof": proof}, queue_of=instance_id)


def statuses(db):
    return {row["instance_id"]: row["status_description"] for row in rows(db, tables.service_statuses)}


def test_the_heartbeats_of_many_guests_are_read_and_written_at_once(guests):
    begun = []
    reports = [report(guest) for guest in GUESTS]
    engine = db_session.get_engine()

    def count(_connection):
        begun.append(1)
    event.listen(engine, "begin", count)
    try:
        manager.Manager().take(reports)
    finally:
        event.remove(engine, "begin", count)
    assert len(begun) == 2
    assert all(each.done for each in reports)
    assert {statuses(guests)[guest] for guest in GUESTS} == {"running"}


def test_of_several_heartbeats_of_one_guest_in_a_batch_the_newest_counts(guests):
    now = time.time()
    reports = [report(GUEST, sent=now + step, payload={"service_status": text})
               for step, text in ((-3, "shutdown"), (-1, "running"), (-2, "crashed"))]
    manager.Manager().take(reports)
    assert statuses(guests)[GUEST] == "running"
    assert len(rows(guests, tables.agent_heartbeats)) == 1


def test_the_first_heartbeat_with_a_new_key_ends_the_old_one_within_the_batch(guests, events):
    with guests.writer() as session:
        assert guest_secrets.renew(session, GUEST) == 1
    now, new = time.time(), crypto.guest_key(GUEST, 1)
    reports = [report(GUEST, sent=now - 3), report(GUESTS[0]), report(GUEST, key=new, sent=now - 2),
               report(GUEST, sent=now - 1, payload={"service_status": "crashed"})]
    manager.Manager().take(reports)
    assert all(each.done for each in reports)
    assert [found.name for found in events] == ["message.forged"]
    assert statuses(guests)[GUEST] == "running"
    with guests.reader() as session:
        assert guest_secrets.generations(session, GUEST) == (1, None)


@pytest.mark.parametrize(("wrong", "kind"), [
    (lambda: report(GUEST, key="a" * 64), "message.forged"),
    (lambda: report(GUEST, "nothing", a=1), "message.malformed"),
    (lambda: report(GUEST, "take", reports=[]), "message.malformed"),
    (lambda: intake.Report("heartbeat", {"instance_id": 5}), "message.malformed"),
    (lambda: intake.Report("heartbeat", {"instance_id": GUEST, "method": "x", "context": 1, "self": 2}),
     "message.malformed"),
])
def test_a_wrong_one_is_reported_and_the_others_count(guests, events, wrong, kind):
    reports = [report(GUESTS[0]), wrong(), report(GUESTS[1])]
    manager.Manager().take(reports)
    assert all(each.done for each in reports)
    assert [found.name for found in events] == [kind]
    assert [statuses(guests)[guest] for guest in (GUEST, *GUESTS[:2])] == ["new", "running", "running"]


def test_one_that_cannot_be_worked_on_is_dropped_alone(guests, monkeypatch, caplog):
    write = models.record_status

    def refuse(session, instance_id, status=None):
        if instance_id == GUESTS[1]:
            raise ZeroDivisionError
        return write(session, instance_id, status)
    monkeypatch.setattr(models, "record_status", refuse)
    reports = [report(guest) for guest in GUESTS[:3]] + [report(GUEST, "heartbeat", unknown=1)]
    manager.Manager().take(reports)
    assert all(each.done for each in reports)
    assert [statuses(guests)[guest] for guest in GUESTS[:3]] == ["running", "new", "running"]
    assert caplog.text.count("it cannot be worked on") == 1


def test_while_the_database_is_away_reports_are_kept(guests, monkeypatch):
    def away(*_args):
        raise exc.OperationalError("SELECT", {}, Exception("away"))
    reports = [report(guest) for guest in GUESTS[:2]]
    with monkeypatch.context() as patched:
        patched.setattr(models, "is_live", away)
        patched.setattr(models, "ask", away)
        for _ in range(10):
            with pytest.raises(exc.OperationalError):
                manager.Manager().take(reports)
    assert not any(each.done for each in reports)
    manager.Manager().take(reports)
    assert all(each.done for each in reports)
    assert [statuses(guests)[guest] for guest in GUESTS[:2]] == ["running", "running"]


def test_what_the_database_refuses_again_and_again_is_dropped(guests, monkeypatch):
    def refuse(*_args):
        raise exc.OperationalError("UPDATE", {}, Exception("a wrong value"))
    monkeypatch.setattr(models, "is_live", refuse)
    reports, tries = [report(GUESTS[0])], 0
    while not reports[0].done:
        tries += 1
        try:
            manager.Manager().take(reports)
        except exc.OperationalError:
            assert tries < 5
    assert tries == 5
