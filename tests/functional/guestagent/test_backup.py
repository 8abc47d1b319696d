"""Backups of a real server through the agent's own code and minicloud's Swift, and what is restored from them."""
import contextlib
import gzip
import shutil
import subprocess
import threading
import time

import pymysql
import pytest

from tests import guests
from tests.functional.guestagent.conftest import end, make_guest
from tests.guests import PASSWORD, Backups, refused, restore
from tests.waiting import wait_until
from trove.backup import store
from trove.common import remote
from trove.common.context import TroveContext
from trove.db import models as db_models
from trove.guestagent.datastore.mysql_common import clone

pytestmark = pytest.mark.slow

# What each engine's guests take by default, and what the names of those backups end in.
FULL = {"mariadb": ("MariaBackup", ".xbstream.zst.gcm"), "mysql": ("MySQLClone", ".tar.zst.gcm")}
only_mariadb = pytest.mark.parametrize("tested", ["mariadb"], indirect=True)
only_mysql = pytest.mark.parametrize("tested", ["mysql"], indirect=True)


class Machine(guests.Machine):
    """A guest with its agent."""

    def prepare(self, **more):
        """See the base."""
        super().prepare(**{"config_contents": self.guest.config_contents(), **more})

    def sql(self, *statements):
        """The answer to the last statement, as the tenant's user."""
        connection = pymysql.connect(unix_socket=str(self.guest.layout.socket), user="u1", password=PASSWORD,
                                     database="db1", charset="utf8mb4", autocommit=True)
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()


@pytest.fixture
def machines(conf, direct, reports, tested, packaged_data):
    """Makes guests; all servers are ended and all files removed at the end."""
    made = []

    def make():
        guest = make_guest(tested)
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


@pytest.fixture
def backups(reports, container):
    return Backups(reports)


@only_mariadb
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


@pytest.mark.parametrize("dump", [False, True], ids=["physical", "dump"])
def test_accounts_and_root_are_those_of_the_backup(source, machines, backups, reports, dump):
    source.manager.enable_root_with_password(TroveContext(user_id="user-1"), "the root of then")
    full = backups.take(source, "MySQLDump" if dump else None)
    source.manager.disable_root(TroveContext())
    target = machines()
    reports.roots.clear()
    restore(target, full)
    assert reports.statuses[-1] == "running", reports.causes
    assert target.sql("SELECT v FROM t ORDER BY n") == (("one",), ("two",))
    assert target.manager.is_root_enabled(TroveContext())
    assert reports.roots
    assert [user["_name"] for user in target.manager.list_users(TroveContext())[0]] == ["u1"]
    connection = pymysql.connect(unix_socket=str(target.guest.layout.socket), user="os_admin",
                                 password=target.manager.app.admin_password())
    connection.close()
    # Nothing of the way in is left: the server has the new password, and starts as always.
    target.manager.restart(TroveContext())
    assert sorted(path.name for path in target.guest.layout.overrides.iterdir()) == [
        "50-system-001-ownway.cnf", "50-system-002-archive.cnf"]
    assert not list(target.guest.layout.run_dir.glob("*.sql"))


