"""Backups of a real MariaDB through the agent's own code and minicloud's Swift, and what is restored from them."""
import gzip
import hashlib
import shutil
import subprocess
import threading
import time

import pymysql
import pytest

from tests.fakes import cloud as fake_cloud
from tests.functional.guestagent.conftest import end, make_guest
from trove.backup import store
from trove.common import crypto, exception, remote
from trove.common.context import TroveContext
from trove.db import models as db_models
from trove.guestagent.datastore.experimental.mariadb.manager import Manager

pytestmark = pytest.mark.slow

PASSWORD = "it's \\ a \"%s\"; DROP"
USERS = [{"_name": "u1", "_host": "%", "_password": PASSWORD, "_databases": [{"_name": "db1"}]}]


@pytest.fixture(scope="module")
def running_cloud(tmp_path_factory):
    cloud = fake_cloud.Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.stop()


@pytest.fixture
def container(conf, running_cloud):
    """The container of backups in a running Swift."""
    running_cloud.configure(conf)
    conf.set_override("backup_encryption_key", "a key for tests, never for a deployment")
    store.ensure_container()
    yield conf.backup_swift_container
    remote.reset()


class Machine:
    """A guest with its agent."""

    def __init__(self, conf, guest):
        self.conf, self.guest = conf, guest
        self.enter()
        self.manager = Manager(layout=guest.layout)

    def enter(self):
        """Everything that the agent's code reads from now on is this guest's."""
        self.conf.set_override("guest_state_dir", str(self.guest.root / "state"))
        self.conf.set_override("mount_point", str(self.guest.layout.mount_point), group="mariadb")

    def prepare(self, **more):
        self.enter()
        self.manager.prepare(TroveContext(), **{
            "packages": [], "databases": [{"_name": "db1"}], "memory_mb": 256, "users": USERS,
            "config_contents": self.guest.config_contents(), **more})

    def sql(self, *statements):
        """The answer to the last statement, as the tenant's user."""
        connection = pymysql.connect(unix_socket=str(self.guest.layout.socket), user="u1", password=PASSWORD,
                                     database="db1", charset="utf8mb4", autocommit=True)
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()


@pytest.fixture
def machines(conf, direct, reports, packaged_data):
    """Makes guests; all servers are ended and all files removed at the end."""
    made = []

    def make():
        guest = make_guest()
        conf.set_override("guest_id", "i-1")
        conf.set_override("guest_key", "the key of this guest only")
        guest.layout.template.symlink_to(packaged_data)
        made.append(Machine(conf, guest))
        return made[-1]
    yield make
    for machine in made:
        machine.enter()
        end(machine.manager.app)
        shutil.rmtree(machine.guest.root)


@pytest.fixture
def source(machines):
    """A server with data."""
    machine = machines()
    machine.prepare()
    machine.sql("CREATE TABLE t (n INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) ENGINE=InnoDB",
                "INSERT INTO t (v) VALUES ('one'), ('two')")
    return machine


class Backups:
    """What the control plane does around the agent's work."""

    def __init__(self, reports):
        self.reports = reports
        self.links = {}

    def take(self, machine, kind="MariaBackup", parent=None, **more):
        """Take a backup; returns its link for a restore."""
        machine.enter()
        backup_id = db_models.new_id()
        info = {"id": backup_id, "backup_type": kind, "parent": None, "key": crypto.backup_key(backup_id),
                "storage": store.signatures(backup_id, ("PUT", "POST"), 600), **more}
        if parent:
            info["parent"] = {"metadata": store.manifest(store.object_name(parent["location"]))[1]}
        machine.manager.create_backup(TroveContext(), info)
        report = self.reports.backups[-1]
        assert report["id"] == backup_id
        if report["state"] != "SAVING":
            return report
        segments = store.segments(backup_id)
        assert store.checksum(segments) == report["checksum"]
        metadata = store.segment_metadata(backup_id)
        location, etag = store.write_manifest(backup_id, backup_id + metadata.pop("extension"), metadata)
        assert (etag, location) == (report["checksum"], report["location"])
        return {"id": backup_id, "type": kind, "location": location, "checksum": etag, "key": info["key"],
                "segments": [[each.name, each.size, each.hash] for each in segments],
                "storage": store.signatures(backup_id, ("GET",), 600)}


@pytest.fixture
def backups(reports, container):
    return Backups(reports)


def restore(machine, *chain):
    machine.prepare(databases=[], users=[], backup_info={"id": chain[-1]["id"], "type": chain[-1]["type"],
                                                        "chain": list(chain)})


