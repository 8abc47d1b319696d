"""Whatever the tenant's root does to the accounts of the agent and of replicas, the next look makes them again."""
import contextlib
import json
import os
import subprocess

import pymysql
import pytest

from tests.functional.guestagent.test_backup import Machine, machines  # noqa: F401 - a fixture
from trove.common import exception, utils
from trove.common.context import TroveContext
from trove.guestagent import volume
from trove.guestagent.datastore.mysql_common import access, service

pytestmark = pytest.mark.slow

ROOT_PASSWORD = "a root password"
BOTH = ("'os_admin'@'localhost'", "'os_admin'@'127.0.0.1'")
# Statements of the tenant's root; {} is one account after the other.
DAMAGES = {
    "dropped": ["DROP USER {}"],
    "locked": ["ALTER USER {} ACCOUNT LOCK"],
    "renamed": ["RENAME USER {} TO 'somebody'@'{n}'"],
    "given another password": ["ALTER USER {} IDENTIFIED BY 'another one'"],
    "expired": ["ALTER USER {} PASSWORD EXPIRE"],
    "without rights": ["REVOKE ALL PRIVILEGES, GRANT OPTION FROM {}"],
    "without the right to grant": ["REVOKE GRANT OPTION ON *.* FROM {}"],
    "without one right": ["REVOKE RELOAD ON *.* FROM {}"],
    "bound to a certificate": ["ALTER USER {} REQUIRE X509"],
    "limited": ["ALTER USER {} WITH MAX_QUERIES_PER_HOUR 1"],
}


class Tenant(Machine):
    """A guest whose tenant has an account with all rights, as its root is, and comes through the socket."""

    def root(self, *statements):
        """Let the tenant's root work; it has another name here, as the local root is the system's."""
        connection = pymysql.connect(unix_socket=str(self.guest.layout.socket), user="boss", password=ROOT_PASSWORD,
                                     autocommit=True)
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    def damage(self, statements, accounts=BOTH):
        for number, account in enumerate(accounts):
            self.root(*(statement.format(account, n=number) for statement in statements))

    def works(self):
        """Management works again after one heartbeat; the users' view of it too."""
        self.enter()
        self.manager.update_status()
        self.manager.create_database(TroveContext(), [{"_name": "after"}])
        self.manager.delete_database(TroveContext(), {"_name": "after"})
        self.manager.create_user(TroveContext(), [{"_name": "u9", "_host": "%", "_databases": [],
                                                          "_password": utils.generate_random_password()}])
        self.manager.delete_user(TroveContext(), {"_name": "u9", "_host": "%"})
        return self.manager.app.access.is_whole()


@pytest.fixture
def tenant(machines, monkeypatch):  # noqa: F811
    machine = machines()
    machine.__class__ = Tenant
    machine.prepare()
    with machine.manager.app.session() as session:
        session.set_password("boss", "%", ROOT_PASSWORD)
        session.execute("GRANT ALL PRIVILEGES ON *.* TO 'boss'@'%%' WITH GRANT OPTION")
    machine.manager.update_status()
    return machine


def server_of(machine):
    """The number of the server's process."""
    return machine.guest.layout.pid_file.read_text()


def told(caplog, words):
    return sum(words in record.getMessage() for record in caplog.records)


def test_every_damage_is_repaired_by_the_next_look_without_a_restart(tenant, reports, caplog):
    server = server_of(tenant)
    for number, (name, statements) in enumerate(DAMAGES.items(), 1):
        tenant.damage(statements)
        assert tenant.works(), name
        assert reports.payloads[-1]["facts"]["repairs"] == number, name
        assert reports.payloads[-1]["facts"]["access"] is True
        assert told(caplog, "was repaired as the local root") == number, name
    assert server_of(tenant) == server
    for _ in range(3):
        tenant.manager.update_status()
    assert reports.payloads[-1]["facts"]["repairs"] == len(DAMAGES), "what is whole is left alone"


def test_a_history_of_passwords_does_not_keep_the_agent_out(tenant):
    if tenant.guest.engine == "mysql":
        tenant.root("SET GLOBAL password_history = 5", "SET GLOBAL password_reuse_interval = 100")
    server = server_of(tenant)
    for _ in range(2):
        tenant.damage(["ALTER USER {} IDENTIFIED BY 'another one'"])
        assert tenant.works()
    assert server_of(tenant) == server


def test_one_of_the_two_accounts_is_repaired_too(tenant):
    for account in BOTH:
        tenant.damage(["DROP USER {}"], [account])
        assert tenant.works()


def test_with_the_local_root_gone_too_the_server_s_user_or_one_restart_repairs(tenant, reports, caplog):
    server = server_of(tenant)
    tenant.root("DROP USER 'root'@'localhost'")
    tenant.damage(["DROP USER {}"])
    assert tenant.works()
    restarted = server_of(tenant) != server
    assert restarted == (tenant.guest.engine == "mysql")
    assert told(caplog, "it is restarted") == restarted
    assert not (tenant.guest.layout.run_dir / "administrator.sql").exists()


