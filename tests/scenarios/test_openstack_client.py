"""``openstack database ...`` of the newest python-troveclient, unmodified: every command a tenant needs."""
import pytest

from tests.scenarios.support import PASSWORD, CommandFailed, wait_until


@pytest.fixture(scope="module")
def instance(system, openstack):
    """The id of an instance made with the client; deleted with the client."""
    before = system.inventory()
    made = openstack.json("database", "instance", "create", "osc", "--flavor", system.smallest_flavor(), "--size", "1",
                          "--databases", "shop", "stock", "--users", f"carol:{PASSWORD}")
    assert made["name"] == "osc"
    assert made["status"] == "BUILD"
    assert made["datastore"] == "mariadb"
    assert made["volume"] == 1
    yield made["id"]
    openstack("database", "instance", "delete", "osc")
    wait_until(lambda: all(row["ID"] != made["id"] for row in openstack.json("database", "instance", "list")))
    system.assert_nothing_more_than(before)


@pytest.fixture(scope="module")
def active(system, openstack, instance):
    """The view that the client shows of that instance when it is ACTIVE."""
    system.wait_ended(instance)
    shown = openstack.json("database", "instance", "show", "osc")
    assert shown["status"] == "ACTIVE"
    return shown


def names(rows):
    """The column Name of a list."""
    return {row["Name"] for row in rows}


def test_datastores_and_versions(openstack):
    """List and show, by name and by id."""
    listed = openstack.json("datastore", "list")
    assert "mariadb" in names(listed)
    shown = openstack.json("datastore", "show", listed[0]["ID"])
    assert shown["name"] == "mariadb"
    versions = openstack.json("datastore", "version", "list", "mariadb")
    assert names(versions) == {"10.11"}
    shown = openstack.json("datastore", "version", "show", "10.11", "--datastore", "mariadb")
    assert shown["id"] == versions[0]["ID"]


def test_flavors(openstack):
    """Flavors are Nova's."""
    listed = {row["Name"]: row for row in openstack.json("database", "flavor", "list")}
    assert listed["m1.tiny"]["RAM"] == 512
    assert openstack.json("database", "flavor", "show", str(listed["m1.tiny"]["ID"]))["name"] == "m1.tiny"


def test_limits(openstack):
    """The absolute limits are the tenant's quotas."""
    listed = openstack("database", "limit", "list")
    assert "max_instances" in listed
    assert "max_volumes" in listed


def test_show_and_list(active, openstack, system):
    """What a tenant needs to connect is in the view; the address answers SQL with the database and user asked for."""
    assert active["operating_status"] == "HEALTHY"
    [listed] = [row for row in openstack.json("database", "instance", "list") if row["Name"] == "osc"]
    assert listed["Status"] == "ACTIVE"
    assert listed["Size"] == 1
    host = system.show(active["id"])["ip"][0]
    assert system.sql("SELECT 1", host, "carol", PASSWORD, "shop") == ((1,),)


def test_databases(active, openstack):
    """Create, list, delete."""
    openstack("database", "db", "create", "osc", "films")
    assert names(openstack.json("database", "db", "list", "osc")) == {"shop", "stock", "films"}
    openstack("database", "db", "delete", "osc", "films")
    assert names(openstack.json("database", "db", "list", "osc")) == {"shop", "stock"}


def test_users_and_access(active, openstack, system):
    """Create, show, grant, revoke, show access, delete; the grants are real."""
    openstack("database", "user", "create", "osc", "dave", PASSWORD, "--databases", "shop")
    assert names(openstack.json("database", "user", "list", "osc")) == {"carol", "dave"}
    assert openstack.json("database", "user", "show", "osc", "dave")["name"] == "dave"
    openstack("database", "user", "grant", "access", "osc", "dave", "stock")
    assert names(openstack.json("database", "user", "show", "access", "osc", "dave")) == {"shop", "stock"}
    host = system.show(active["id"])["ip"][0]
    assert system.sql("SELECT DATABASE()", host, "dave", PASSWORD, "stock") == (("stock",),)
    openstack("database", "user", "revoke", "access", "osc", "dave", "stock")
    assert names(openstack.json("database", "user", "show", "access", "osc", "dave")) == {"shop"}
    with pytest.raises(Exception, match="denied"):
        system.sql("SELECT 1", host, "dave", PASSWORD, "stock")
    openstack("database", "user", "delete", "osc", "dave")
    assert names(openstack.json("database", "user", "list", "osc")) == {"carol"}


def test_root(active, openstack, system):
    """Enable gives a password that works; disable takes it away."""
    assert openstack.json("database", "root", "show", "osc")["is_root_enabled"] is False
    enabled = openstack.json("database", "root", "enable", "osc")
    host = system.show(active["id"])["ip"][0]
    assert system.sql("SELECT 1", host, enabled["name"], enabled["password"]) == ((1,),)
    assert openstack.json("database", "root", "show", "osc")["is_root_enabled"] is True
    openstack("database", "root", "disable", "osc")
    with pytest.raises(Exception, match="denied"):
        system.sql("SELECT 1", host, enabled["name"], enabled["password"])


def test_restart(active, openstack, system):
    """A restart ends ACTIVE with the data still there, on a server that was really started again."""
    host = system.show(active["id"])["ip"][0]

    def uptime():
        return int(system.sql("SHOW STATUS LIKE 'Uptime'", host, "carol", PASSWORD, "shop")[0][1])

    system.sql("CREATE TABLE kept (id INT)", host, "carol", PASSWORD, "shop")
    wait_until(lambda: uptime() > 2)
    openstack("database", "instance", "restart", "osc")
    system.wait_ended(active["id"])
    assert wait_until(lambda: system.sql("SELECT COUNT(*) FROM kept", host, "carol", PASSWORD, "shop")) == ((0,),)
    assert openstack.json("database", "instance", "show", "osc")["status"] == "ACTIVE"


def test_an_unknown_instance_is_named_in_the_error(openstack):
    """The client prints the API's sentence."""
    with pytest.raises(CommandFailed, match="nosuch"):
        openstack("database", "instance", "show", "nosuch")