def test_full(source, machines, backups, reports):
    full = backups.take(source)
    assert full["location"].endswith(f"{full['id']}.xbstream.zst.gcm")
    assert [report["state"] for report in reports.backups] == ["BUILDING", "SAVING"]
    assert reports.backups[0]["size"] > 0
    source.sql("INSERT INTO t (v) VALUES ('later')")
    target = machines()
    restore(target, full)
    assert reports.statuses[-1] == "running", reports.causes
    assert target.sql("SELECT v FROM t ORDER BY n") == (("one",), ("two",))


def test_a_chain_of_three_increments(source, machines, backups, reports):
    chain = [backups.take(source)]
    for number in range(3):
        source.sql(f"INSERT INTO t (v) VALUES ('increment {number}')")
        chain.append(backups.take(source, "MariaBackupIncremental", chain[-1]))
    source.sql("INSERT INTO t (v) VALUES ('later')")
    target = machines()
    restore(target, *chain)
    assert reports.statuses[-1] == "running", reports.causes
    assert [row[0] for row in target.sql("SELECT v FROM t ORDER BY n")] == [
        "one", "two", "increment 0", "increment 1", "increment 2"]
    assert not list(target.guest.layout.data.glob("xtrabackup_*"))


def test_a_dump(source, machines, backups, reports):
    full = backups.take(source, "MySQLDump")
    target = machines()
    restore(target, full)
    assert reports.statuses[-1] == "running", reports.causes
    assert target.sql("SELECT v FROM t ORDER BY n") == (("one",), ("two",))


def test_accounts_and_root_are_those_of_the_backup(source, machines, backups, reports):
    source.manager.enable_root_with_password(TroveContext(user_id="user-1"), "the root of then")
    full = backups.take(source)
    source.manager.disable_root(TroveContext())
    target = machines()
    reports.roots.clear()
    restore(target, full)
    assert target.manager.is_root_enabled(TroveContext())
    assert reports.roots
    assert [user["_name"] for user in target.manager.list_users(TroveContext())[0]] == ["u1"]
    connection = pymysql.connect(unix_socket=str(target.guest.layout.socket), user="os_admin",
                                 password=target.manager.app._admin_password())
    connection.close()


def test_while_it_is_written_to(source, machines, backups, reports):
    """Two tables that every transaction changes alike are alike in the backup too."""
    source.sql("CREATE TABLE other LIKE t")
    ending, written = threading.Event(), []

    def write():
        connection = pymysql.connect(unix_socket=str(source.guest.layout.socket), user="u1", password=PASSWORD,
                                     database="db1")
        with connection, connection.cursor() as cursor:
            while not ending.is_set():
                for table in ("t", "other"):
                    cursor.execute(f"INSERT INTO {table} (v) VALUES ('written')")
                connection.commit()
                written.append(1)
                time.sleep(0.001)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(written) < 20:
            time.sleep(0.01)
        full = backups.take(source)
        more = len(written)
        chain = [full, backups.take(source, "MariaBackupIncremental", full)]
    finally:
        ending.set()
        writer.join()
    target = machines()
    restore(target, *chain)
    assert reports.statuses[-1] == "running", reports.causes
    [(first, second)] = target.sql("SELECT (SELECT COUNT(*) FROM t WHERE v = 'written'), (SELECT COUNT(*) FROM other)")
    assert first == second
    assert more - 1 <= first <= len(written)


def damage(name, position=None, cut=None):
    """Change an object as a broken disk or a foolish hand would: its bytes in Swift are others, with another ETag."""
    swift = remote.swift_client()
    data = bytearray(swift.get_object("database_backups", name)[1])
    if cut is not None:
        data = data[:cut]
    else:
        data[position] ^= 1
    swift.put_object("database_backups", name, bytes(data))
    return bytes(data)


def refused(machine, reports, *chain):
    """Restoring fails, nothing runs, and no data directory appears. Returns what the user is told."""
    with pytest.raises(exception.TroveError):
        restore(machine, *chain)
    assert reports.statuses[-1] == "failed to spawn"
    assert not machine.guest.layout.data.exists()
    return reports.causes[-1]


