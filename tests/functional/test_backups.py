"""/backups and restorePoint: the conversations and refusals."""
import datetime

import pytest

from tests.fakes import swift
from tests.functional.conftest import check_fault
from tests.functional.world import UNKNOWN, create, create_active, create_body
from trove.backup import archive_store, archives
from trove.backup.models import DBBackup
from trove.common.instance import ServiceStatuses
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations

CHECKSUM = "0123456789abcdef0123456789abcdef"


def body(instance_id, **more):
    return {"backup": {"instance": instance_id, "name": "b1", **more}}


def end_backup(world, backup_id, state="COMPLETED", error=None, **columns):
    """The task manager has ended the operation on a backup."""
    with world.db.writer() as session:
        for operation in operations.live_for(session, "backup", backup_id):
            operations.claim(session, operation.id, "test", 30)
            operations.update_held(session, operation.id, "test", **operations.end_values(operations.DONE, error))
        row = session.get(DBBackup, backup_id)
        row.state = state
        if state == "COMPLETED":
            row.location = f"http://swift/v1/AUTH_s/database_backups/{backup_id}.xbstream"
            row.checksum, row.size = CHECKSUM, 0.5
            swift.ETAGS[f"{backup_id}.xbstream"] = CHECKSUM
        for name, value in columns.items():
            setattr(row, name, value)


def take(world, caller, instance_id, **more):
    """A backup that is COMPLETED: its id."""
    backup_id = caller.post("/backups", body(instance_id, **more), status=202).json["backup"]["id"]
    end_backup(world, backup_id)
    return backup_id


@pytest.fixture
def instance_id(world, alice):
    return create_active(world, alice)


def test_create_shows_every_attribute(world, alice, instance_id):
    made = alice.post("/backups", body(instance_id, description="first", incremental=0), status=202).json["backup"]
    assert {key: made[key] for key in ("name", "description", "instance_id", "parent_id", "locationRef", "size",
                                       "status", "project_id", "storage_driver")} == {
        "name": "b1", "description": "first", "instance_id": instance_id, "parent_id": None, "locationRef": None,
        "size": None, "status": "NEW", "project_id": "tenant-a", "storage_driver": "swift"}
    assert made["datastore"] == {"type": "mysql", "version": "5.7", "version_id": world.catalog["mysql 5.7"].id}
    assert made["operation"]["kind"] == "backup.create"
    assert world.casts[-1][0] == "backup.create"
    assert alice.get(f"/instances/{instance_id}").json["instance"]["status"] == "BACKUP"
    end_backup(world, made["id"], "FAILED", error="the disk is full")
    shown = alice.get(f"/backups/{made['id']}").json["backup"]
    assert (shown["status"], shown["fault"]["message"]) == ("FAILED", "the disk is full")
    assert alice.get(f"/instances/{instance_id}").json["instance"]["status"] == "ACTIVE"


@pytest.mark.parametrize(("columns", "word"), [
    ({"task": InstanceTasks.REBOOTING}, "REBOOTING"), ({"server_status": "SHUTOFF"}, "SHUTOFF"),
    ({"service": ServiceStatuses.PAUSED}, "paused")])
def test_6_a_busy_instance_is_refused(world, alice, instance_id, columns, word):
    world.set(instance_id, **columns)
    answer = alice.post("/backups", body(instance_id), status=422)
    assert word in check_fault(answer)
    assert world.rows(tables.backups) == []


def test_6_a_second_backup_is_refused_while_one_runs(world, alice, instance_id):
    alice.post("/backups", body(instance_id), status=202)
    assert "BACKUP" in check_fault(alice.post("/backups", body(instance_id), status=422))
    alice.post(f"/instances/{instance_id}/action", {"restart": {}}, status=422)


def test_an_instance_that_is_restarted_cannot_be_backed_up_by_a_late_request(world, alice, instance_id):
    alice.post(f"/instances/{instance_id}/action", {"restart": {}}, status=202)
    world.set(instance_id, task=InstanceTasks.NONE)  # the operation has not ended
    alice.post("/backups", body(instance_id), status=422)
    assert world.rows(tables.backups) == []


def test_404_501_and_400(world, options, alice, bob, instance_id):
    alice.post("/backups", body(UNKNOWN), status=404)
    bob.post("/backups", body(instance_id), status=404)
    alice.post("/backups", body(instance_id, parent_id=UNKNOWN), status=404)
    alice.post("/backups", {"backup": {"backup": {"id": UNKNOWN, "region": "r"}, "name": "copy"}}, status=400)
    alice.post("/backups", body(instance_id, name=""), status=400)
    alice.post("/backups", body(instance_id, swift_container="mine"), status=400)
    alice.post(f"/backups/{UNKNOWN}", {}, status=404)
    options.set_override("backup_encryption_key", [])
    assert "backup_encryption_key" in check_fault(alice.post("/backups", body(instance_id), status=501))
    options.set_override("backup_strategy", None, group="mysql")
    assert "not supported" in check_fault(alice.post("/backups", body(instance_id), status=501))
    assert world.rows(tables.backups) == []


