"""The conductor: what counts of what guests report, in any order, twice, forged, and from several at once."""
import json
import re
import threading
import time

import pytest
import sqlalchemy

from trove.common import crypto, envelope, security
from trove.common.context import TroveContext
from trove.common.instance import ServiceStatuses
from trove.conductor import manager, models
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db import guest_secrets, in_transaction, keys
from trove.db import models as db_models
from trove.db.sqlalchemy import tables
from trove.instance import health
from trove.instance import models as instance_models
from trove.instance.models import DBInstance, InstanceServiceStatus, RootHistory, record_fault, record_root_enabled
from trove.instance.tasks import InstanceTasks

GUEST = "11111111-1111-4111-8111-111111111111"
BACKUP = "22222222-2222-4222-8222-222222222222"
LONG_AGO = db_models.datetime.datetime(2020, 1, 1)


def populate(db, task=InstanceTasks.BUILDING, status=ServiceStatuses.NEW, deleted=False):
    with db.writer() as session:
        session.add(DBDatastore(id="d", name="mysql"))
        session.flush()
        session.add(DBDatastoreVersion(id="v", datastore_id="d", name="8", image_id="i", active=True, manager="mysql"))
        session.flush()
        instance = DBInstance(id=GUEST, name="m1", tenant_id="t", datastore_version_id="v", deleted=deleted)
        instance.task = task
        session.add(instance)
        row = InstanceServiceStatus(instance_id=GUEST)
        row.status = status
        row.updated_at = LONG_AGO
        session.add(row)


@pytest.fixture
def db_populated(db):
    populate(db)
    return db


def send(method, /, sent=None, key=None, instance_id=GUEST, context=None, **args):
    """What a guest does: sign and deliver."""
    sent = time.time() if sent is None else sent
    args["instance_id"] = instance_id
    proof = envelope.sign(key or crypto.guest_key(instance_id), method, args, sent)
    getattr(manager.Manager(), method)(context or TroveContext(overwrite=False), sent=sent, proof=proof, **args)


def heartbeat(text=None, sent=None, version=None, **kwargs):
    payload = {name: value for name, value in (("service_status", text), ("agent_version", version)) if value}
    send("heartbeat", sent, payload=payload, **kwargs)


def status_row(db):
    with db.reader() as session:
        return session.execute(tables.service_statuses.select()).mappings().one()


def rows(db, table):
    with db.reader() as session:
        return session.execute(table.select()).mappings().all()


def test_a_heartbeat_writes_status_text_time_and_version(db_each):
    populate(db_each)
    heartbeat("running", version="1.2.3")
    row = status_row(db_each)
    assert (row["status_id"], row["status_description"]) == (0x01, "running")
    assert row["updated_at"] > LONG_AGO
    heartbeat("blocked")
    assert status_row(db_each)["status_id"] == 0x02
    (agent,) = rows(db_each, tables.agent_heartbeats)
    assert (agent["instance_id"], agent["guest_agent_version"], agent["deleted"]) == (GUEST, "1.2.3", False)


def test_an_empty_payload_is_only_a_sign_of_life(db_each):
    populate(db_each)
    heartbeat()
    row = status_row(db_each)
    assert (row["status_id"], row["updated_at"] > LONG_AGO) == (ServiceStatuses.NEW.code, True)
    assert len(rows(db_each, tables.agent_heartbeats)) == 1


def test_only_what_was_sent_later_counts(db_each):
    populate(db_each)
    now = time.time() - 100
    heartbeat("running", sent=now)
    for text, sent in (("shutdown", now - 0.001), ("crashed", now)):
        heartbeat(text, sent=sent)
        assert status_row(db_each)["status_description"] == "running"
    heartbeat("shutdown", sent=now + 0.001)
    assert status_row(db_each)["status_description"] == "shutdown"


def test_methods_are_ordered_each_for_itself(db_each):
    populate(db_each)
    now = time.time()
    heartbeat("running", sent=now)
    send("report_root", sent=now - 50, user="alice")
    assert rows(db_each, tables.root_enabled_history)[0]["user"] == "alice"


