"""Redis of the test's own, driven by the agent's code: life, access, settings, backups, replication."""
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from cryptography import x509

from tests.guests import Backups, container, free_port, running_cloud  # noqa: F401
from tests.waiting import wait_until
from trove.common import exception, pki, template
from trove.common.context import TroveContext
from trove.guestagent.backup.streams import Incoming
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.experimental.redis import data, manager, service
from trove.guestagent.strategies.restore.experimental import redis_impl as restore

pytestmark = pytest.mark.slow

RULES = Path(template.PACKAGED) / "redis/validation-rules.json"


class Node:
    """A guest with an agent and its server. name: makes its accounts."""

    def __init__(self, conf, name):
        self.conf, self.name, self.port = conf, name, free_port()
        self.root = Path(tempfile.mkdtemp(prefix="guest-test-"))
        self.root.chmod(0o755)
        self.layout = service.Layout(
            mount_point=self.root / "redis", config_file=self.root / "etc/redis.conf", run_dir=self.root / "run",
            template=self.root / "template", log_file=self.root / "log/redis.log", user="nobody",
            accounts=self.root / "etc/users.acl", tls_port=free_port())
        (self.root / "etc").mkdir()
        self.enter()
        self._manager = manager.Manager(layout=self.layout)

    def enter(self):
        """Everything that the agent's code reads from now on is this guest's."""
        self.conf.set_override("guest_state_dir", str(self.root / "state"))
        self.conf.set_override("mount_point", str(self.layout.mount_point), group="redis")

    @property
    def manager(self):
        """Its agent, which acts in this guest from now on."""
        self.enter()
        return self._manager

    @property
    def app(self):
        return self.manager.app

    @property
    def password(self):
        return json.loads((self.root / "state/accounts.json").read_text())["password"]

    def contents(self, ram=256):
        text = template.render("redis", "redis", "7.0", {"ram": ram}, self.name)
        return text.replace("port 6379", f"port {self.port}").replace("bind * -::*", "bind 127.0.0.1")

    def prepare(self, **more):
        self.call("prepare", **{"packages": [], "databases": [], "memory_mb": 256, "users": [],
                                "config_contents": self.contents(), **more})
        return self

    def call(self, method, *args, **kwargs):
        """What the task manager would call."""
        return getattr(self.manager, method)(TroveContext(), *args, **kwargs)

    def user(self, password=None):
        """A client of the users, with the server's password."""
        password = password or self.password
        return redis.Redis(port=self.port, password=password, decode_responses=True, protocol=2, retry=None)

    def kill(self):
        """End the server at once."""
        if self.app.service.is_running():
            os.kill(int(self.app.service._pid_file.read_text()), signal.SIGKILL)
            wait_until(lambda: not self.app.service.is_running(), pause=0.01)

    @property
    def account(self):
        return {"user": f"os_replica_{self.name}", "password": f"the 'secret' of {self.name}"}

    def config(self, role):
        return template.render("redis", "redis", "7.0", {}, self.name, f"{role}.config.template")

    def info(self, replica, **more):
        """Return the arguments that make a replica follow this server."""
        return {"master": {"host": "127.0.0.1", "port": self.port, **replica.account}, "log_position": None, **more}

    def sources(self, *replicas):
        self.call("enable_as_master", self.config("replica_source"), [replica.account for replica in replicas])

    def follow(self, source, **more):
        self.call("attach_replica", source.info(self, **more), self.config("replica"))

    def caught_up(self, source):
        return self.call("wait_for_txn", source.call("get_latest_txn_id"))


@pytest.fixture
def nodes(conf, direct, reports):
    """Makes guests; all servers are ended and all files removed at the end."""
    conf.set_override("guest_id", "i-1")
    conf.set_override("guest_key", "the key of this guest only")
    conf.set_override("datastore_manager", "redis")
    made = []

    def make(name):
        made.append(Node(conf, name))
        return made[-1]
    yield make
    for node in made:
        node.kill()
        shutil.rmtree(node.root)


@pytest.fixture
def node(nodes):
    """A guest whose server runs."""
    return nodes("a").prepare()