def test_7_quota(world, options, alice, instance_id):
    options.set_override("max_backups_per_tenant", 1)
    backup_id = take(world, alice, instance_id)
    assert "backups" in check_fault(alice.post("/backups", body(instance_id), status=413))
    with world.db.writer() as session:
        session.get(DBBackup, backup_id).soft_delete()
    take(world, alice, instance_id)


def test_incremental(world, alice, instance_id):
    def parent_and_type(**more):
        backup_id = take(world, alice, instance_id, **more)
        row = next(row for row in world.rows(tables.backups) if row["id"] == backup_id)
        return row["parent_id"], row["backup_type"], backup_id
    parent, kind, first = parent_and_type(incremental=1)
    assert (parent, kind) == (None, "InnoBackupEx")
    with world.db.writer() as session:  # so that the order does not hang on fractions of a second
        row = session.get(DBBackup, first)
        row.created = row.created.replace(year=2020)
    parent, kind, second = parent_and_type(incremental=1)
    assert (parent, kind) == (first, "InnoBackupExIncremental")
    assert parent_and_type(parent_id=first, incremental=0)[0] == first
    assert parent_and_type(parent_id=second)[:2] == (second, "InnoBackupExIncremental")
    assert parent_and_type(incremental=0)[0] is None


def test_without_increments_each_is_a_full_one(world, options, alice, instance_id):
    options.set_override("backup_strategy", "MySQLClone", group="mysql")
    for _ in range(2):
        made = take(world, alice, instance_id, incremental=1)
    row = next(row for row in world.rows(tables.backups) if row["id"] == made)
    assert (row["parent_id"], row["backup_type"]) == (None, "MySQLClone")


def test_parents_that_cannot_be(world, alice, instance_id):
    other = take(world, alice, create_active(world, alice))
    assert "another instance" in check_fault(alice.post("/backups", body(instance_id, parent_id=other), status=400))
    mine = take(world, alice, instance_id)
    end_backup(world, mine, "FAILED")
    assert "FAILED" in check_fault(alice.post("/backups", body(instance_id, parent_id=mine), status=400))
    for kind in ("MySQLDump", "MySQLClone"):
        end_backup(world, mine, backup_type=kind)
        assert kind in check_fault(alice.post("/backups", body(instance_id, parent_id=mine), status=400))
    end_backup(world, mine, backup_type="InnoBackupEx")
    alice.delete(f"/backups/{mine}")
    alice.post("/backups", body(instance_id, parent_id=mine), status=422)


def test_2_6_lists(world, alice, bob, admin, instance_id, statements):
    ids = {take(world, alice, instance_id) for _ in range(3)}
    first = alice.get("/backups?limit=2").json
    assert f"marker={first['backups'][1]['id']}" in first["links"][0]["href"]
    rest = alice.get(first["links"][0]["href"].removeprefix("http://localhost")).json
    assert "links" not in rest
    assert alice.get("/backups?limit=2&marker=2").json == rest  # as links of earlier releases say
    assert {row["id"] for row in first["backups"] + rest["backups"]} == ids
    assert "links" in alice.get("/backups?limit=3").json  # the next page is empty
    assert len(alice.get("/backups?limit=1000").json["backups"]) == 3
    assert len(alice.get(f"/instances/{instance_id}/backups").json["backups"]) == 3
    assert alice.get("/backups?datastore=mariadb").json["backups"] == []
    assert len(alice.get("/backups?datastore=mysql").json["backups"]) == 3
    alice.get("/backups?datastore=nosuch", status=404)
    for marker in ("x", "2147483648", "99999999999"):
        assert "marker" in check_fault(alice.get(f"/backups?marker={marker}", status=400))
    bob.get(f"/backups?marker={next(iter(ids))}", status=400)
    assert bob.get("/backups?all_projects=1&project_id=tenant-a").json["backups"] == []
    assert len(admin.get("/backups?all_projects=true").json["backups"]) == 3
    assert len(admin.get("/backups?project_id=tenant-a").json["backups"]) == 3
    bob.get(f"/backups/{next(iter(ids))}", status=404)
    statements.clear()
    alice.get("/backups")
    assert len(statements) == 2