def test_a_clock_that_is_set_back_does_not_silence_a_guest_for_long(db_populated):
    heartbeat("running", sent=time.time() + 7200)
    with db_populated.writer() as session:
        assert models.is_newer(session, GUEST, "heartbeat", time.time() + 6)
        assert not models.is_newer(session, GUEST, "heartbeat", time.time() + 4)


def test_several_conductors_end_with_the_newest(db_each):
    populate(db_each)
    start, now = threading.Barrier(8), time.time() - 10
    broken = []

    def deliver(number):
        start.wait()
        try:
            for step in range(3):
                sent = now + number + step * 0.1
                heartbeat("running" if (number, step) == (7, 2) else "shutdown", sent=sent, version=f"{sent - now:.1f}")
        except Exception as error:
            broken.append(error)

    threads = [threading.Thread(target=deliver, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    assert status_row(db_each)["status_description"] == "running"
    (agent,) = rows(db_each, tables.agent_heartbeats)
    assert agent["guest_agent_version"] == "7.2"
    (seen,) = rows(db_each, tables.conductor_lastseen)
    assert seen["sent"] == now + 7 + 0.2


@pytest.mark.parametrize("payload", [
    {"service_status": "dancing"}, {"service_status": ["running"]}, "running", ["running"],
    {"service_status": "deleted"}, {"service_status": "guestagent error"}, {"service_status": "new"},
    {"service_status": "paused"},
])
def test_what_no_guest_can_say_is_reported_and_changes_nothing(db_populated, caplog, reported, payload):
    send("heartbeat", payload=payload)
    assert status_row(db_populated)["updated_at"] == LONG_AGO
    assert rows(db_populated, tables.conductor_lastseen) == []
    assert [(event.name, event.instance_id) for event in reported] == [("message.malformed", GUEST)]
    assert caplog.records[-1].exc_info is None


@pytest.fixture
def reported(monkeypatch):
    """The security events of the test."""
    seen = []
    monkeypatch.setattr(security, "_sinks", [seen.append])
    return seen


@pytest.mark.parametrize(("event", "call"), [
    ("message.forged", lambda: heartbeat("running", key="a" * 64)),
    ("message.forged", lambda: heartbeat("running", key=crypto.guest_key("another"))),
    ("message.replayed", lambda: heartbeat("running", sent=time.time() - 2 * 86400)),
    ("message.malformed", lambda: manager.Manager().heartbeat(
        None, instance_id=GUEST, payload={"service_status": "running"}, sent=1.0)),
    ("message.malformed", lambda: manager.Manager().heartbeat(
        None, instance_id=GUEST, payload={"service_status": "running"})),
    ("message.malformed", lambda: manager.Manager().heartbeat(None, instance_id=GUEST, sent=10 ** 400, proof="p")),
    ("message.malformed", lambda: manager.Manager().heartbeat(None, instance_id=GUEST, sent=float("nan"), proof="p")),
    ("message.forged", lambda: send("report_root", user="eve", key="a" * 64)),
    ("message.forged", lambda: send("update_backup", backup_id=BACKUP, state="COMPLETED", key="a" * 64)),
])
def test_forged_and_stale_messages_are_dropped_and_reported(db_populated, caplog, reported, event, call):
    call()
    assert status_row(db_populated)["updated_at"] == LONG_AGO
    assert rows(db_populated, tables.conductor_lastseen) == rows(db_populated, tables.root_enabled_history) == []
    assert [(each.name, each.instance_id, each.account) for each in reported] == [(event, GUEST, None)]
    assert caplog.records[-1].exc_info is None


def test_an_event_names_the_account_that_sent_the_message(db_populated, reported):
    context = TroveContext(overwrite=False)
    context.broker_account = "guest-of-the-sender"
    heartbeat("running", key="a" * 64, context=context)
    assert [(event.instance_id, event.account) for event in reported] == [(GUEST, "guest-of-the-sender")]


# What a guest with a good key may still put into its own reports.
_UGLY = "\x1b[2J\r\n2026-11-27 INFO forged\0\u2028\udcff"


@pytest.mark.parametrize(("method", "args", "event"), [
    ("heartbeat", {"payload": {"service_status": _UGLY}}, "message.malformed"),
    ("heartbeat", {"payload": {"service_status": "running", "agent_version": _UGLY}}, None),
    ("heartbeat", {"payload": {"service_status": "failed to spawn", "cause": _UGLY}}, None),
    ("heartbeat", {"payload": {"replication": {"running": False, "error": _UGLY}}}, None),
    ("report_root", {"user": _UGLY}, None),
    ("report_root", {"user": [_UGLY]}, None),
    ("report_spans", {"spans": [_UGLY]}, "message.replayed"),
    ("update_backup", {"backup_id": _UGLY}, "message.malformed"),
    ("update_backup", {"backup_id": [BACKUP]}, "message.malformed"),
    ("update_backup", {"backup_id": BACKUP, "checksum": _UGLY}, "message.malformed"),
    ("update_backup", {"backup_id": BACKUP, "state": [_UGLY]}, "message.malformed"),
    ("update_backup", {"backup_id": BACKUP, "size": 10 ** 400}, "message.malformed"),
    ("update_backup", {"backup_id": BACKUP, "state": "FAILED", "note": _UGLY, "method": "heartbeat"}, None),
])
def test_ugly_texts_neither_raise_nor_reach_a_line(db_each, caplog, reported, method, args, event):
    populate(db_each)
    send(method, **args)
    assert [each.name for each in reported] == ([event] if event else [])
    assert all(each.reason.isprintable() for each in reported)
    assert all(record.exc_info is None for record in caplog.records)


def test_a_report_on_the_backup_of_another_instance_is_an_event(db_populated, reported):
    with db_populated.writer() as session:
        session.execute(tables.backups.insert().values(
            id=BACKUP, name="b", state="BUILDING", instance_id="of somebody else", deleted=False))
    send("update_backup", backup_id=BACKUP, state="COMPLETED")
    assert [(event.name, event.instance_id) for event in reported] == [("message.forged", GUEST)]
    assert rows(db_populated, tables.backups)[0]["state"] == "BUILDING"


def test_a_deleted_or_unknown_instance_is_never_written(db_each):
    populate(db_each, status=ServiceStatuses.DELETED, deleted=True)
    heartbeat("running", version="9")
    send("report_root", user="alice")
    heartbeat("running", instance_id="33333333-3333-4333-8333-333333333333")
    assert status_row(db_each)["status_description"] == "deleted"
    for table in (tables.conductor_lastseen, tables.agent_heartbeats, tables.root_enabled_history):
        assert rows(db_each, table) == []


# What a report of "running" makes of a status that a flow has set.
@pytest.mark.parametrize(("task", "status", "after"), [
    (InstanceTasks.BUILDING, ServiceStatuses.NEW, "running"),
    (InstanceTasks.BUILDING, ServiceStatuses.BUILDING, "running"),
    (InstanceTasks.REBOOTING, ServiceStatuses.PAUSED, "running"),
    (InstanceTasks.DELETING, ServiceStatuses.SHUTDOWN, "running"),
    (InstanceTasks.BUILDING_ERROR_SERVER, ServiceStatuses.FAILED, "running"),
    (InstanceTasks.BUILDING_ERROR_TIMEOUT_GA, ServiceStatuses.FAILED_TIMEOUT_GUESTAGENT, "guestagent error"),
    (InstanceTasks.DELETING_ERROR, ServiceStatuses.FAILED_TIMEOUT_GUESTAGENT, "guestagent error"),
    (InstanceTasks.NONE, ServiceStatuses.FAILED_TIMEOUT_GUESTAGENT, "running"),
    (InstanceTasks.DELETING, ServiceStatuses.DELETED, "deleted"),
])
def test_which_statuses_give_way_to_a_guest(db_each, task, status, after):
    populate(db_each, task=task, status=status)
    heartbeat("running")
    row = status_row(db_each)
    assert row["status_description"] == after
    assert (row["updated_at"] > LONG_AGO) is (status != ServiceStatuses.DELETED)


def test_an_instance_without_a_status_row_gets_one(db_populated):
    with db_populated.writer() as session:
        session.execute(tables.service_statuses.delete())
    heartbeat("running")
    assert status_row(db_populated)["status_id"] == 0x01


def test_root_is_recorded_with_who_enabled_it_first(db_each):
    populate(db_each)
    now = time.time()
    send("report_root", sent=now, user="alice")
    send("report_root", sent=now + 1, user="bob")
    (row,) = rows(db_each, tables.root_enabled_history)
    assert (row["id"], row["user"], row["disabled_at"]) == (GUEST, "alice", None)
    assert row["created"] is not None


def test_a_late_or_replayed_report_does_not_undo_a_disabling(db_each):
    populate(db_each)
    now = time.time()
    send("report_root", sent=now - 100, user="alice")
    disabled = db_models.datetime.datetime.fromtimestamp(int(now - 50), db_models.datetime.UTC).replace(tzinfo=None)
    with db_each.writer() as session:
        session.get(RootHistory, GUEST).disabled_at = disabled
    for sent, user in ((now - 100, "replayed"), (now - 60, "late")):
        send("report_root", sent=sent, user=user)
        (row,) = rows(db_each, tables.root_enabled_history)
        assert (row["user"], row["disabled_at"]) == ("alice", disabled)
    send("report_root", sent=now, user="bob")
    (row,) = rows(db_each, tables.root_enabled_history)
    assert (row["user"], row["disabled_at"]) == ("bob", None)


def test_api_and_conductor_may_note_root_at_the_same_time(db_each):
    populate(db_each)
    start, broken = threading.Barrier(6), []

    @in_transaction
    def note(session, user):
        record_root_enabled(session, GUEST, user)

    def run(number):
        start.wait()
        try:
            note(f"user-{number}")
        except Exception as error:
            broken.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    assert len(rows(db_each, tables.root_enabled_history)) == 1


def add_backup(db, state="NEW", instance_id=GUEST, backup_id=BACKUP):
    with db.writer() as session:
        session.execute(tables.backups.insert().values(
            id=backup_id, name="b", state=state, instance_id=instance_id, tenant_id="t", deleted=False))


def test_a_backup_is_followed_to_its_end_and_not_beyond(db_each):
    populate(db_each)
    add_backup(db_each)
    now = time.time()
    send("update_backup", sent=now, backup_id=BACKUP, state="BUILDING", size=0.25, note="ignored")
    send("update_backup", sent=now + 1, backup_id=BACKUP, state="SAVING", checksum="c" * 32, segments=3,
         uploaded=2 ** 40, success=True)
    send("update_backup", sent=now + 2, backup_id=BACKUP, state="FAILED", checksum="d" * 32, size=7)
    (row,) = rows(db_each, tables.backups)
    assert [row[name] for name in ("state", "size", "checksum", "segments", "uploaded")] == [
        "SAVING", 0.25, "c" * 32, 3, 2 ** 40]


def test_a_guest_does_not_complete_a_backup_and_names_no_object(db_populated):
    add_backup(db_populated, "BUILDING")
    send("update_backup", backup_id=BACKUP, state="COMPLETED", checksum="c" * 32, location="http://s/c/o",
         backup_type="another", extension=".x")
    (row,) = rows(db_populated, tables.backups)
    assert [row[name] for name in ("state", "checksum", "location", "backup_type")] == ["SAVING", "c" * 32, None, None]


def test_the_last_word_on_a_backup_counts_though_the_next_has_begun(db_populated):
    second = BACKUP.replace("2", "4")
    add_backup(db_populated, "BUILDING")
    add_backup(db_populated, "NEW", backup_id=second)
    now = time.time()
    send("update_backup", sent=now + 1, backup_id=second, state="BUILDING")
    send("update_backup", sent=now, backup_id=BACKUP, state="SAVING")
    assert {row["id"]: row["state"] for row in rows(db_populated, tables.backups)} == {
        BACKUP: "SAVING", second: "BUILDING"}


def test_a_guest_cannot_write_the_backup_of_another(db_populated, caplog):
    add_backup(db_populated, instance_id="somebody else")
    send("update_backup", backup_id=BACKUP, state="COMPLETED")
    assert rows(db_populated, tables.backups)[0]["state"] == "NEW"
    assert "is not taking the backup" in caplog.text


def test_reports_on_backups_that_are_not_there_leave_no_rows(db_each):
    populate(db_each)
    add_backup(db_each, "COMPLETED")
    for number in range(5):
        send("update_backup", backup_id=f"{number}{BACKUP[1:]}", state="BUILDING")
    assert rows(db_each, tables.conductor_lastseen) == []


@pytest.mark.parametrize("backup_id", ["", "x" * 36, f"{BACKUP}\n", BACKUP[:-1], 7, None, [BACKUP], {"id": BACKUP}])
def test_what_is_not_the_id_of_a_backup_is_dropped_on_one_line(db_populated, caplog, backup_id):
    add_backup(db_populated)
    send("update_backup", backup_id=backup_id, state="BUILDING")
    assert rows(db_populated, tables.backups)[0]["state"] == "NEW"
    assert "backup_id must be a UUID" in caplog.records[-1].message and "\n" not in caplog.records[-1].message


@pytest.mark.parametrize("fields", [
    {"state": "DELETED"}, {"state": ["NEW"]}, {"size": -1}, {"size": "1"}, {"size": True}, {"size": 1e9},
    {"checksum": "c" * 33}, {"checksum": "C" * 32}, {"checksum": f"{'c' * 32}\n"}, {"checksum": 7},
    {"segments": 0}, {"segments": 10001}, {"segments": True}, {"segments": "1"}, {"uploaded": -1},
    {"uploaded": 2 ** 60}, {"uploaded": 1.5},
])
def test_impossible_fields_of_a_backup_are_named(db_populated, caplog, fields):
    add_backup(db_populated)
    send("update_backup", backup_id=BACKUP, **fields)
    (row,) = rows(db_populated, tables.backups)
    assert [row[name] for name in ("state", "size", "checksum", "segments", "uploaded")] == ["NEW", *[None] * 4]
    assert next(iter(fields)) in caplog.records[-1].message


def test_forgetting_an_instance_leaves_no_sign_of_life(db_each):
    populate(db_each)
    heartbeat("running", version="1")
    with db_each.writer() as session:
        instance_models.forget_guest(session, GUEST)
    assert rows(db_each, tables.conductor_lastseen) == rows(db_each, tables.agent_heartbeats) == []


def test_a_heartbeat_costs_six_statements(db_populated, statements):
    heartbeat("running", version="1")
    statements.clear()
    heartbeat("running", version="1")
    assert len(statements) == 6  # the first asks whether its key is valid


def test_a_lost_race_is_repeated(db_populated, monkeypatch):
    calls = []
    real = models.record_sign_of_life

    def lose_twice(session, *args):
        calls.append(1)
        if len(calls) < 3:
            original = sqlalchemy.exc.OperationalError("UPDATE", {}, None)
            original.orig = type("Deadlock", (Exception,), {})(1213, "Deadlock found")
            raise original
        real(session, *args)

    monkeypatch.setattr(models, "record_sign_of_life", lose_twice)
    heartbeat("running")
    assert len(calls) == 3
    assert status_row(db_populated)["status_description"] == "running"


HEALTH = {"running": True, "lag": 2, "error": None}


@pytest.mark.parametrize(("given", "kept"), [
    (None, None), (HEALTH, HEALTH), ({**HEALTH, "more": 1}, HEALTH), ({"running": False}, {
        "running": False, "lag": None, "error": None}),
    ({**HEALTH, "error": "x" * 5000}, {**HEALTH, "error": "x" * 1000 + "..."}),
    ({**HEALTH, "error": "\x1b[2Jbad\0\n"}, {**HEALTH, "error": "\\x1b[2Jbad\\x00\\n"})])
def test_what_replicas_may_say_of_themselves(given, kept):
    assert models.replication_health(given) == kept


@pytest.mark.parametrize("given", [
    "well", [], {}, {"running": 1}, {**HEALTH, "lag": -1}, {**HEALTH, "lag": True}, {**HEALTH, "lag": 2 ** 31},
    {**HEALTH, "lag": "2"}, {**HEALTH, "error": 7}])
def test_what_they_may_not(given):
    with pytest.raises(ValueError, match="replication"):
        models.replication_health(given)


@pytest.mark.parametrize(("ahead", "behind", "fault"), [
    (0, None, None), (100, None, None), (-5000, None, None), (130, None, "13[01] s ahead"), (0, 500, "500 s behind"),
    (0, True, None), (0, "5", None), (0, -5, None), (0, 1e308, None), (0, 10 ** 400, None)])
def test_a_clock_by_which_a_guest_refuses_commands_is_its_fault_while_it_is_wrong(db_populated, ahead, behind, fault,
                                                                                  caplog):
    for number in range(2):
        payload = {} if behind is None else {"seconds_behind": behind}
        send("heartbeat", time.time() + ahead + number / 1000, payload=payload)
    found = list(health.problems(facts_row(db_populated)).values())
    assert len(found) == (1 if fault else 0)
    if fault:
        assert re.fullmatch(rf"The clock of the guest is {fault}. It refuses commands until the clock is set right.",
                            found[0])
        send("heartbeat", time.time() + 10, payload={})  # later than what was remembered of the wrong clock
        assert not health.problems(facts_row(db_populated))
    assert sum("The clock of the guest" in record.getMessage() for record in caplog.records) == (1 if fault else 0)
    assert not rows(db_populated, tables.instance_faults)


def facts_row(db):
    """The facts that are kept of the guest."""
    [row] = rows(db, tables.agent_heartbeats)
    return json.loads(row["facts"]) if row["facts"] else {}


def test_a_problem_is_kept_with_its_beginning_and_goes_away_with_its_cause(db_populated, caplog):
    for number in range(3):
        send("heartbeat", time.time() + number / 1000, payload={"facts": {"access": False, "repairs": 0}})
    began = facts_row(db_populated)["since"]["access"]
    assert abs(began - time.time()) < 60
    send("heartbeat", payload={"facts": {"volume_full": False}}, sent=time.time() + 1)
    assert facts_row(db_populated)["since"] == {"access": began}, "what is not told now stays"
    send("heartbeat", payload={"facts": {"access": True, "repairs": 1}}, sent=time.time() + 2)
    assert facts_row(db_populated) == {"access": True, "repairs": 1, "volume_full": False, "since": {}}
    messages = [record.getMessage() for record in caplog.records]
    assert sum("no access" in message for message in messages) == 1
    assert sum("'access' is over" in message for message in messages) == 1
    assert sum("damaged and repaired" in message for message in messages) == 1


@pytest.mark.parametrize(("given", "kept"), [
    (None, {}), ({}, {}), ({"access": True, "more": "x" * 9000}, {"access": True}),
    ({"access": False, "repairs": 3, "binary_log": "failed", "follows": True, "volume_full": False},) * 2])
def test_what_guests_may_say_of_their_health(given, kept):
    assert models.checked_facts(given) == kept


@pytest.mark.parametrize("given", [
    "well", [], {"access": 1}, {"access": None}, {"follows": "yes"}, {"volume_full": 0}, {"saves": 1},
    {"repairs": True}, {"repairs": -1}, {"repairs": 2 ** 31}, {"repairs": 1.5}, {"binary_log": "maybe"},
    {"binary_log": []},
    {"archive": "on"}, {"archive": {}}, {"archive": {"state": "fine"}}])
def test_what_they_may_not_say_of_it(given, db_populated, caplog):
    with pytest.raises(ValueError, match="facts"):
        models.checked_facts(given)
    send("heartbeat", payload={"facts": given})
    assert not rows(db_populated, tables.agent_heartbeats)
    assert "ropped heartbeat" in caplog.text


@pytest.mark.parametrize("changes", [
    {"id": "x" * 36}, {"id": None}, {"pieces": -1}, {"pieces": 10 ** 8 + 1}, {"pieces": 1.0}, {"pieces": True},
    {"covers": -1}, {"covers": "now"}, {"covers": 2 ** 33}, {"covers": None}])
def test_what_they_may_not_say_of_their_archives(changes, db_populated):
    given = {"id": db_models.new_id(), "state": "on", "pieces": 1, "covers": 5.5}
    assert models.checked_archive({"archive": given}) == {key: given[key] for key in ("id", "pieces", "covers")}
    with pytest.raises(ValueError, match="facts.archive"):
        models.checked_archive({"archive": {**given, **changes}})
    with pytest.raises(ValueError, match="covers"):
        models.checked_archive({"archive": {**given, "covers": float("nan")}})
    send("heartbeat", payload={"facts": {"archive": {**given, **changes}}})
    assert not rows(db_populated, tables.agent_heartbeats)


def test_of_the_faults_that_a_guest_tells_the_newest_is_kept(db_each):
    populate(db_each)
    with db_each.writer() as session:
        record_fault(session, GUEST, "of an operation", "server")
    now = time.time()
    for number in range(4):
        payload = {"service_status": "failed to spawn", "cause": f"cause {number}"}
        send("heartbeat", now + number / 1000, payload=payload)
    found = sorted(row["message"] for row in rows(db_each, tables.instance_faults))
    assert found == ["cause 3", "of an operation"]


def test_the_first_report_with_a_new_key_ends_the_old_one(db_populated):
    def counts(generation):
        with db_populated.writer() as session:
            session.execute(tables.agent_heartbeats.delete())
        heartbeat("running", key=crypto.guest_key(GUEST, generation))
        return bool(rows(db_populated, tables.agent_heartbeats))

    assert [counts(0), counts(1)] == [True, False]
    with db_populated.writer() as session:
        guest_secrets.renew(session, GUEST)
    assert [counts(0), counts(2), counts(0), counts(1)] == [True, False, True, True]
    assert [counts(0), counts(1)] == [False, True]


# Keys of the deployment with several versions: which proof counts for a guest whose row names a key.
OLD, NEW = "o" * 40, "n" * 40


@pytest.mark.parametrize(("named", "signed_with", "believed"), [
    (None, OLD, True), (None, NEW, True), (OLD, OLD, True), (OLD, NEW, False), (NEW, NEW, True), (NEW, OLD, False),
    (None, "x" * 40, False),
])
def test_which_key_a_guest_is_believed_with(db_each, conf, reported, named, signed_with, believed):
    populate(db_each)
    with db_each.writer() as session:
        session.execute(tables.instances.update().values(guest_key_id=named and crypto.key_id(named)))
    conf.set_override("operation_key", [signed_with])
    key = crypto.guest_key(GUEST)
    conf.set_override("operation_key", [NEW, OLD])
    heartbeat("running", key=key)
    assert (status_row(db_each)["status_description"] == "running") is believed
    assert [event.name for event in reported] == ([] if believed else ["message.forged"])


def test_a_forged_message_costs_the_database_nothing(db, conf, statements):
    conf.set_override("operation_key", [NEW, OLD])
    heartbeat("running", key="a" * 64)
    assert statements == []


def test_new_secrets_of_a_guest_are_made_from_the_first_key(db_each, conf, reported):
    """The rotation of a guest's secrets ends its need for the old operation_key."""
    def counts(operation_key, generation):
        with db_each.writer() as session:
            session.execute(tables.agent_heartbeats.delete())
        conf.set_override("operation_key", [operation_key])
        key = crypto.guest_key(GUEST, generation)
        conf.set_override("operation_key", [NEW, OLD])
        heartbeat("running", key=key)
        return bool(rows(db_each, tables.agent_heartbeats))

    populate(db_each)
    with db_each.writer() as session:
        session.execute(tables.instances.update().values(guest_key_id=crypto.key_id(OLD)))
    conf.set_override("operation_key", [NEW, OLD])
    with db_each.writer() as session:
        guest_secrets.renew(session, GUEST)
    assert keys.uses()[0] == {crypto.key_id(OLD): 1, crypto.key_id(NEW): 1}
    assert [counts(OLD, 0), counts(NEW, 0), counts(OLD, 1)] == [True, False, False]
    assert [counts(NEW, 1), counts(OLD, 0), counts(OLD, 1), counts(NEW, 1)] == [True, False, False, True]
    assert keys.uses()[0] == {crypto.key_id(NEW): 1}
    conf.set_override("operation_key", [NEW])
    assert keys.guest_key(GUEST, 1) == crypto.guest_key(GUEST, 1)
    assert {event.name for event in reported} == {"message.forged"}


def test_what_is_kept_of_reports_that_count_once_is_forgotten_with_their_age(conf, db):
    conf.set_override("message_max_age", 600)
    with db.writer() as session:
        for sent, now, first in ((0, 0, True), (0, 0, False), (0, 600, False), (601, 601, True)):
            assert models.is_first(session, GUEST, "k" * 64 if sent == 0 else "l" * 64, sent, now) is first
        models.is_newer(session, GUEST, "heartbeat", 5)
        rows = session.execute(sqlalchemy.select(tables.conductor_lastseen.c.method_name)).scalars().all()
    assert sorted(rows) == ["heartbeat", "once:" + "l" * 31]
