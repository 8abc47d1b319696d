"""Sources and replicas that follow each other over TCP."""
import threading
import time

import pytest

from tests.guests import backup_info
from tests.waiting import wait_until
from trove.common import exception


@pytest.fixture
def family(machines, reports, backups, unsupported):
    """A source, and two replicas made of one snapshot of it; 1 was written before it, 2 in it, 3 after it."""
    source = machines("a")
    source.prepare()
    if source.manager.replication is None:
        with pytest.raises(exception.DatastoreOperationNotSupported):
            source.call("enable_as_master", "", [])
        unsupported()
    replicas = [machines(name) for name in ("b", "c")]
    source.put(1)
    snapshot = source.call("get_replication_snapshot", {"accounts": [replica.account for replica in replicas]},
                           source.role("replica_source"))
    assert snapshot["dataset"]["datastore_manager"] == source.guest.engine
    assert snapshot["dataset"]["dataset_size"] >= 0
    source.put(2)
    taken = backups.take(source)
    source.put(3)
    for replica in replicas:
        replica.prepare(databases=[], users=[], backup_info=backup_info(taken),
                        snapshot={**source.info(replica), "config": replica.role("replica")})
        assert reports.statuses[-1] == "running", reports.causes
    return source, *replicas


def caught_up(source, *replicas):
    """Wait until replicas have all that their source has."""
    txn = source.call("get_latest_txn_id")
    for replica in replicas:
        assert replica.call("wait_for_txn", txn) is True


def refuses(machine):
    """Return whether a server refuses a write of its user."""
    probe = machine.probe()
    with probe, pytest.raises(probe.errors):
        probe.put(1000, "")
    return True


def test_follow(family, reports):
    """replicas of one snapshot follow, refuse writes, and go on after a restart"""
    source, *replicas = family
    caught_up(source, *replicas)
    for replica in replicas:
        assert replica.keys() == [1, 2, 3]
        assert refuses(replica)
        context = replica.call("get_replica_context")
        assert (context["running"], context["error"]) == (True, None)
        replica.call("restart")
        assert refuses(replica)
        replica.call("update_status")
        assert reports.payloads[-1]["replication"]["error"] is None
    assert source.call("get_replica_context")["running"] is False
    source.call("update_status")
    assert "replication" not in reports.payloads[-1]
    source.put(4)
    caught_up(source, *replicas)
    assert replicas[1].keys() == [1, 2, 3, 4]


def test_detach(family):
    """a detached replica is a server of its own, and its account at the source is gone"""
    source, first, second = family
    caught_up(source, first)
    first.call("detach_replica")
    first.put(10)
    source.call("cleanup_source_on_replica_detach", {"user": first.account["user"]})
    source.put(4)
    caught_up(source, second)
    assert first.keys() == [1, 2, 3, 10]
    assert second.keys() == [1, 2, 3, 4]
    with pytest.raises(exception.TroveError):
        first.follow(source)


class Writer(threading.Thread):
    """Writes rising numbers to whichever machine takes them and remembers what was acknowledged."""

    def __init__(self, *probes):
        super().__init__(daemon=True)
        self.probes, self.acknowledged, self.ending = probes, [], threading.Event()

    def run(self):
        """See the class."""
        number = 100
        while not self.ending.is_set():
            for probe in self.probes:
                try:
                    while not self.ending.is_set():
                        number += 1
                        probe.put(number, "")
                        self.acknowledged.append(number)
                        time.sleep(0.003)
                except probe.errors:
                    probe.close()


def promote(source, target, *others):
    """What the control plane does to let a replica take the place of its source."""
    source.call("make_read_only", True)
    txn = source.call("get_latest_txn_id")
    for replica in (target, *others):
        assert replica.call("wait_for_txn", txn)
    target.call("detach_replica", True)
    target.sources(source, *others)
    position = target.call("get_replica_context")["log_position"]
    target.call("make_read_only", False)
    source.call("demote_replication_master")
    for replica in (*others, source):
        replica.follow(target, log_position=position)


def test_switchover(family):
    """a replica takes the place of its source, and back, without losing an acknowledged write"""
    source, first, second = family
    writer = Writer(source.probe(), first.probe())
    writer.start()
    try:
        wait_until(lambda: len(writer.acknowledged) >= 30)
        promote(source, first, second)
        before = len(writer.acknowledged)
        wait_until(lambda: len(writer.acknowledged) >= before + 30)
    finally:
        writer.ending.set()
        writer.join()
    caught_up(first, source, second)
    for machine in family:
        assert set(writer.acknowledged) <= set(machine.keys())
    promote(first, source, second)
    source.put(5)
    caught_up(source, first, second)
    assert first.keys() == second.keys() == source.keys()
    assert first.keys()[0] == 1
    assert {5, *writer.acknowledged} <= set(first.keys())
    assert refuses(first)


def test_best(family):
    """after the death of a source the replica that has most is known"""
    source, first, second = family
    caught_up(source, first, second)
    second.call("stop_db")
    source.put(4)
    caught_up(source, first)
    source.call("stop_db")
    second.enter()
    second.app.start()
    said = {machine.guest.name: machine.call("get_last_txn") for machine in (first, second)}
    assert said["b"]["count"] > said["c"]["count"]
    assert first.call("wait_for_txn", said["b"]["txn"])


def test_backup_of_a_replica(family, machines, backups, reports):
    """a backup of a replica becomes a server that follows nobody"""
    source, first, _ = family
    caught_up(source, first)
    taken = backups.take(first)
    alone = machines("d")
    alone.prepare(databases=[], users=[], backup_info=backup_info(taken))
    assert reports.statuses[-1] == "running", reports.causes
    alone.call("restart")
    assert alone.call("get_replica_context")["running"] is False
    source.put(4)
    caught_up(source, first)
    alone.put(20)
    assert alone.keys() == [1, 2, 3, 20]


def test_absent_source(family, conf):
    """a source that is not there is an error unless it need not answer"""
    source, first, _ = family
    info = source.info(first)
    source.call("stop_db")
    conf.set_override("agent_call_high_timeout", 2)
    with pytest.raises(exception.TroveError):
        first.call("attach_replica", info, first.role("replica"))
    first.call("attach_replica", {**info, "must_connect": False}, first.role("replica"))
