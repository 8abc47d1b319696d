"""MySQL of Debian's newest suite beside MariaDB, with both clients: its life from creation to a restored backup."""
import json

import pymysql
import pytest

from tests.scenarios.support import PASSWORD, CommandFailed, wait_until

pytestmark = pytest.mark.usefixtures("mysql_version")


@pytest.fixture(scope="module")
def active(system, openstack, mysql_version):
    """The view of an ACTIVE instance of MySQL made with the client; deleted with it."""
    before = system.inventory()
    made = openstack.json("database", "instance", "create", "my", "--flavor", system.smallest_flavor(), "--size", "1",
                          "--datastore", "mysql", "--datastore-version", mysql_version, "--databases", "app",
                          "--users", f"alice:{PASSWORD}")
    view = system.wait_ended(made["id"])
    assert view["status"] == "ACTIVE", view.get("fault")
    yield view
    openstack("database", "instance", "delete", "my")
    wait_until(lambda: system.show(made["id"]) is None)
    system.assert_nothing_more_than(before)


@pytest.fixture(scope="module")
def sql(system, active):
    """Statements on the instance (or another host), as alice."""
    def run(statement, host=active["ip"][0], user="alice", password=PASSWORD, database="app"):
        return system.sql(statement, host, user, password, database)
    return run


def settled(system, instance_id, status):
    """Return when the instance has a status and does nothing."""
    def there():
        view = system.show(instance_id)
        return view["status"] == status and view["operation"]["state"] in ("done", "failed")
    wait_until(there)


def test_it_is_mysql_and_says_so(active, sql, openstack, mysql_version):
    """The engine that answers is the one of the catalog."""
    [(version, comment)] = sql("SELECT VERSION(), @@version_comment")
    assert version.startswith(f"{mysql_version}.")
    assert "MariaDB" not in version + comment
    assert (active["datastore"]["type"], active["datastore"]["version"]) == ("mysql", mysql_version)
    listed = {row["Name"] for row in openstack.json("datastore", "list")}
    assert {"mariadb", "mysql"} <= listed


def test_databases_users_and_root(active, openstack, trove, sql):
    """Made with one client, seen with the other, used over TCP with the server's own way of proving a password."""
    openstack("database", "db", "create", "my", "shop")
    openstack("database", "user", "create", "my", "bob", PASSWORD, "--databases", "shop")
    assert {row[0] for row in trove.rows("user-list", "my")} == {"alice", "bob"}
    assert {row[0] for row in trove.rows("database-list", "my")} == {"app", "shop"}
    sql("CREATE TABLE t (n INT)", user="bob", database="shop")
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        sql("SELECT 1", user="bob", database="app")
    trove("user-grant-access", "my", "bob", "app")
    assert sql("SELECT CURRENT_USER()", user="bob") == (("bob@%",),)
    assert sql("SELECT plugin FROM mysql.user WHERE user = 'bob'", user="root",
               password=trove.fields("root-enable", "my")["password"],
               database="mysql") == (("caching_sha2_password",),)
    assert openstack.json("database", "root", "show", "my")["is_root_enabled"] in (True, "True")
    trove("root-disable", "my")
    openstack("database", "user", "delete", "my", "bob")
    assert {row[0] for row in trove.rows("user-list", "my")} == {"alice"}


def test_a_configuration_group(system, active, trove, sql, mysql_version):
    """What is dynamic acts at once, the rest after a restart, and what is detached goes back to its default."""
    def variables():
        return dict(sql("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('max_connections', 'ft_min_word_len')"))
    before = variables()
    made = trove.fields("configuration-create", "my-tuned", json.dumps({"max_connections": 77}),
                        "--datastore", "mysql", "--datastore_version", mysql_version)
    trove("configuration-attach", "my", made["id"])
    assert variables() == {**before, "max_connections": "77"}
    settled(system, active["id"], "ACTIVE")
    trove("configuration-patch", made["id"], json.dumps({"ft_min_word_len": 5}))
    settled(system, active["id"], "RESTART_REQUIRED")
    assert variables() == {**before, "max_connections": "77"}
    trove("restart", "my")
    settled(system, active["id"], "ACTIVE")
    assert variables() == {"max_connections": "77", "ft_min_word_len": "5"}
    trove("configuration-detach", "my")
    settled(system, active["id"], "RESTART_REQUIRED")
    trove("restart", "my")
    settled(system, active["id"], "ACTIVE")
    assert variables() == before
    trove("configuration-delete", made["id"])


def test_a_backup_and_an_instance_from_it(system, active, openstack, sql, mysql_version):
    """Data, accounts and passwords are those of the backup; there are no increments on a clone."""
    sql("CREATE TABLE kept AS SELECT 'kept' AS word")
    made = openstack.json("database", "backup", "create", "my-full", "--instance", "my")

    def ended():
        shown = openstack.json("database", "backup", "show", made["id"])
        return shown if shown["status"] in ("COMPLETED", "FAILED") else None
    shown = wait_until(ended, pause=0.5)
    assert shown["status"] == "COMPLETED", shown
    assert shown["locationRef"].endswith(f"{made['id']}.tar.zst.gcm")
    sql("DROP TABLE kept")
    with pytest.raises(CommandFailed, match="no increments on backups of type MySQLClone"):
        openstack("database", "backup", "create", "my-more", "--instance", "my", "--parent", made["id"])
    copy = openstack.json("database", "instance", "create", "my-copy", "--flavor", system.smallest_flavor(), "--size",
                          "1", "--datastore", "mysql", "--datastore-version", mysql_version, "--backup", made["id"])
    view = system.wait_ended(copy["id"])
    try:
        assert view["status"] == "ACTIVE", view.get("fault")
        host = view["ip"][0]
        assert sql("SELECT word FROM kept", host) == (("kept",),)
        assert sql("SELECT @@server_uuid", host) != sql("SELECT @@server_uuid")
        assert "backup.clone" not in system.guest(active["id"], "ls", "/var/lib/mysql")
    finally:
        system.delete(copy["id"])
        openstack("database", "backup", "delete", made["id"])
        wait_until(lambda: openstack.json("database", "backup", "list") == [], pause=0.5)


def test_another_flavor_and_a_larger_volume(system, active, openstack, trove, sql):
    """The data and the address stay; the settings follow the memory."""
    sql("CREATE TABLE sized AS SELECT 'stays' AS word")
    [(small,)] = sql("SELECT @@innodb_buffer_pool_size")
    larger = sorted(system.api.get("/flavors").json()["flavors"], key=lambda flavor: flavor["ram"])[1]
    openstack("database", "instance", "resize", "flavor", "my", str(larger["id"]))
    settled(system, active["id"], "ACTIVE")
    assert str(system.show(active["id"])["flavor"]["id"]) == str(larger["id"])
    assert sql("SELECT @@innodb_buffer_pool_size")[0][0] > small
    trove("resize-volume", "my", "2")
    settled(system, active["id"], "ACTIVE")
    view = system.show(active["id"])
    assert (view["operation"]["state"], view["volume"]["size"], view["ip"]) == ("done", 2, active["ip"])
    assert sql("SELECT word FROM sized") == (("stays",),)