def test_2_6_the_newest_comes_first_and_pages_stay_so(world, alice, instance_id):
    ids = [take(world, alice, instance_id) for _ in range(4)]
    with world.db.writer() as session:
        for day, backup_id in enumerate(ids, 1):
            session.execute(tables.backups.update().where(tables.backups.c.id == backup_id).values(
                created=datetime.datetime(2026, 1, day)))
    first = alice.get("/backups?limit=2").json
    assert [row["id"] for row in first["backups"]] == ids[:1:-1]
    take(world, alice, instance_id)
    end_backup(world, ids[0])  # a change does not move it
    alice.delete(f"/backups/{ids[2]}")  # the marker
    rest = alice.get(first["links"][0]["href"].removeprefix("http://localhost")).json
    assert [row["id"] for row in rest["backups"]] == ids[1::-1]


def test_delete(world, alice, bob, instance_id):
    full = take(world, alice, instance_id)
    child = take(world, alice, instance_id, parent_id=full)
    bob.delete(f"/backups/{full}", status=404)
    grandchild = alice.post("/backups", body(instance_id, parent_id=child), status=202).json["backup"]["id"]
    assert grandchild in check_fault(alice.delete(f"/backups/{full}", status=422))
    alice.delete(f"/backups/{grandchild}", status=422)
    end_backup(world, grandchild)
    alice.delete(f"/backups/{full}")
    alice.delete(f"/backups/{full}")  # the same again
    with world.db.reader() as session:
        [operation] = operations.live_for(session, "backup", full)
    assert operation.args["ids"] == [grandchild, child, full]
    assert world.casts[-1][0] == "backup.delete"


class TestRestore:
    """POST /instances with a restorePoint."""

    def restore(self, caller, backup_id, status=200, **more):
        return caller.post("/instances", create_body(restorePoint={"backupRef": backup_id}, **more), status=status)

    def test_goes_into_the_operation(self, world, options, alice, instance_id):
        options.set_override("root_on_create", True, group="mysql")
        backup_id = take(world, alice, instance_id)
        made = self.restore(alice, backup_id).json["instance"]
        assert "password" not in made
        assert world.operations(made["id"])[0].args["backup_id"] == backup_id
        assert "password" in alice.post("/instances", create_body()).json["instance"]

    @pytest.mark.parametrize(("columns", "etag", "status", "words"), [
        ({"state": "BUILDING"}, CHECKSUM, 409, "not COMPLETED"),
        ({"size": 1.5}, CHECKSUM, 403, "more than the 1 GB"),
        ({}, "gone", 404, "backup file"),
        ({}, "f" * 32, 409, "has changed"),
        ({}, None, 503, "does not answer"),
    ])
    def test_6_refusals(self, world, alice, instance_id, columns, etag, status, words):
        backup_id = take(world, alice, instance_id)
        end_backup(world, backup_id, **{"state": "COMPLETED", **columns})
        if etag == "gone":
            swift.ETAGS.clear()
        else:
            swift.ETAGS[f"{backup_id}.xbstream"] = etag
        before = world.counts()
        assert words in check_fault(self.restore(alice, backup_id, status))
        assert world.counts() == before

    def test_names_no_datastore(self, world, options, alice, instance_id):
        """The new instance has the datastore and version of the backup, whatever the default ones are."""
        backup_id = take(world, alice, instance_id)
        options.set_override("default_datastore", "mariadb")
        datastore = self.restore(alice, backup_id, datastore=None).json["instance"]["datastore"]
        assert (datastore["type"], datastore["version"]) == ("mysql", "5.7")

    def test_6_others(self, world, alice, bob, instance_id):
        backup_id = take(world, alice, instance_id)
        self.restore(bob, backup_id, 404)
        self.restore(alice, UNKNOWN, 404)
        assert "another datastore" in check_fault(self.restore(alice, backup_id, 400, datastore={"type": "mariadb"}))
        alice.delete(f"/backups/{backup_id}")
        assert "being deleted" in check_fault(self.restore(alice, backup_id, 409))


