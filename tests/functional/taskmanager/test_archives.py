"""Archives of logs as the control plane keeps them: begun with backups, renewed by the clock, deleted when unneeded."""
import pytest
import sqlalchemy

from tests.fakes import agent
from tests.fakes.agent import GUESTS
from trove.backup import archive_store, archives, models
from trove.common import exception, object_store
from trove.conductor import models as conductor_models
from trove.db import models as db_models
from trove.db.sqlalchemy import tables
from trove.taskmanager import archiving
from trove.taskmanager.steps import archive as steps


@pytest.fixture(autouse=True)
def archiving_guests(world):
    world.archive()


def rows(world):
    with world.db.reader() as session:
        return session.query(archives.DBArchive).all()


def backed_up(world, instance_id=None):
    """A backup that was taken: (instance id, its row)."""
    instance_id = instance_id or world.built()
    backup_id, operation_id = world.backup(instance_id)
    world.run(operation_id)
    with world.db.reader() as session:
        return instance_id, session.get(models.DBBackup, backup_id)


def report(world, instance_id, archive_id, pieces, covers, state="on"):
    """What a guest says with a heartbeat."""
    given = {"archive": {"id": archive_id, "state": state, "pieces": pieces, "covers": covers}}
    beat = conductor_models.Heartbeat(
        instance_id, None, facts=conductor_models.checked_facts(given), archive=conductor_models.checked_archive(given))
    with world.db.writer() as session:
        conductor_models.record_heartbeat(session, beat)


def put(archive_id, number):
    """A piece as a guest stores it."""
    where = archive_store.place(archive_id)
    object_store.service_account().put(where.container, where.segment(number), {})


def test_the_first_backup_begins_it_and_the_next_goes_on(world):
    instance_id, first = backed_up(world)
    [archive] = rows(world)
    assert (first.archive_id, first.archive_piece, first.state) == (archive.id, 0, "COMPLETED")
    assert first.archive_since is not None
    assert archive.signed > 0
    [given] = [call["archive"] for call in GUESTS.called("begin_archive")]
    assert (given["id"], given["pieces"], len(given["key"])) == (archive.id, 0, 64)
    GUESTS.archives[instance_id][1] = 7
    _, second = backed_up(world, instance_id)
    assert (second.archive_id, second.archive_piece) == (archive.id, 7)
    assert len(rows(world)) == 1


@pytest.mark.parametrize(("error", "ends"), [
    (exception.GuestError(original="no log"), True), (exception.GuestTimeout(), False)])
def test_a_backup_does_without_when_the_guest_cannot(world, error, ends):
    """A guest that does not answer may fill the archive all the same: the next backup goes on with it."""
    def answer(_instance_id, method):
        if method == "begin_archive":
            raise error
    GUESTS.answer = answer
    instance_id, first = backed_up(world)
    assert (first.state, first.archive_id, first.archive_since) == ("COMPLETED", None, None)
    GUESTS.answer = lambda *args: None
    _, second = backed_up(world, instance_id)
    running = next(row for row in rows(world) if not row.ended)
    assert [row.ended for row in rows(world)].count(True) == ends
    assert (len(rows(world)), second.archive_id) == (1 + ends, running.id)


def test_a_backup_does_without_when_the_guest_names_no_archive(world, monkeypatch):
    monkeypatch.setattr(agent.FakeAgent, "begin_archive", lambda *args: {"next": 3})
    _, first = backed_up(world)
    assert (first.state, first.archive_id, first.archive_since) == ("COMPLETED", None, None)
    assert [row.ended for row in rows(world)] == [True]


def test_numbers_never_go_back_and_only_the_own_archive_counts(world):
    instance_id, _ = backed_up(world)
    other_id, other = backed_up(world)
    now = db_models.utcnow().timestamp()
    archive_id = next(row.id for row in rows(world) if row.instance_id == instance_id)

    def told():
        with world.db.reader() as session:
            row = session.get(archives.DBArchive, archive_id)
            return row.pieces, row.covers, row.ended
    report(world, instance_id, archive_id, 3, 1000.0)
    assert told() == (3, 1000.0, False)
    for pieces, covers in ((2, 2000.0), (4, 900.0)):
        report(world, instance_id, archive_id, pieces, covers)
        assert told() == (3, 1000.0, False)
    report(world, other_id, archive_id, 9, 2000.0, "gap")
    assert told() == (3, 1000.0, False)
    report(world, instance_id, archive_id, 5, now + 10 ** 8)
    pieces, covers, _ = told()
    assert pieces == 5
    assert covers < now + 10 ** 6
    report(world, instance_id, archive_id, 0, 0, "gap")
    assert told() == (5, covers, True)
    report(world, instance_id, archive_id, 6, covers + 1)
    assert told()[0] == 5
    assert other.archive_id != archive_id


def test_a_guest_gets_new_signatures_in_time(world, conf):
    instance_id, _ = backed_up(world)
    world.report(instance_id)
    archiving.look_at_archives()
    assert not GUESTS.called("renew_archive")
    with world.db.writer() as session:
        session.execute(sqlalchemy.update(tables.archives).values(signed=1.0))
    archiving.look_at_archives()
    archiving.look_at_archives()
    [call] = GUESTS.called("renew_archive")
    assert call["archive"]["storage"]["PUT"]
    [row] = rows(world)
    assert row.signed > 1.0


