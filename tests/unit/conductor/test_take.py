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
from trove.instance import health
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


def test_one_that_answers_a_command_is_not_overtaken_by_a_later_one(guests):
    """The later one says nothing of the server, as that of a guest whose clock is behind."""
    now = time.time()
    answer = report(GUEST, sent=now - 2, payload={"service_status": "failed to spawn", "cause": "no room"})
    answer.origin = {"request_id": "req-1"}
    later = report(GUEST, sent=now - 1, payload={"agent_version": "2"})
    manager.Manager().take([report(GUESTS[0]), answer, later, report(GUESTS[1])])
    assert statuses(guests)[GUEST] == "failed to spawn"


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


# What a guest's rows are like before, and the heartbeats that it sends: (task, status, statuses sent with the seconds
# by which they are newer than the last one, payload beside them).
CASES = {
    "usual": (InstanceTasks.NONE, ServiceStatuses.RUNNING, [(1, "running")], {}),
    "another status": (InstanceTasks.NONE, ServiceStatuses.RUNNING, [(1, "shutdown")], {}),
    "no status": (InstanceTasks.NONE, ServiceStatuses.RUNNING, [(1, None)], {"agent_version": None}),
    "facts": (InstanceTasks.NONE, ServiceStatuses.RUNNING, [(1, "running")],
              {"facts": {"access": True, "used": 0.5}, "replication": {"running": True, "lag": 3, "error": None}}),
    "older": (InstanceTasks.NONE, ServiceStatuses.RUNNING, [(-1, "shutdown")], {}),
    "two": (InstanceTasks.NONE, ServiceStatuses.RUNNING, [(1, "shutdown"), (2, "running")], {}),
    "two in disorder": (InstanceTasks.NONE, ServiceStatuses.RUNNING, [(2, "shutdown"), (1, "running")], {}),
    "reboot": (InstanceTasks.REBOOTING, ServiceStatuses.PAUSED, [(1, "running")], {}),
    "deleted status": (InstanceTasks.DELETING, ServiceStatuses.DELETED, [(1, "running")], {}),
    "given up": (InstanceTasks.BUILDING_ERROR_TIMEOUT_GA, ServiceStatuses.FAILED_TIMEOUT_GUESTAGENT,
                 [(1, "running")], {}),
    "late": (InstanceTasks.NONE, ServiceStatuses.FAILED_TIMEOUT_GUESTAGENT, [(1, "running")], {}),
    "failed": (InstanceTasks.BUILDING, ServiceStatuses.BUILDING, [(1, ServiceStatuses.FAILED.description)],
               {"cause": "no room"}),
    "first": (InstanceTasks.BUILDING, ServiceStatuses.NEW, [(None, "building")], {}),
    "gone": (None, ServiceStatuses.RUNNING, [(1, "running")], {}),
}


def _known(session, guest, case, sent):
    """Rows of a guest as of a CASE that has been heard at ``sent``."""
    task, status, beats, _payload = CASES[case]
    session.add(DBInstance(id=guest, name="m", tenant_id="t", datastore_version_id="v",
                           task=task or InstanceTasks.NONE, deleted=task is None))
    session.add(InstanceServiceStatus(instance_id=guest, status=status))
    if beats[0][0] is not None:
        session.execute(tables.conductor_lastseen.insert().values(
            instance_id=guest, method_name="heartbeat", sent=sent))
        session.execute(tables.agent_heartbeats.insert().values(
            id=db_models.new_id(), instance_id=guest, guest_agent_version="0", deleted=False,
            updated_at=db_models.utcnow()))


def _kept(db, guest, sent):
    """All that the conductor keeps of a guest, without ids and times of writing."""
    found = []
    for table in (tables.service_statuses, tables.agent_heartbeats, tables.conductor_lastseen, tables.instance_faults):
        for row in rows(db, table):
            if row["instance_id"] == guest:
                kept = {name: value for name, value in row.items()
                        if name not in ("id", "instance_id", "updated_at", "created")}
                found.append({**kept, "sent": row["sent"] - sent} if "sent" in row else kept)
    return found