class TestPoint:
    """POST /instances with a point in time, and what a show says of it."""

    SINCE, COVERS = 1795726800, 1795728600.9  # 2026-11-26T21:00:00Z, 21:30:00.9

    @pytest.fixture
    def archived(self, world, options, alice, instance_id, monkeypatch):
        """A backup with an archive of five pieces, of which replay begins with the third."""
        options.set_override("archive_strategy", "Any", group="mysql")
        self.missing = None
        monkeypatch.setattr(archive_store, "find_missing", lambda *args: self.missing)
        backup_id = take(world, alice, instance_id)
        with world.db.writer() as session:
            archive = archives.add(session, instance_id, None)
            archive.pieces, archive.covers = 5, self.COVERS
            row = session.get(DBBackup, backup_id)
            row.archive_id, row.archive_piece, row.archive_since = archive.id, 2, self.SINCE
            self.archive_id = archive.id
        return backup_id

    def restore(self, caller, status=200, **point):
        return caller.post("/instances", create_body(restorePoint=point), status=status)

    @pytest.mark.parametrize("by", ["backupRef", "instanceRef"])
    @pytest.mark.parametrize("time", ["2026-11-26T21:00:00Z", "2026-11-26T21:30:00"])
    def test_goes_into_the_operation(self, world, alice, instance_id, archived, by, time):
        made = self.restore(alice, time=time, **{by: {"backupRef": archived, "instanceRef": instance_id}[by]})
        args = world.operations(made.json["instance"]["id"])[0].args
        assert args["backup_id"] == archived
        assert args["point"] == {"time": archives.seconds(time), "archive_id": self.archive_id, "first": 2, "count": 5}

    @pytest.mark.parametrize(("time", "words"), [
        ("2026-11-26T20:59:59Z", "from 2026-11-26T21:00:00Z to 2026-11-26T21:30:00Z"),
        ("2026-11-26T21:30:01Z", "from 2026-11-26T21:00:00Z to 2026-11-26T21:30:00Z"),
        ("2026-11-26 21:10:00", "such as 2026-11-27T21:03:04Z"), ("now", "such as"),
        ("2026-11-26T21:10:00+01:00", "such as"), ("99999-01-01T00:00:00Z", "such as")])
    def test_6_times(self, world, alice, archived, time, words):
        before = world.counts()
        fault = check_fault(self.restore(alice, 400, backupRef=archived, time=time))
        assert "restorePoint.time" in fault
        assert words in fault
        assert world.counts() == before

    def test_6_others(self, world, options, alice, bob, instance_id, archived):
        time = "2026-11-26T21:10:00Z"
        self.restore(bob, 404, backupRef=archived, time=time)
        self.restore(bob, 404, instanceRef=instance_id, time=time)
        assert "either" in check_fault(self.restore(alice, 400, backupRef=archived, instanceRef=instance_id, time=time))
        assert "either" in check_fault(self.restore(alice, 400, time=time))
        assert "required with" in check_fault(self.restore(alice, 400, instanceRef=instance_id))
        assert "earliest possible time is 2026-11-26T21:00:00Z" in check_fault(
            self.restore(alice, 400, instanceRef=instance_id, time="2026-11-26T20:00:00Z"))
        self.missing = 3
        assert f"piece 3 of the archive of logs {self.archive_id}" in check_fault(
            self.restore(alice, 409, backupRef=archived, time=time))
        other = take(world, alice, instance_id)
        assert "Leave it out" in check_fault(self.restore(alice, 400, backupRef=other, time=time))
        with world.db.writer() as session:
            session.get(archives.DBArchive, self.archive_id).covers = self.SINCE - 1
        assert "cannot be given yet" in check_fault(self.restore(alice, 400, backupRef=archived, time=time))
        options.set_override("archive_strategy", None, group="mysql")
        self.restore(alice, 501, backupRef=archived, time=time)

    def test_a_show_names_the_times(self, world, alice, instance_id, archived):
        assert "restorable" not in alice.get(f"/instances/{instance_id}").json["instance"]
        with world.db.writer() as session:
            session.execute(tables.agent_heartbeats.update().where(
                tables.agent_heartbeats.c.instance_id == instance_id).values(facts='{"archive": "on", "since": {}}'))
        assert alice.get(f"/instances/{instance_id}").json["instance"]["restorable"] == {
            "earliest": "2026-11-26T21:00:00", "latest": "2026-11-26T21:30:00"}
        alice.delete(f"/backups/{archived}")
        with world.db.writer() as session:
            session.get(DBBackup, archived).soft_delete()
        assert "restorable" not in alice.get(f"/instances/{instance_id}").json["instance"]


def test_a_reset_fails_the_running_backup(world, alice, instance_id):
    backup_id = alice.post("/backups", body(instance_id), status=202).json["backup"]["id"]
    alice.post(f"/instances/{instance_id}/action", {"reset_status": {}}, status=202)
    assert alice.get(f"/backups/{backup_id}").json["backup"]["status"] == "FAILED"


def test_backups_of_an_instance_that_is_gone_stay(world, alice, instance_id):
    backup_id = take(world, alice, instance_id)
    with world.db.writer() as session:
        session.execute(tables.instances.update().values(deleted=True))
    assert alice.get(f"/backups/{backup_id}").json["backup"]["instance_id"] == instance_id
    alice.get(f"/instances/{instance_id}/backups", status=404)
    assert create(alice, restorePoint={"backupRef": backup_id})