def test_a_server_that_is_killed_or_restarted_keeps_its_data(node, reports):
    assert reports.statuses[-1] == "running", reports.causes
    node.user().set("k", "v")
    time.sleep(1.1)  # as often as it writes to disk
    node.kill()
    node.manager.update_status()
    assert reports.statuses[-1] == "crashed"
    node.call("restart")
    node.user().set("l", "w")
    node.call("restart")
    assert node.user().mget("k", "l") == ["v", "w"]
    node.call("stop_db", True)
    assert reports.statuses[-1] == "shutdown"
    assert node.app.start_at_boot() is False
    node.call("start_db_with_conf_changes", node.contents(2048))
    assert node.user().config_get("maxmemory")["maxmemory"] != "0"
    assert node.user().get("l") == "w"
    node.manager.update_status()
    assert reports.payloads[-1]["facts"]["access"] is True
    assert reports.payloads[-1]["facts"]["saves"] is True


def test_users_and_databases_are_refused(node):
    for method, argument in (("create_database", []), ("list_users", None), ("grant_access", "u")):
        with pytest.raises(exception.DatastoreOperationNotSupported):
            node.call(method, *([argument] if method != "grant_access" else ["u", "%", []]))


def test_users_do_not_get_what_would_take_the_server_away(node):
    for command in ("CONFIG SET maxmemory 0", "CONFIG REWRITE", "ACL LIST", "ACL SETUSER x on", "MODULE LIST",
                    "DEBUG SLEEP 0", "SHUTDOWN NOSAVE", "REPLICAOF NO ONE", "SLAVEOF NO ONE", "FAILOVER", "SAVE",
                    "BGSAVE", "BGREWRITEAOF", "CLUSTER RESET", "CLIENT PAUSE 1", "PSYNC ? -1", "SYNC",
                    "REPLCONF ACK 1"):
        with pytest.raises(redis.exceptions.ResponseError, match="no permissions|not allowed"):
            node.user().execute_command(*command.split())
    for command in ("SET a b", "KEYS *", "INFO", "CONFIG GET maxmemory", "CLIENT LIST", "SLOWLOG GET", "FLUSHALL",
                    "LATENCY LATEST", "ROLE", "PUBLISH c m", "SWAPDB 0 1", "EVAL return(0) 0"):
        node.user().execute_command(*command.split())


def test_root_is_the_password_that_the_server_always_has(node, reports):
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=node.port, retry=None).ping()
    assert node.call("is_root_enabled") is False
    first = node.call("enable_root")
    assert first["_name"] == "default"
    assert node.call("enable_root")["_password"] == first["_password"]
    client = node.user(first["_password"])
    assert client.ping()
    assert node.call("is_root_enabled") is True
    assert node.call("enable_root_with_password", "one of my own")["_password"] == "one of my own"
    open_one = node.user("one of my own")
    assert open_one.ping()
    node.call("disable_root")
    for known in (open_one, node.user(first["_password"])):
        with pytest.raises((redis.exceptions.AuthenticationError, redis.exceptions.ConnectionError)):
            known.ping()
            known.ping()
    assert node.call("is_root_enabled") is False
    node.call("restart")
    assert node.user(node.call("enable_root")["_password"]).ping()


def test_the_agent_gets_its_access_back(node, conf):
    node.manager.update_status()
    admin = node.app.client()
    admin.execute_command("ACL", "SETUSER", "default", "nopass", "+@all")
    admin.execute_command("ACL", "SETUSER", "intruder", "on", ">x", "+@all", "~*")
    node.manager.update_status()
    assert node.app.access.repairs == 1
    assert admin.execute_command("ACL", "USERS") == ["default", "os_admin"]
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=node.port, retry=None).ping()
    admin.execute_command("ACL", "SETUSER", "os_admin", "resetpass", ">other")
    node.app._clients.clear()
    node.manager.update_status()
    node.manager.update_status()
    assert node.app.access.whole is True
    assert node.app.access.repairs == 2