def test_a_batch_writes_what_one_report_after_the_other_would(db_each):
    populate(db_each)
    sent, batch = int(time.time()) - 60, []
    one, many = ({case: f"{number:08d}-{kind}-4222-8222-222222222222" for number, case in enumerate(CASES)}
                 for kind in ("1111", "2222"))
    with db_each.writer() as session:
        for case in CASES:
            _known(session, one[case], case, sent)
            _known(session, many[case], case, sent)
    for case, (_task, _status, beats, payload) in CASES.items():
        for step, text in beats:
            given = {"service_status": text, "agent_version": "1", **payload}
            given = {name: value for name, value in given.items() if value is not None}
            manager.Manager().take([report(one[case], sent=sent + (step or 0), payload=given)])
            batch.append(report(many[case], sent=sent + (step or 0), payload=given))
    manager.Manager().take(batch)
    assert all(each.done for each in batch)
    for case in CASES:
        assert _kept(db_each, many[case], sent) == _kept(db_each, one[case], sent), case


def _statements_of(db, reports):
    """How many statements the database is sent for a batch; MariaDB says it itself."""
    engine, seen = db.get_engine(), []

    def asked():
        with engine.connect() as connection:
            return int(connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Questions'").one()[1])

    def note(_connection, _cursor, statement, *_more):
        seen.append(statement)
    event.listen(engine, "before_cursor_execute", note)
    try:
        own = asked() - asked() if engine.dialect.name == "mysql" else 0
        before = asked() if engine.dialect.name == "mysql" else 0
        del seen[:]
        manager.Manager().take(reports)
        return asked() - before + own if engine.dialect.name == "mysql" else len(seen)
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_what_guests_say_of_their_archives_never_goes_back_and_is_written_together(db_each):
    populate(db_each)
    sent, now = int(time.time()) - 60, time.time()
    guests = [f"{number:08d}-3333-4222-8222-222222222222" for number in range(5)]
    archives = {guest: db_models.new_id() for guest in guests}
    kept = {"pieces": 5, "covers": now - 50, "ended": False}
    with db_each.writer() as session:
        for guest in guests:
            _known(session, guest, "usual", sent)
            session.execute(tables.archives.insert().values(id=archives[guest], instance_id=guest, **kept))

    def says(number, pieces, covers, archive=None, state="on"):
        facts = {"archive": {"id": archive or archives[guests[number]], "state": state, "pieces": pieces,
                             "covers": covers}}
        return report(guests[number], sent=sent + 1, payload={"service_status": "running", "facts": facts})
    reports = [says(0, 7, now - 10), says(1, 4, now - 10), says(2, 6, now + 900),
               says(3, 9, now - 10, archives[guests[0]]), says(4, 5, now - 90, state=health.ARCHIVE_ENDED[0])]
    count = _statements_of(db_each, reports)
    assert all(each.done for each in reports)
    found = {row["instance_id"]: {name: row[name] for name in kept} for row in rows(db_each, tables.archives)}
    assert found[guests[0]] == {**kept, "pieces": 7, "covers": pytest.approx(now - 10)}
    assert found[guests[1]] == {**kept, "covers": pytest.approx(now - 50)}  # fewer pieces than were known
    assert found[guests[2]]["pieces"] == 6
    assert found[guests[2]]["covers"] < now + 60  # nothing later than now is covered
    assert found[guests[3]] == {**kept, "covers": pytest.approx(now - 50)}  # it named another guest's archive
    assert found[guests[4]] == {**kept, "covers": pytest.approx(now - 50), "ended": True}
    assert count <= 12


@pytest.mark.parametrize("changing", [False, True])
def test_a_batch_costs_the_same_few_statements_whatever_its_size(db_each, changing):
    populate(db_each)
    sent, found = int(time.time()) - 60, []
    guests = [f"{number:08d}-3333-4222-8222-222222222222" for number in range(200)]
    with db_each.writer() as session:
        for guest in guests:
            _known(session, guest, "usual", sent)
    payload = {"service_status": "running", "agent_version": "0"}
    for step, count in ((1, 100), (2, 200), (3, 100), (4, 200)):
        batch = [report(guest, sent=sent + step, payload={
            **payload, **({"facts": {"used": step + number / 100}} if changing else {})})
            for number, guest in enumerate(guests[:count])]
        found.append(_statements_of(db_each, batch))
        assert all(each.done for each in batch)
    assert found[2] == found[3] <= 10  # at most 0.1 of each of 100
