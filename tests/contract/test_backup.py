"""Backups and what is restored from them."""
import hashlib

import pytest

from tests.guests import backup_info, damage, refused, restore
from trove.backup import store
from trove.common import exception, remote
from trove.common.context import TroveContext


@pytest.fixture
def source(machines, unsupported):
    """A machine with data; without backups both commands must be refused."""
    machine = machines()
    machine.prepare()
    if machine.manager.backups is None:
        with pytest.raises(exception.DatastoreOperationNotSupported):
            machine.call("create_backup", {"id": "b-1"})
        unsupported()
    machine.put(1, 2)
    return machine


def test_full(source, machines, backups, reports):
    """a backup of a running server, restored into another one"""
    full = backups.take(source)
    assert "location" in full, full
    source.put(3)
    target = machines("b")
    restore(target, full)
    assert reports.statuses[-1] == "running", reports.causes
    assert target.keys() == [1, 2]
    target.put(4)
    target.call("restart")
    assert target.keys() == [1, 2, 4]
    assert source.keys() == [1, 2, 3]
    assert [report["state"] for report in reports.backups] == ["BUILDING", "SAVING"]
    assert reports.backups[0]["size"] > 0
    for machine in (source, target):
        assert machine.guest.tested.leftovers(machine.guest) == []


def test_increments(source, machines, backups, reports, tested, unsupported):
    """a chain of increments"""
    chain = [backups.take(source)]
    if tested.increments is None:
        unsupported()
    for number in (3, 4):
        source.put(number)
        chain.append(backups.take(source, tested.increments, chain[-1]))
    source.put(5)
    target = machines("b")
    restore(target, *chain)
    assert reports.statuses[-1] == "running", reports.causes
    assert target.keys() == [1, 2, 3, 4]
    assert tested.leftovers(target.guest) == []


def test_accounts(source, machines, backups, reports, tested):
    """the accounts of a restored server are those of the backup, and its agent has a way in of its own"""
    full = backups.take(source)
    target = machines("b")
    restore(target, full)
    assert reports.statuses[-1] == "running", reports.causes
    if tested.traits.users:
        assert [user["_name"] for user in target.call("list_users")[0]] == ["u1"]
        target.call("create_database", [{"_name": "later"}])
    target.call("restart")
    assert target.keys() == [1, 2]


def test_corruption(source, machines, backups, reports, conf):
    """a damaged, cut, foreign or missing stream is refused by name, and nothing is started"""
    conf.set_override("backup_request_patience", 0)
    full, other = backups.take(source), backups.take(source)
    target = machines("b")
    assert "another key" in refused(target, reports, {**full, "key": "0" * 64})
    assert "key is missing" in refused(target, reports, {**full, "key": None})
    foreign = {**other, "storage": {**full["storage"], "url": other["storage"]["url"]}}
    assert "signature" in refused(target, reports, foreign)
    assert "checksum" in refused(target, reports, {**full, "segments": []})
    assert other["id"] in refused(target, reports, {**other, "key": full["key"]})
    name, size, _ = full["segments"][0]
    data = damage(name, size // 2)
    said = refused(target, reports, full)
    assert name in said or full["id"] in said
    # The same with sums that were made to fit: only the cipher can tell.
    forged = hashlib.md5(data).hexdigest()
    segments = [[name, size, forged], *full["segments"][1:]]
    whole = hashlib.md5("".join(segment[2] for segment in segments).encode()).hexdigest()
    assert "damaged" in refused(target, reports, {**full, "segments": segments, "checksum": whole})
    damage(name, cut=size - 100)
    assert "damaged" in refused(target, reports, full)
    remote.swift_client().delete_object(store.own_container(full["id"]), name)
    assert f"{name} of the object store: it is missing" in refused(target, reports, full)
    restore(target, other)
    assert reports.statuses[-1] == "running", reports.causes
    assert target.keys() == [1, 2]


def test_died(source, reports):
    """a backup whose agent died is reported as failed, once"""
    source.manager.backups._remember(TroveContext(), "b-1")
    for _ in range(2):
        source.call("update_status")
    assert [report["state"] for report in reports.backups] == ["FAILED"]
    assert "ended while" in reports.backups[0]["note"]


def test_killed_restore(source, machines, backups, reports, monkeypatch):
    """a restore that was killed and is sent again"""
    full = backups.take(source)
    target = machines("b")

    class Killed(BaseException):
        """Stands for a death of the agent."""

    def deadly(info, directory):
        restored(info, directory)
        raise Killed
    restored = target.manager.backups.restore
    monkeypatch.setattr(target.manager.backups, "restore", deadly)
    with pytest.raises(Killed):
        target.prepare(databases=[], users=[], backup_info=backup_info(full))
    target.manager = target.guest.manager()
    restore(target, full)
    assert reports.statuses[-1] == "running", reports.causes
    assert target.keys() == [1, 2]