def test_restarts_are_bounded_and_a_restart_on_demand_repairs(tenant, reports, caplog):
    if tenant.guest.engine == "mariadb":
        tenant.root("DROP USER 'mysql'@'localhost'")
    tenant.root("DROP USER 'root'@'localhost'")
    tenant.damage(["DROP USER {}"])
    assert tenant.works()
    tenant.damage(["DROP USER {}"])
    server = server_of(tenant)
    for _ in range(3):
        tenant.manager.update_status()
    assert server_of(tenant) == server, "not again so soon"
    assert reports.statuses[-1] == "running"
    assert reports.payloads[-1]["facts"]["access"] is False
    assert told(caplog, "is damaged") == 2, "each damage is logged once"
    assert told(caplog, "it is restarted") == 1
    tenant.manager.restart(TroveContext())
    assert tenant.works()


def test_a_command_under_way_is_not_cut_off_by_a_restart(tenant, reports):
    if tenant.guest.engine == "mariadb":
        tenant.root("DROP USER 'mysql'@'localhost'")
    tenant.root("DROP USER 'root'@'localhost'")
    tenant.damage(["DROP USER {}"])
    server = server_of(tenant)
    with tenant.manager.backups.working:
        tenant.manager.update_status()
    assert server_of(tenant) == server
    assert reports.payloads[-1]["facts"]["access"] is False
    assert tenant.works()


def test_nothing_is_repaired_while_the_volume_is_full(tenant, reports, monkeypatch):
    tenant.damage(["DROP USER {}"])
    with monkeypatch.context() as patch:
        patch.setattr(volume, "is_full", lambda room: True)
        tenant.manager.update_status()
        assert reports.payloads[-1]["facts"]["access"] is False
    assert tenant.works()


def test_commands_that_hold_all_connections_hold_up_neither_heartbeat_nor_restart(tenant, reports, conf, monkeypatch):
    conf.set_override("agent_call_high_timeout", 1)
    monkeypatch.setattr(access, "LOOK", 1)
    server, said = server_of(tenant), len(reports.payloads)
    with contextlib.ExitStack() as held:
        for _ in range(service._CONNECTIONS):
            held.enter_context(tenant.manager.app._places)
        tenant.manager.update_status()
        assert len(reports.payloads) > said
        assert reports.statuses[-1] == "running"
        tenant.manager.restart(TroveContext())
    assert server_of(tenant) != server
    assert tenant.works()


def test_a_dump_of_another_server_is_repaired_before_and_after_it_takes_effect(tenant, machines):  # noqa: F811
    other = machines()
    other.prepare()
    other.enter()
    with other.manager.app.account_session() as session:
        for account in BOTH:
            session.execute(f"ALTER USER {account} IDENTIFIED BY 'of another server'")
    argv = ["mysqldump", "--no-defaults", f"--socket={other.guest.layout.socket}", "--user=os_admin", "--all-databases",
            "--flush-privileges"]
    env = {**os.environ, "MYSQL_PWD": "of another server"}
    dump = subprocess.run(argv, env=env, check=True, capture_output=True, timeout=60).stdout
    tenant.enter()
    program = tenant.manager.app.client_program() if tenant.guest.engine == "mariadb" else "mysql"
    subprocess.run([program, "--no-defaults", f"--socket={tenant.guest.layout.socket}", "--user=boss", "--force"],
                   env={**os.environ, "MYSQL_PWD": ROOT_PASSWORD}, input=dump, check=False, timeout=120)
    assert tenant.works()


def test_after_a_boot_the_account_is_repaired_at_once(tenant):
    tenant.damage(["DROP USER {}"])
    with contextlib.suppress(exception.TroveError):
        tenant.manager.app.stop()
    tenant.enter()
    tenant.manager.booted_marker = tenant.guest.root / "booted"
    tenant.manager = tenant.guest.manager()  # another process
    tenant.manager.booted_marker = tenant.guest.root / "booted"
    tenant.manager.app.start_at_boot()
    assert tenant.manager.app.access.is_whole()


def test_statements_that_a_dead_agent_left_keep_no_server_from_starting(tenant):
    app = tenant.manager.app
    app.configuration.apply_override({"init_file": tenant.guest.root / "absent.sql"},
                                     service.configuration.SYSTEM_GROUP, service._STATEMENTS)
    tenant.manager.restart(TroveContext())
    assert tenant.works()


def test_the_account_of_a_replica_is_made_again(tenant, caplog):
    app = tenant.manager.app
    with app.account_session() as session:
        app.access.make_replica_accounts(session, {"os_replica_a": "password a", "os_replica_b": "password b"})
    for statement in ("DROP USER 'os_replica_a'@'%'", "ALTER USER 'os_replica_a'@'%' IDENTIFIED BY 'x'",
                      "REVOKE REPLICATION SLAVE ON *.* FROM 'os_replica_a'@'%'",
                      "ALTER USER 'os_replica_a'@'%' ACCOUNT LOCK"):
        tenant.root(statement)
        tenant.manager.update_status()
        pymysql.connect(unix_socket=str(app.layout.socket), user="os_replica_a", password="password a").close()
        with app.session() as session:
            assert session.execute("SELECT Repl_slave_priv FROM mysql.user WHERE User = 'os_replica_a'") == (("Y",),)
    assert told(caplog, "made accounts of replicas again") == 4
    with app.account_session() as session:
        app.access.make_replica_accounts(session, {"os_replica_b": "password b"})
    tenant.manager.update_status()
    with app.session() as session:
        assert session.replica_accounts() == ["os_replica_b"], "one that is not wanted stays away"
    assert (app.access._file.stat().st_mode & 0o777) == 0o600
    assert set(json.loads(app.access._file.read_text())["replicas"]) == {"os_replica_b"}
