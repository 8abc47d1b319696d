"""Which replica takes the place of a dead source, and what is told of a source."""
import dataclasses
import types

import pytest

from trove.common import cfg, crypto, exception
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flows import detach_replica
from trove.taskmanager.steps import failover, replication

KEY = "a key for tests, never for a deployment"


@pytest.mark.parametrize(("counts", "best"), [
    ({"a": 1}, "a"), ({"a": 1, "b": 2}, "b"), ({"b": 2, "a": 2}, "a"), ({"c": 7, "a": 7, "b": 3}, "a")])
def test_the_newest_wins_and_of_equals_the_first(counts, best):
    assert failover.best_of({name: {"count": count} for name, count in counts.items()}) == best


def test_accounts_differ_by_replica_and_by_deployment(conf):
    conf.set_override("operation_key", [KEY])
    ids = ("11111111-1111-4111-8111-111111111111", "11111111-1111-4111-8111-211111111111")
    first, second = (replication.account("mysql", one) for one in ids)
    assert len(first["user"]) <= 32
    assert first["user"].startswith("os_replica_11111111")
    assert first["password"] != second["password"]
    assert first["password"] != crypto.guest_key(ids[0])
    conf.set_override("operation_key", ["of another deployment, and as long as it must be"])
    assert replication.account("mysql", ids[0])["password"] != first["password"]


def source(addresses):
    return types.SimpleNamespace(id="s", manager="mariadb", row=types.SimpleNamespace(address_list=addresses))


def test_replicas_are_told_the_private_address(conf):
    conf.set_override("operation_key", [KEY])
    public, private = ({"address": f"10.0.0.{number}", "type": kind, "network": "n"}
                       for number, kind in enumerate(("public", "private")))
    told = replication.replica_info(source([public, private]), "r-1", log_position="x:1")
    assert (told["master"]["host"], told["master"]["port"], told["log_position"]) == ("10.0.0.1", 3306, "x:1")
    assert replication.replica_info(source([public]), "r-1")["master"]["host"] == "10.0.0.0"
    with pytest.raises(exception.TroveError, match="no address"):
        replication.replica_info(source([]), "r-1")


def test_replicas_are_told_the_port_that_an_option_has(conf, monkeypatch):
    conf.set_override("operation_key", [KEY])
    address = {"address": "10.0.0.1", "type": "private", "network": "n"}
    traits = dataclasses.replace(cfg.traits("mariadb"), port_option="usage_timeout")
    monkeypatch.setattr(cfg.CARDS["mariadb"], "TRAITS", traits)
    conf.set_override("usage_timeout", 5433, group="mariadb")
    assert replication.replica_info(source([address]), "r-1")["master"]["port"] == 5433


class Silent:
    """A guest that does not answer."""

    def get_last_txn(self):
        raise exception.GuestTimeout


def guest(source, count):
    return types.SimpleNamespace(get_last_txn=lambda: {"source": source, "count": count, "txn": f"t{count}"})


@pytest.mark.parametrize(("guests", "chosen"), [
    ({"a": guest("1", 4), "b": guest("1", 5)}, {"candidate": "b", "txn": "t5"}),
    ({"a": guest("1", 4), "b": Silent()}, {"candidate": "a", "txn": "t4"}),
    # Restarted after the source had died.
    ({"a": guest("1", 4), "b": guest("", 5)}, {"candidate": "b", "txn": "t5"}),
    ({"a": guest("1", 4), "b": guest("2", 5)}, "do not follow the same server"),
    ({"a": Silent(), "b": Silent()}, "None of the replicas"),
])
def test_replicas_of_a_dead_source_speak_for_themselves(monkeypatch, guests, chosen):
    monkeypatch.setattr(failover, "client", lambda _work, instance_id: guests[instance_id])
    work = types.SimpleNamespace(args={"replicas": sorted(guests)}, data={}, resource_id="s")
    if isinstance(chosen, str):
        with pytest.raises(exception.GuestError, match=chosen):
            failover.choose(work)
    else:
        failover.choose(work)
        assert work.data == chosen


@pytest.mark.parametrize(("step", "task", "source"), [
    ("detach", InstanceTasks.NONE, "s"), ("source", InstanceTasks.NONE, None), ("row", InstanceTasks.NONE, None),
    ("row", InstanceTasks.DELETING, "s")])
def test_whether_a_replica_whose_detaching_is_cancelled_is_still_one(monkeypatch, step, task, source):
    row = types.SimpleNamespace(task=task, slave_of_id="s")
    monkeypatch.setattr(detach_replica.models, "compare_and_set_task", lambda *_: False)
    monkeypatch.setattr(detach_replica.models.DBInstance, "get", lambda *_: row)
    session = types.SimpleNamespace(flush=lambda: None)
    work = types.SimpleNamespace(operation=types.SimpleNamespace(step=step), resource_id="r", args={})
    detach_replica.FLOW.cancelled(session, work)
    assert row.slave_of_id == source