@contextlib.contextmanager
def writers(machine, number, pause):
    """Threads that each commit a transaction on two tables and then wait ``pause`` seconds, until the block ends.

    Gives a list that grows with every transaction that the server has acknowledged.
    """
    machine.sql("CREATE TABLE other LIKE t")
    ending, written = threading.Event(), []

    def write():
        connection = pymysql.connect(unix_socket=str(machine.guest.layout.socket), user="u1", password=PASSWORD,
                                     database="db1")
        with connection, connection.cursor() as cursor:
            while not ending.wait(pause):
                for table in ("t", "other"):
                    cursor.execute(f"INSERT INTO {table} (v) VALUES ('written')")
                connection.commit()
                written.append(1)
    threads = [threading.Thread(target=write) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield written
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def test_while_it_is_written_to(source, machines, backups, reports, engine):
    """Two tables that every transaction changes alike are alike in the backup too, with all that was acknowledged
    before it began. Eight writers make some 500 transactions a second.
    """
    with writers(source, 8, 0.014) as written:
        wait_until(lambda: len(written) >= 100)
        before, begun = len(written), time.monotonic()
        chain = [backups.take(source)]
        rate = (len(written) - before) / (time.monotonic() - begun)
        if engine == "mariadb":
            before = len(written)
            chain.append(backups.take(source, "MariaBackupIncremental", chain[0]))
        after = len(written)
    target = machines()
    restore(target, *chain)
    assert reports.statuses[-1] == "running", reports.causes
    [(first, second)] = target.sql("SELECT (SELECT COUNT(*) FROM t WHERE v = 'written'), (SELECT COUNT(*) FROM other)")
    assert first == second
    # Each writer may have committed one that it has not counted yet.
    assert before <= first <= after + 8, f"{rate:.0f} transactions/s"


@only_mysql
def test_a_clone_that_cannot_be_is_refused_before_it_begins(source, backups, monkeypatch):
    for_sure = clone.size(source.guest.layout.data)
    assert for_sure > 20 * clone.MB
    with monkeypatch.context() as patch:
        patch.setattr(clone, "_free", lambda directory: for_sure - 1)
        assert "MB are free. Resize the volume" in backups.take(source)["note"]
    source.sql("CREATE TABLE old (n INT) ENGINE=MyISAM")
    assert "db1.old (MyISAM)" in backups.take(source)["note"]
    source.sql("DROP TABLE old")
    # The number of the server's error, when it is the one that refuses.
    (source.guest.layout.mount_point / clone.DIRECTORY).touch()
    monkeypatch.setattr(clone, "remove", lambda app: None)
    assert "cannot be cloned: The database server refused the command (error 1006)" in backups.take(source)["note"]


@only_mysql
def test_a_clone_of_an_agent_that_died_is_ended_and_removed(source, machines, backups, reports):
    """The server goes on with a statement whose client is gone."""
    app, directory = source.manager.app, source.guest.layout.mount_point / clone.DIRECTORY
    with app.session() as session:
        session.execute("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
        session.execute("SET GLOBAL clone_autotune_concurrency = OFF, clone_max_concurrency = 1, "
                        "clone_max_data_bandwidth = 1")
    abandoned = app.connect()
    abandoned.query = lambda text: abandoned._execute_command(3, text)
    abandoned.query(f"CLONE LOCAL DATA DIRECTORY = '{directory}'")
    wait_until((directory / "ibdata1").exists)
    source.manager.backups._remember(TroveContext(), "b-1", kind="MySQLClone")
    source.manager.update_status()
    assert reports.backups[-1]["state"] == "FAILED"
    assert not directory.exists()
    with app.session() as session:
        assert session.execute("SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'CLONE LOCAL%%'") == ()
        session.execute("SET GLOBAL clone_max_data_bandwidth = 0")
    abandoned._force_close()
    # The next one finds nothing in its way.
    target = machines()
    restore(target, backups.take(source))
    assert reports.statuses[-1] == "running", reports.causes
    assert not directory.exists()


@only_mariadb
def test_a_strategy_of_another_server_says_so(source, backups):
    assert "only MySQL 8.0.17" in backups.take(source, "MySQLClone")["note"]
    assert "xtrabackup is not installed" in backups.take(source, "InnoBackupEx")["note"]


def test_a_report_that_the_bus_does_not_take_is_sent_later(source, backups, reports):
    stream = source.manager.backups.stream_to_store

    def broken_meanwhile(info):
        reports.broken = True
        return stream(info)
    source.manager.backups.stream_to_store = broken_meanwhile
    info = {"id": db_models.new_id(), "backup_type": FULL[source.guest.engine][0], "parent": None, "key": None}
    store.make(info["id"])
    info["storage"] = store.signatures(store.place(info["id"]), ("PUT", "POST"), 600)
    source.manager.create_backup(TroveContext(), info)
    reports.broken = False
    source.manager.update_status()
    assert [report["state"] for report in reports.backups] == ["BUILDING", "SAVING"]
    source.manager.create_backup(TroveContext(), info)  # the command comes again
    assert [report["state"] for report in reports.backups] == ["BUILDING", "SAVING", "SAVING"]


@only_mariadb
def test_what_goes_wrong_is_reported_with_its_cause(source, backups, reports, conf):
    conf.set_override("backup_request_patience", 0)
    assert "lsn" in backups.take(source, "MariaBackupIncremental", None)["note"]
    plain = backups.take(source, "MariaBackup", key=None)
    assert "note" not in plain
    conf.set_override("backup_runner_options", {"MariaBackup": "--no-such-option"})
    assert "mariadb-backup failed" in backups.take(source)["note"]
    conf.clear_override("backup_runner_options")
    expired = {"storage": store.signatures(store.place(plain["id"]), ("PUT", "POST"), -10)}
    assert "signature" in backups.take(source, **expired)["note"]


@only_mariadb
def test_old_streams_of_openssl_are_read(source, machines, backups, reports, conf, tmp_path):
    """As Trove of old made them: xbstream, gzip, openssl with a pass phrase and the digest of its day."""
    plain = backups.take(source, key=None)
    conf.set_override("backup_aes_cbc_key", "the pass phrase of then")
    swift = remote.swift_client()
    where = store.place(plain["id"], plain["location"])
    stream = subprocess.run(["zstd", "-dc"], input=swift.get_object(where.container, where.manifest)[1],
                            capture_output=True, check=True).stdout
    for digest in ("md5", "sha256"):
        sealed = subprocess.run(
            ["openssl", "enc", "-aes-256-cbc", "-salt", "-md", digest, "-pass", "env:P"],
            input=gzip.compress(stream, 1), env={"P": "the pass phrase of then", "PATH": "/usr/bin"},
            capture_output=True, check=True).stdout
        swift.put_object(where.container, where.segment(0), sealed)
        [segment] = store.segments(where, 1)
        old = {**plain, "location": f"http://h/v1/AUTH_x/c/{plain['id']}.xbstream.gz.enc", "key": None,
               "segments": [[segment.name, segment.size, segment.hash]], "checksum": store.checksum([segment])}
        target = machines()
        restore(target, old)
        assert reports.statuses[-1] == "running", reports.causes
        assert target.sql("SELECT v FROM t ORDER BY n") == (("one",), ("two",))
    conf.set_override("backup_aes_cbc_key", "another")
    assert "pass phrase" in refused(machines(), reports, old)
