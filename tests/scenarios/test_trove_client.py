"""The ``trove`` command of python-troveclient 2.1.2 (Mitaka), unmodified: the same tour with the era's client."""
import pytest

from tests.scenarios.support import PASSWORD, CommandFailed, wait_until


@pytest.fixture(scope="module")
def active(system, trove):
    """The id of an ACTIVE instance made with the client; deleted with the client."""
    before = system.inventory()
    made = trove.fields("create", "era", system.smallest_flavor(), "--size", "1", "--databases", "shop", "stock",
                        "--users", f"carol:{PASSWORD}")
    assert made["status"] == "BUILD"
    assert made["datastore"] == "mariadb"
    system.wait_ended(made["id"])
    yield made["id"]
    trove("delete", "era")
    wait_until(lambda: "era" not in [row[1] for row in trove.rows("list")])
    system.assert_nothing_more_than(before)


def column(rows, number=0):
    """One column of a table as a set."""
    return {row[number] for row in rows}


def test_datastores_flavors_limits(trove):
    """The catalogs of a tenant."""
    assert "mariadb" in column(trove.rows("datastore-list"), 1)
    assert trove.fields("datastore-show", "mariadb")["name"] == "mariadb"
    assert column(trove.rows("datastore-version-list", "mariadb"), 1) == {"10.11"}
    assert trove.fields("datastore-version-show", "10.11", "--datastore", "mariadb")["name"] == "10.11"
    assert "m1.tiny" in column(trove.rows("flavor-list"), 1)
    assert trove.fields("flavor-show", "1")["name"] == "m1.tiny"
    assert "max_instances" in trove("limit-list")


def test_show_and_list(active, trove, system):
    """Status, size and address are shown; the address answers SQL."""
    shown = trove.fields("show", "era")
    assert (shown["status"], shown["volume"]) == ("ACTIVE", "1")
    assert [row[4] for row in trove.rows("list") if row[1] == "era"] == ["ACTIVE"]
    assert system.sql("SELECT 1", shown["ip"].split(",")[0], "carol", PASSWORD, "shop") == ((1,),)


def test_databases(active, trove):
    """Create, list, delete."""
    trove("database-create", "era", "films")
    assert column(trove.rows("database-list", "era")) == {"shop", "stock", "films"}
    trove("database-delete", "era", "films")
    assert column(trove.rows("database-list", "era")) == {"shop", "stock"}


def test_users_and_access(active, trove):
    """Create, show, grant, revoke, show access, delete."""
    trove("user-create", "era", "dave", PASSWORD, "--databases", "shop")
    assert column(trove.rows("user-list", "era")) == {"carol", "dave"}
    assert trove.fields("user-show", "era", "dave")["name"] == "dave"
    trove("user-grant-access", "era", "dave", "stock")
    assert column(trove.rows("user-show-access", "era", "dave")) == {"shop", "stock"}
    trove("user-revoke-access", "era", "dave", "stock")
    assert column(trove.rows("user-show-access", "era", "dave")) == {"shop"}
    trove("user-delete", "era", "dave")
    assert column(trove.rows("user-list", "era")) == {"carol"}


def test_root(active, trove, system):
    """Enable gives a password that works; disable takes it away."""
    assert trove.fields("root-show", "era")["is_root_enabled"] == "False"
    enabled = trove.fields("root-enable", "era")
    host = trove.fields("show", "era")["ip"].split(",")[0]
    assert system.sql("SELECT 1", host, enabled["name"], enabled["password"]) == ((1,),)
    assert trove.fields("root-show", "era")["is_root_enabled"] == "True"
    trove("root-disable", "era")
    with pytest.raises(Exception, match="denied"):
        system.sql("SELECT 1", host, enabled["name"], enabled["password"])


def test_restart(active, trove, system):
    """A restart ends ACTIVE."""
    trove("restart", "era")
    assert system.wait_ended(active)["status"] == "ACTIVE"


def test_an_unknown_instance_is_named_in_the_error(trove):
    """The client prints the API's sentence."""
    with pytest.raises(CommandFailed, match="nosuch"):
        trove("show", "nosuch")