def test_every_corruption_is_named_and_nothing_is_started(source, machines, backups, reports, conf):
    conf.set_override("backup_request_retries", 0)
    full = backups.take(source)
    name = f"{full['id']}_00000000"
    target = machines()
    [[_, size, _]] = full["segments"]
    # The key of another deployment.
    assert "another key" in refused(target, reports, {**full, "key": "0" * 64})
    assert "key is missing" in refused(target, reports, {**full, "key": None})
    # The list of segments does not fit the backup.
    assert "checksum" in refused(target, reports, {**full, "segments": []})
    # Another stream of the same deployment in its place.
    other = backups.take(source)
    assert other["id"] in refused(target, reports, {**other, "key": full["key"]})
    # A flipped bit, which the checksum shows at the end, and the cipher before the bytes of the block are used.
    data = damage(name, size // 2)
    said = refused(target, reports, full)
    assert name in said or full["id"] in said
    # The same with sums that were made to fit: only the cipher can tell.
    forged = hashlib.md5(data).hexdigest()
    fitting = {"segments": [[name, size, forged]], "checksum": hashlib.md5(forged.encode()).hexdigest()}
    assert "damaged" in refused(target, reports, {**full, **fitting})
    # The end is missing.
    data = damage(name, cut=size - 100)
    assert "damaged" in refused(target, reports, full)
    remote.swift_client().delete_object("database_backups", name)
    assert f"{name} of the object store: it is missing" in refused(target, reports, full)
    # The time for the guest is over, or it asks for what is not its own.
    foreign = {**other, "storage": {**full["storage"]}}
    assert "signature" in refused(target, reports, foreign)
    # A later attempt with what is whole succeeds.
    restore(target, other)
    assert reports.statuses[-1] == "running"


def test_an_agent_that_died_says_that_the_backup_failed(source, backups, reports):
    agent = source.manager.backups
    agent._remember("b-1")
    source.manager.update_status()
    assert reports.backups[-1]["state"] == "FAILED"
    assert "ended while" in reports.backups[-1]["note"]
    source.manager.update_status()
    assert len(reports.backups) == 1


def test_a_report_that_the_bus_does_not_take_is_sent_later(source, backups, reports):
    stream = source.manager.backups.stream_to_store

    def broken_meanwhile(info):
        reports.broken = True
        return stream(info)
    source.manager.backups.stream_to_store = broken_meanwhile
    info = {"id": db_models.new_id(), "backup_type": "MariaBackup", "parent": None, "key": None}
    info["storage"] = store.signatures(info["id"], ("PUT", "POST"), 600)
    source.manager.create_backup(TroveContext(), info)
    reports.broken = False
    source.manager.update_status()
    assert [report["state"] for report in reports.backups] == ["BUILDING", "SAVING"]
    source.manager.create_backup(TroveContext(), info)  # the command comes again
    assert [report["state"] for report in reports.backups] == ["BUILDING", "SAVING", "SAVING"]


def test_what_goes_wrong_is_reported_with_its_cause(source, backups, reports, conf):
    conf.set_override("backup_request_retries", 0)
    assert "lsn" in backups.take(source, "MariaBackupIncremental", None)["note"]
    assert "backup_strategy" not in backups.take(source, "MariaBackup", key=None).get("note", "")
    conf.set_override("backup_runner_options", {"MariaBackup": "--no-such-option"})
    assert "mariadb-backup failed" in backups.take(source)["note"]
    conf.clear_override("backup_runner_options")
    expired = {"storage": store.signatures("x", ("PUT", "POST"), -10)}
    assert "signature" in backups.take(source, **expired)["note"]


def test_old_streams_of_openssl_are_read(source, machines, backups, reports, conf, tmp_path):
    """As Trove of old made them: xbstream, gzip, openssl with a pass phrase and the digest of its day."""
    plain = backups.take(source, key=None)
    conf.set_override("backup_aes_cbc_key", "the pass phrase of then")
    swift = remote.swift_client()
    stream = subprocess.run(["zstd", "-dc"], input=swift.get_object("database_backups", store.object_name(
        plain["location"]))[1], capture_output=True, check=True).stdout
    for digest in ("md5", "sha256"):
        sealed = subprocess.run(
            ["openssl", "enc", "-aes-256-cbc", "-salt", "-md", digest, "-pass", "env:P"],
            input=gzip.compress(stream, 1), env={"P": "the pass phrase of then", "PATH": "/usr/bin"},
            capture_output=True, check=True).stdout
        swift.put_object("database_backups", f"{plain['id']}_00000000", sealed)
        [segment] = store.segments(plain["id"])
        old = {**plain, "location": f"http://h/v1/AUTH_x/c/{plain['id']}.xbstream.gz.enc", "key": None,
               "segments": [[segment.name, segment.size, segment.hash]], "checksum": store.checksum([segment])}
        target = machines()
        restore(target, old)
        assert reports.statuses[-1] == "running", reports.causes
        assert target.sql("SELECT v FROM t ORDER BY n") == (("one",), ("two",))
    conf.set_override("backup_aes_cbc_key", "another")
    assert "pass phrase" in refused(machines(), reports, old)