def test_a_silent_guest_is_not_asked(world):
    backed_up(world)
    with world.db.writer() as session:
        session.execute(sqlalchemy.update(tables.archives).values(signed=1.0))
        session.execute(sqlalchemy.update(tables.agent_heartbeats).values(updated_at=None))
    archiving.look_at_archives()
    assert not GUESTS.called("renew_archive")


def test_pieces_before_the_oldest_backup_go_and_at_last_all(world):
    instance_id, first = backed_up(world)
    archive_id = first.archive_id
    GUESTS.archives[instance_id][1] = 2
    _, second = backed_up(world, instance_id)
    for number in range(4):
        put(archive_id, number)
    report(world, instance_id, archive_id, 4, 1000.0)
    archiving.look_at_archives()
    assert archive_store.find_missing(archive_id, 0, 4) is None
    world.run(world.delete_backup(first.id))
    archiving.look_at_archives()
    assert archive_store.find_missing(archive_id, 0, 4) == 0
    assert archive_store.find_missing(archive_id, 2, 4) is None
    assert [row.oldest for row in rows(world)] == [2]
    world.run(world.delete(instance_id))
    archiving.look_at_archives()
    [row] = rows(world)
    assert (row.ended, row.deleted) == (True, False)
    world.run(world.delete_backup(second.id))
    archiving.look_at_archives()
    assert [row.deleted for row in rows(world)] == [True]
    assert world.objects() == []


def test_without_backups_the_guest_is_told_to_stop(world):
    _, first = backed_up(world)
    world.run(world.delete_backup(first.id))
    archiving.look_at_archives()
    assert GUESTS.called("renew_archive") == [{"archive_id": first.archive_id, "archive": None}]
    assert world.objects() == []


def test_one_that_cannot_be_deleted_keeps_no_other(world, monkeypatch, caplog):
    ids = []
    for _ in range(3):
        instance_id, first = backed_up(world)
        ids.append(first.archive_id)
        world.run(world.delete(instance_id))
        world.run(world.delete_backup(first.id))
    delete = archive_store.delete

    def refuse(archive_id, end):
        if archive_id == min(ids):
            raise object_store.Error("forbidden", http_status=403)
        return delete(archive_id, end)
    monkeypatch.setattr(archive_store, "delete", refuse)
    archiving.look_at_archives()
    assert {row.id for row in rows(world) if not row.deleted} == {min(ids)}
    assert f"archive {min(ids)}: it could not be tidied up" in caplog.text


def test_all_have_their_turn_when_one_takes_all_the_time(world, monkeypatch):
    ids = []
    for _ in range(3):
        instance_id, first = backed_up(world)
        ids.append(first.archive_id)
        world.run(world.delete(instance_id))
        world.run(world.delete_backup(first.id))
    asked = []
    monkeypatch.setattr(archive_store, "delete", lambda archive_id, end: asked.append(archive_id))
    monkeypatch.setattr(archiving, "_SLICE", -1.0)
    for begin in ("", *sorted(ids)):
        monkeypatch.setattr(archiving.db_models, "new_id", lambda begin=begin: begin)
        archiving.look_at_archives()
    assert asked == [*sorted(ids), min(ids)]


def test_one_that_ends_while_its_guest_should_be_signed_stays_ended(world, monkeypatch):
    instance_id, first = backed_up(world)
    world.report(instance_id)
    with world.db.writer() as session:
        session.execute(sqlalchemy.update(tables.archives).values(signed=1.0))
    [due] = archiving._due()
    world.run(world.delete_backup(first.id))
    with monkeypatch.context() as patch:  # another task manager is faster
        patch.setattr(archiving, "_due", list)
        archiving.look_at_archives()
    archiving._renew(due)
    assert GUESTS.called("renew_archive") == [{"archive_id": first.archive_id, "archive": None}]
    assert world.objects() == []
    with pytest.raises(object_store.Error):
        object_store.service_account().list(archive_store.place(first.archive_id).container)


def test_a_restore_gets_what_it_needs(world):
    instance_id, first = backed_up(world)
    for number in range(3):
        put(first.archive_id, number)
    report(world, instance_id, first.archive_id, 3, 1000.0)
    point = {"time": 5, "archive_id": first.archive_id, "first": 0, "count": 3}
    restored, operation_id = world.create(backup_id=first.id, point=point)
    world.run(operation_id)
    info = next(call["backup_info"] for each, method, call in GUESTS.commands
                if (each, method) == (restored, "prepare"))["archive"]
    assert (info["id"], info["first"], info["count"], info["point"]) == (first.archive_id, 0, 3, 5)
    assert info["storage"]["GET"]
    assert info["key"] == GUESTS.called("begin_archive")[0]["archive"]["key"]
    where = archive_store.place(first.archive_id)
    object_store.service_account().delete(where.container, where.segment(1))
    with world.db.reader() as session, pytest.raises(exception.CloudError, match="piece 1 of the archive"):
        steps.restore_info(session, point)