def test_the_agent_needs_no_tenants_connections(node, conf):
    node.app.client().config_set("maxclients", 3)
    node.app.look().ping()
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            with contextlib.suppress(redis.exceptions.ConnectionError):
                client = node.user()
                stack.callback(client.close)
                client.ping()
        assert node.manager.status.get_actual_db_status().description == "running"


# Settings

def test_the_rules_are_the_servers(node):
    rules = json.loads(RULES.read_text())["configuration-parameters"]
    client, defaults = node.app.client(), template.defaults("redis", "redis", "7.0", {"ram": 256}, "i-1")
    known = client.config_get("*")
    for rule in rules:
        name = rule["name"]
        assert name in known, name
        assert name in defaults, f"{name} has no default in the template, to which a group that is detached returns"
        values = {"boolean": ["yes", "no"], "string": [known[name]],
                  "integer": [rule.get("min"), rule.get("max")]}[rule["type"]]
        if rule["type"] == "boolean":
            assert known[name] in ("yes", "no"), name
        for value in [value for value in values if value is not None]:
            if name in ("appendonly", "maxclients"):
                continue
            try:
                client.config_set(name, value)
            except redis.exceptions.ResponseError as error:
                assert rule["restart_required"], f"{name} {value}: {error}"
                assert "immutable" in str(error), f"{name} {value}: {error}"
            else:
                assert not rule["restart_required"], name
        if not rule["restart_required"]:
            client.config_set(name, known[name])


def test_a_group_is_set_in_the_running_server_and_goes_again(node):
    wanted = {"maxmemory-policy": "allkeys-lru", "lazyfree-lazy-expire": True, "timeout": 7, "save": "900 1",
              "notify-keyspace-events": "KEA"}
    node.call("update_overrides", wanted)
    assert node.call("apply_overrides", wanted) == {}
    assert node.call("apply_overrides", {"hz": "many", "databases": 3}).keys() == {"hz", "databases"}
    node.call("restart")
    for name, value in (("maxmemory-policy", "allkeys-lru"), ("lazyfree-lazy-expire", "yes"), ("timeout", "7"),
                        ("save", "900 1")):
        assert node.user().config_get(name) == {name: value}
    defaults = template.defaults("redis", "redis", "7.0", {"ram": 256}, "i-1")
    node.call("update_overrides", {}, True)
    assert node.call("apply_overrides", {name: defaults[name] for name in wanted}) == {}
    assert node.user().config_get("save") == {"save": "3600 1 300 100 60 10000"}


def test_a_server_that_does_not_start_says_why(node):
    node.user().set("k", "v")
    node.call("update_overrides", {"io-threads": 500})
    with pytest.raises(exception.TroveError, match="its own log says why. It says: argument must be between 1 and 128"):
        node.call("restart")
    node.call("update_overrides", {}, True)
    node.call("restart")
    assert node.user().get("k") == "v"


def test_append_only_goes_off_and_on_without_a_loss(node):
    user = node.user()
    user.set("k", "1")
    for value, running in ((False, True), (True, True), (False, False), (True, False)):
        user.incr("k")
        node.call("update_overrides", {"appendonly": value})
        if running:
            assert node.call("apply_overrides", {"appendonly": value}) == {}
        node.call("restart")
        assert node.user().config_get("appendonly") == {"appendonly": "yes" if value else "no"}
        assert (node.layout.data / data.APPEND_ONLY).exists() == value
    assert node.user().get("k") == "5"


def test_a_certificate_opens_a_port_for_tls_and_is_replaced_meanwhile(node, tmp_path):
    certificate, key = pki.make_authority("CA of tests", 1)
    pki.write_new(tmp_path / "ca.pem", certificate, 0o644)
    pki.write_new(tmp_path / "ca.key", key, 0o600)
    authority = pki.Authority.load(tmp_path / "ca.pem", tmp_path / "ca.key")

    def serial():
        with ssl.create_default_context(cafile=tmp_path / "ca.pem").wrap_socket(
                socket.create_connection(("127.0.0.1", node.layout.tls_port)), server_hostname="i-1") as connection:
            return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True)).serial_number

    seen = set()
    for _ in range(2):
        node.app.install_certificate(authority.issue("i-1", pki.after(1), (pki.SERVER,), ["i-1"]))
        seen.add(serial())
    assert len(seen) == 2
    node.call("restart")
    assert serial() in seen
    assert node.user().ping()


