"""Logs of a real server, published to minicloud's Swift by the agent's own code."""
import json
import os

import pytest
from webob import Request

from tests.functional.guestagent.test_backup import machines  # noqa: F401 - a fixture
from trove.common import exception, remote, wsgi
from trove.common.context import TroveContext
from trove.extensions.log import store

pytestmark = pytest.mark.slow
PREFIX = "i-1/mariadb-general/"


@pytest.fixture
def account(conf, running_cloud, monkeypatch):  # noqa: F811
    """An account in Swift, empty."""
    running_cloud.configure(conf)
    connection = remote.swift_client()
    connection.url, connection.token = connection.get_auth()
    monkeypatch.setattr(remote, "tenant_swift_client", lambda *_: connection)
    yield connection
    running_cloud.clear_objects()
    remote.reset()


@pytest.fixture
def machine(machines):  # noqa: F811
    machine = machines()
    machine.prepare()
    return machine


class Logs:
    """What the API does around the agent's work."""

    def __init__(self, machine, account):
        self.machine, self.account = machine, account
        self.request = Request.blank("/", headers={"X-Auth-Token": "t"})
        self.request = wsgi.Request(self.request.environ | {wsgi.CONTEXT_KEY: TroveContext(
            project_id="p", overwrite=False)})

    def act(self, name="general", storage=None, **flags):
        self.machine.enter()
        return self.machine.manager.guest_log_action(TroveContext(), name, storage=storage, **flags)

    def publish(self, name="general"):
        return self.act(name, store.grant(self.request, PREFIX), publish=True)

    def list(self):
        self.machine.enter()
        return {log["name"]: log for log in self.machine.manager.guest_log_list(TroveContext())}

    def pieces(self):
        """[(headers, bytes)] of what was published, in order."""
        names = [entry["name"] for entry in self.account.get_container("database_logs", prefix=PREFIX)[1]]
        return [self.account.get_object("database_logs", name) for name in sorted(names)]

    def text(self):
        return b"".join(content for _, content in self.pieces()).decode()

    def path(self, name="general"):
        return self.machine.guest.layout.log_file.parent / f"{name}.log"


@pytest.fixture
def logs(machine, account):
    return Logs(machine, account)


def test_general(logs, machine):
    assert logs.list()["general"] == {
        "name": "general", "type": "USER", "status": "Disabled", "published": 0, "pending": 0}
    assert logs.act(enable=True)["status"] in ("Enabled", "Ready")
    machine.sql("SELECT 'the first thing'")
    assert logs.list()["general"]["status"] == "Ready"
    done = logs.publish()
    assert done["published"] > 0
    assert "the first thing" in logs.text()
    headers, content = logs.pieces()[0]
    assert int(headers["x-object-meta-lines"]) == len(content.splitlines())
    assert int(headers["x-delete-at"]) > 0
    meta = json.loads(logs.account.get_object("database_logs", PREFIX.rstrip("/") + "_metafile")[1])
    assert meta["published"] == done["published"] == len(logs.text().encode())

    machine.sql("SELECT 'the second thing'")
    assert logs.list()["general"]["status"] == "Partial"
    logs.publish()
    assert logs.text().count("the first thing") == 1
    assert "the second thing" in logs.text()
    # It stays on over a restart of the server, and an agent's.
    machine.manager.restart(TroveContext())
    machine.manager = machine.guest.manager()
    machine.sql("SELECT 'the third thing'")
    logs.publish()
    assert "the third thing" in logs.text()

    assert logs.act(disable=True)["status"] == "Disabled"
    machine.sql("SELECT 'nobody sees this'")
    logs.publish()
    assert "nobody sees this" not in logs.text()
    machine.manager.restart(TroveContext())
    assert logs.list()["general"]["status"] == "Disabled"
    assert logs.act(discard=True)["published"] == 0
    assert logs.list()["general"]["pending"] > 0


def test_slow_queries(logs, machine):
    logs.act("slow_query", enable=True)
    machine.sql("SELECT SLEEP(1.1)", "SELECT 'quick'")
    logs.publish("slow_query")
    assert "SLEEP(1.1)" in logs.text()
    assert "quick" not in logs.text()


def test_pieces_have_whole_lines_and_a_limit(logs, machine, conf):
    conf.set_override("guest_log_limit", 2000)
    logs.act(enable=True)
    for number in range(60):
        machine.sql(f"SELECT 'line {number} {'x' * 100}'")
    logs.publish()
    pieces = logs.pieces()
    assert len(pieces) > 3
    assert all(len(content) <= 2000 for _, content in pieces)
    assert all(content.endswith(b"\n") for _, content in pieces)
    assert logs.text().encode() == logs.path().read_bytes()[:len(logs.text().encode())]


def test_a_log_that_was_made_anew(logs, machine):
    logs.act(enable=True)
    machine.sql("SELECT 'before'")
    logs.publish()
    logs.path().rename(logs.path().with_suffix(".1"))
    logs.act(disable=True)
    logs.act(enable=True)
    machine.sql("SELECT 'after'")
    assert logs.list()["general"]["status"] == "Rotated"
    logs.publish()
    assert logs.text().count("before") == 1
    assert "after" in logs.text()


def test_a_piece_that_was_cut_off_is_sent_again_under_its_name(logs, machine, monkeypatch):
    logs.act(enable=True)
    machine.sql("SELECT 'once'")
    from trove.guestagent import logs as module
    real = module.swift.put

    def killed_after(*args, **kwargs):
        real(*args, **kwargs)
        raise KeyboardInterrupt
    monkeypatch.setattr(module.swift, "put", killed_after)
    with pytest.raises(KeyboardInterrupt):
        logs.publish()
    monkeypatch.setattr(module.swift, "put", real)
    assert logs.list()["general"]["published"] == 0
    logs.publish()
    assert logs.text().count("'once'") == 1


@pytest.mark.parametrize("trick", ["symlink", "hardlink", "fifo", "owner"])
def test_only_what_the_server_wrote_is_read(logs, machine, trick, tmp_path):
    secret = machine.guest.root / "secret"
    secret.write_text("the key of this guest")
    path = logs.path()
    if trick == "symlink":
        path.symlink_to(secret)
    elif trick == "hardlink":
        os.link(secret, path)
    elif trick == "fifo":
        os.mkfifo(path)
    else:
        path.write_text("root wrote this")
    with pytest.raises(exception.BadRequest, match="there is nothing of it"):
        logs.publish()
    assert logs.list()["general"]["pending"] == 0
    assert logs.pieces() == []


def test_a_server_that_is_down(logs, machine):
    logs.act(enable=True)
    machine.sql("SELECT 'the last thing'")
    machine.manager.app.stop()
    assert logs.list()["general"]["status"] == "Disabled"
    logs.publish()
    assert "the last thing" in logs.text()


def test_what_cannot_be(logs):
    for name, flags in (("guest", {"enable": True}), ("elephants", {"enable": True}), ("elephants", {})):
        with pytest.raises(exception.BadRequest):
            logs.act(name, **flags)


def test_the_agents_own(logs, conf, machine):
    assert logs.list()["guest"]["status"] == "Unavailable"
    own = machine.guest.root / "agent.log"
    own.write_text("it began\n")
    conf.set_override("log_dir", str(own.parent))
    conf.set_override("log_file", own.name)
    assert logs.list()["guest"].items() >= {"type": "SYS", "status": "Ready", "pending": 9}.items()
    assert logs.publish("guest")["status"] == "Published"
    assert logs.text() == "it began\n"
