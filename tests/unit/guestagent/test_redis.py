"""Redis: positions, sentences for users, what its settings leave of a guest's memory."""
import os
import pwd
import threading
import time
import types

import pytest
import redis

from trove.common import exception, template
from trove.common.instance import ServiceStatuses
from trove.guestagent.datastore.experimental.redis import access, errors, service
from trove.guestagent.datastore.service import BaseDbStatus
from trove.guestagent.strategies.replication.experimental.redis_sync import reached

REPLICA = {"role": "slave", "master_replid": "a", "slave_repl_offset": 100, "master_repl_offset": 100,
           "master_replid2": "0", "second_repl_offset": -1}
PROMOTED = {"role": "master", "master_replid": "b", "master_repl_offset": 120, "master_replid2": "a",
            "second_repl_offset": 101}


@pytest.mark.parametrize(("info", "history", "offset", "expected"), [
    (REPLICA, "a", 100, True), (REPLICA, "a", 101, False), (REPLICA, "x", 1, False),
    (PROMOTED, "b", 120, True), (PROMOTED, "b", 121, False), (PROMOTED, "a", 100, True), (PROMOTED, "a", 101, False)])
def test_how_far_a_server_is(info, history, offset, expected):
    assert reached(info, history, offset) is expected


@pytest.mark.parametrize(("error", "words"), [
    (redis.exceptions.ConnectionError("max number of clients reached"), "maxclients"),
    (redis.exceptions.BusyLoadingError("Redis is loading"), "loading its data"),
    (redis.exceptions.ResponseError("MISCONF Redis is configured to save"), "Resize the volume"),
    (redis.exceptions.ResponseError("OOM command not allowed"), "maxmemory"),
    (redis.exceptions.OutOfMemoryError("command not allowed"), "maxmemory"),
    (redis.exceptions.ReadOnlyError("You can't write against a read only replica."), "replica"),
    (redis.exceptions.ConnectionError("Connection refused"), "does not answer")])
def test_errors_have_a_sentence(error, words):
    assert words in str(errors.explain(error))


def test_other_errors_stay_as_they_are():
    assert errors.explain(redis.exceptions.ResponseError("ERR unknown")) is None
    assert errors.explain(ValueError("x")) is None


@pytest.mark.parametrize("ram", [1024, 2048, 4096, 8192, 65536])
def test_a_snapshot_of_a_busy_server_has_memory(ram):
    settings = template.defaults("redis", "redis", "7.0", {"ram": ram}, "i-1")
    assert 0.3 * ram < int(settings["maxmemory"]) / 2**20 <= ram / 2


def test_a_source_gives_nothing_but_a_hash(reports, tmp_path):
    class Client:
        @staticmethod
        def execute_command(*_words):
            return ["flags", ["on"], "passwords", ["x resetkeys +@all"]]

    kept = access.Access(app=None)
    kept.take_over(Client, {})
    assert kept._load() == {}


@pytest.mark.parametrize(("loaded", "waits"), [([10, 20, 20], 3), ([10, 20, None], 3), ([None], 1)])
def test_a_server_that_goes_on_loading_is_waited_for(monkeypatch, loaded, waits):
    calls = []

    def wait_for(self, *statuses):
        calls.append(statuses)
        raise exception.PollTimeOut(what="x", seconds=1, option="state_change_wait_time")
    monkeypatch.setattr(BaseDbStatus, "wait_for", wait_for)
    status = service.RedisStatus(app=None)
    monkeypatch.setattr(status, "_loaded", lambda: loaded.pop(0))
    with pytest.raises(exception.PollTimeOut):
        status.wait_for(ServiceStatuses.RUNNING)
    assert len(calls) == waits


@pytest.fixture
def kept(reports, tmp_path):
    """The accounts of a replica, whose server takes everything."""
    account = pwd.getpwuid(os.getuid()).pw_name
    client = types.SimpleNamespace(execute_command=lambda *words: [])
    app = types.SimpleNamespace(layout=types.SimpleNamespace(accounts=tmp_path / "users.acl", user=account),
                                client=lambda: client, source={"host": "a"})
    kept = access.Access(app)
    kept.prepare()
    return kept


def test_a_password_that_was_asked_of_a_source_comes_too_late(kept):
    """A heartbeat has asked; before it gets the answer the replica is detached, and a user asks for a password."""
    given = []

    def answer(*_words):
        kept.app.source = None
        given.append(kept.ask())
        return ["passwords", ["0" * 64]]
    kept.take_over(types.SimpleNamespace(execute_command=answer), kept.app.source)
    assert kept._load()["hash"] == access.hashed(given[0])
    assert kept._load()["password"] == given[0]


def test_changes_at_the_same_time_keep_one_another(kept):
    """A heartbeat that takes over a password does not open a server that a command closes meanwhile."""
    source = types.SimpleNamespace(execute_command=lambda *words: ["passwords", [f"{time.monotonic_ns():064x}"]])
    threads = [threading.Thread(target=lambda: [kept.take_over(source, {"host": "a"}) for _ in range(20)]),
               threading.Thread(target=lambda: [kept.set_replicas({str(n): "x"}) for n in range(20)])]
    for thread in threads:
        thread.start()
    kept.set_read_only(True)
    for thread in threads:
        thread.join()
    state = kept._load()
    assert (state["read_only"], list(state["replicas"]), state["password"]) == (True, ["19"], None)


def test_a_link_in_the_place_of_the_log_is_not_followed(reports, tmp_path):
    user = pwd.getpwuid(os.getuid()).pw_name
    app = service.RedisApp(service.Layout(tmp_path, log_file=tmp_path / "log", user=user))
    app._make_log()
    (tmp_path / "log").write_text("oO0OoO0OoO0Oo\n1:M # Fatal error, why\n")
    assert app.last_words("atal error") == "Fatal error, why"
    (tmp_path / "log").rename(tmp_path / "other")
    (tmp_path / "log").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        app._make_log()
    assert app.last_words("atal error") == ""