# Backups

def test_a_backup_has_everything(nodes, node, reports, container):  # noqa: F811
    user = node.user()
    user.mset({f"k{n}": "v" * 1000 for n in range(2000)})
    taken = Backups(reports).take(node, "RedisBackup")
    assert taken.get("type"), taken
    user.set("later", 1)
    assert not (node.layout.data / "trove.backup.rdb").exists()
    for name, more in (("b", {}), ("c", {"overrides": {"appendonly": False}})):
        other = nodes(name).prepare(backup_info={"id": taken["id"], "type": taken["type"], "chain": [taken]}, **more)
        assert reports.statuses[-1] == "running", reports.causes
        assert other.user().dbsize() == 2000
        assert other.call("is_root_enabled") is False
        other.user().set("own", 1)
        other.call("restart")
        assert other.user().dbsize() == 2001


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: data[:200] + b"x" + data[201:],
                                    lambda data: b"", lambda data: b"no snapshot"])
def test_a_snapshot_that_is_damaged_is_refused(node, damage, tmp_path):
    node.user().set("k", "v" * 500)
    node.app.client().config_set("rdbcompression", "no")
    node.app.data.save()
    damaged = damage(node.app.data.snapshot.read_bytes())
    with pytest.raises(exception.TroveError, match="no snapshot that redis-server can read"):
        restore.RedisBackup(node.app, tmp_path).restore(Incoming(iter([damaged])))


def test_a_snapshot_that_fails_says_why_and_stops_no_writes(node, monkeypatch):
    node.user().set("k", "v")
    node.layout.data.chmod(0o500)
    with pytest.raises(exception.TroveError, match="could not write a snapshot: .*Permission denied"):
        node.app.data.save()
    node.user().set("k", "w")
    node.layout.data.chmod(0o700)
    node.app.data.save()
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=5, f_frsize=data.MB))
    with pytest.raises(exception.TroveError, match="which has 5 MB left. Resize the volume"):
        node.app.data.save()


def test_a_full_volume_is_told_and_keeps_no_server_from_ending(nodes, reports):
    node = nodes("a")
    node.layout.mount_point.mkdir()
    operating_system.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(node.layout.mount_point)])
    try:
        node.prepare()
        user, password = node.user(), node.password
        with pytest.raises(redis.exceptions.ResponseError, match="MISCONF"):
            for n in range(1000):
                user.set(n, "v" * 1000000)
        node.manager.update_status()
        assert reports.statuses[-1] == "running"
        facts = reports.payloads[-1]["facts"]
        assert (facts["volume_full"], facts["saves"]) == (True, False)
        kept = set(user.keys())
        with pytest.raises(exception.TroveError, match="Resize the volume or remove data"):
            node.app.data.save()
        node.call("stop_db")
        operating_system.run(["mount", "-o", "remount,size=200m", str(node.layout.mount_point)])
        node.call("restart")
        user = node.user(password)
        assert kept - {str(len(kept) - 1)} <= set(user.keys())
        user.set("more", 1)
        node.manager.update_status()
        assert reports.payloads[-1]["facts"]["saves"] is True
    finally:
        node.kill()
        operating_system.run(["umount", str(node.layout.mount_point)])


# Replication

@pytest.fixture
def pair(nodes):
    """A source with data, and two replicas of it."""
    source, first, second = (nodes(name).prepare() for name in "abc")
    source.user().set("k", "before")
    source.sources(first, second)
    for replica in (first, second):
        replica.follow(source)
    return source, first, second


def test_replicas_follow_with_the_password_of_their_source(pair):
    source, *replicas = pair
    source.user().set("k", "after")
    password = source.password
    for replica in replicas:
        assert replica.caught_up(source)
        assert replica.user(password).get("k") == "after"
        with pytest.raises(redis.exceptions.ReadOnlyError):
            replica.user(password).set("k", "mine")
        assert replica.manager.replication.health() == {"running": True, "lag": 0, "error": None}
    assert "slave0" in source.app.role()
    before = replicas[0].user(password)
    assert before.ping()
    new = source.call("enable_root_with_password", "another one")["_password"]
    replicas[0].manager.update_status()
    assert replicas[0].user(new).get("k") == "after"
    with pytest.raises(redis.exceptions.ConnectionError):
        before.ping()


def test_a_replica_comes_back_after_a_restart(pair):
    source, replica, _ = pair
    replica.call("restart")
    source.user().set("k", "meanwhile")
    wait_until(lambda: (replica.manager.replication.health() or {})["running"])
    assert replica.caught_up(source)


def test_a_replica_that_the_init_system_started_follows_again(pair):
    source, replica, _ = pair
    replica.kill()
    replica.app.service.start()
    wait_until(lambda: replica.app.status.get_actual_db_status().description == "running")
    wait_until(lambda: replica.manager.replication.health()["running"])
    secret = replica.account["password"]
    open_files = [path for path in (replica.root / "etc").iterdir() if path.stat().st_mode & 0o004]
    assert open_files
    assert not [path for path in open_files if secret in path.read_text()]
    assert replica.caught_up(source)


def test_changing_places_loses_no_write(pair):
    source, candidate, other = pair
    password = source.password
    written, refused = [], threading.Event()

    def write():
        client = source.user(password)
        for n in range(100000):
            try:
                client.rpush("written", n)
            except redis.exceptions.ResponseError:
                refused.set()
                return
            written.append(n)
    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: len(written) > 200)
    candidate.sources(other, source)
    source.call("make_read_only", True)
    assert refused.wait(10)
    txn = source.call("get_latest_txn_id")
    assert candidate.call("wait_for_txn", txn)
    candidate.call("detach_replica", True)
    with pytest.raises(redis.exceptions.NoPermissionError):
        candidate.user(password).set("k", "early")
    ended = candidate.call("get_latest_txn_id")
    assert candidate.call("get_latest_txn_id") == ended
    candidate.call("make_read_only", False)
    candidate.user(password).set("k", "new source")
    other.follow(candidate)
    source.call("demote_replication_master")
    source.follow(candidate)
    for replica in (other, source):
        assert replica.caught_up(candidate)
        assert replica.user(password).get("k") == "new source"
        assert [int(n) for n in replica.user(password).lrange("written", 0, -1)] == written
    source.call("restart")
    with pytest.raises(redis.exceptions.ReadOnlyError):
        source.user(password).set("k", "mine")


def test_the_best_replica_is_found_after_the_death_of_the_source(pair):
    source, first, second = pair
    password = source.password
    second.call("stop_db")
    source.user(password).set("k", "only the first has it")
    assert first.caught_up(source)
    first.manager.update_status()
    source.kill()
    second.call("restart")
    best, worse = (replica.call("get_last_txn") for replica in (first, second))
    assert best["source"] == worse["source"] != ""
    assert best["count"] > worse["count"]
    first.call("restart")  # does not make it forget
    assert first.call("get_last_txn") == best
    assert first.call("wait_for_txn", best["txn"])
    first.call("detach_replica", True)
    first.call("make_read_only", False)
    assert first.user(password).get("k") == "only the first has it"
    first.sources(second)
    second.follow(first)
    assert second.caught_up(first)
    assert second.user(password).get("k") == "only the first has it"


def test_a_detached_replica_is_its_own(pair):
    source, replica, _ = pair
    password = source.password
    replica.call("detach_replica", False)
    replica.user(password).set("k", "own")
    assert replica.manager.replication.health() is None
    source.call("cleanup_source_on_replica_detach", {"user": replica.account["user"]})
    assert replica.account["user"] not in source.app.client().execute_command("ACL", "USERS")
    assert source.user(password).get("k") == "before"


def test_a_source_that_refuses_is_an_error_with_its_reason(nodes, conf):
    source, replica = nodes("a").prepare(), nodes("b").prepare()
    conf.set_override("agent_call_high_timeout", 4)
    with pytest.raises(exception.TroveError, match="WRONGPASS|denied"):
        replica.follow(source)
