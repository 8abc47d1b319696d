"""Databases, users, grants and root."""
import pytest

from trove.common import exception


def user(name, password="the first Password-1", databases=()):
    return {"_name": name, "_host": "%", "_password": password, "_databases": [{"_name": each} for each in databases]}


def names(page):
    return [item["_name"] for item in page[0]]


@pytest.fixture
def admin(machine, tested, unsupported):
    """A prepared machine; without users every command must be refused."""
    if not tested.traits.users:
        for command, *arguments in (
                ("create_database", [{"_name": "shop"}]), ("delete_database", {"_name": "shop"}), ("list_databases",),
                ("create_user", [user("bob")]), ("delete_user", user("bob")), ("list_users",),
                ("get_user", "bob", "%"), ("grant_access", "bob", "%", ["shop"]), ("list_access", "bob", "%"),
                ("revoke_access", "bob", "%", "shop"), ("change_passwords", [])):
            with pytest.raises(exception.DatastoreOperationNotSupported):
                machine.call(command, *arguments)
        unsupported()
    return machine


def logs_in(machine, *login):
    """Return whether a user gets into a database."""
    probe = machine.probe(*login)
    try:
        with probe:
            return bool(probe.hello())
    except probe.errors:
        return False


def test_databases(admin):
    """databases: create, list, delete; each may be repeated"""
    for _ in range(2):
        admin.call("create_database", [{"_name": "shop"}, {"_name": "it's"}])
    assert names(admin.call("list_databases")) == ["db1", "it's", "shop"]
    for _ in range(2):
        admin.call("delete_database", {"_name": "it's"})
    assert names(admin.call("list_databases")) == ["db1", "shop"]


def test_users(admin):
    """users: create, log in, list, new password, delete; each may be repeated"""
    for _ in range(2):
        admin.call("create_user", [user("bob", databases=["db1"])])
    assert names(admin.call("list_users")) == ["bob", "u1"]
    found = admin.call("get_user", "bob", "%")
    assert (found["_name"], found["_password"], [each["_name"] for each in found["_databases"]]) == (
        "bob", None, ["db1"])
    assert logs_in(admin, "bob", "the first Password-1", "db1")
    admin.call("change_passwords", [{"name": "bob", "host": "%", "password": "another it's \\ Password-2"}])
    assert not logs_in(admin, "bob", "the first Password-1", "db1")
    assert logs_in(admin, "bob", "another it's \\ Password-2", "db1")
    for _ in range(2):
        admin.call("delete_user", user("bob"))
    assert not logs_in(admin, "bob", "another it's \\ Password-2", "db1")
    assert names(admin.call("list_users")) == ["u1"]


def test_grants(admin):
    """grants: a user writes in a database that was granted, and gets into no other"""
    admin.call("create_database", [{"_name": "shop"}])
    admin.call("create_user", [user("bob")])
    assert not logs_in(admin, "bob", "the first Password-1", "shop")
    for _ in range(2):
        admin.call("grant_access", "bob", "%", ["shop"])
    assert [each["_name"] for each in admin.call("list_access", "bob", "%")] == ["shop"]
    with admin.probe("bob", "the first Password-1", "shop") as probe:
        probe.clear()
        probe.put(1, "ünï")
        assert probe.get(1) == "ünï"
    assert not logs_in(admin, "bob", "the first Password-1", "db1")
    admin.call("revoke_access", "bob", "%", "shop")
    assert admin.call("list_access", "bob", "%") == []
    assert not logs_in(admin, "bob", "the first Password-1", "shop")


def test_unknown(admin):
    """names that are not there are refused, and change nothing"""
    assert admin.call("get_user", "nobody", "%") is None
    for command, *arguments in (("list_access", "nobody", "%"), ("grant_access", "nobody", "%", ["db1"]),
                                ("revoke_access", "nobody", "%", "db1"),
                                ("update_attributes", "nobody", "%", {"name": "n2"})):
        with pytest.raises(exception.NotFound, match="nobody"):
            admin.call(command, *arguments)
    with pytest.raises(exception.NotFound):
        admin.call("change_passwords", [{"name": name, "host": "%", "password": "new"} for name in ("u1", "nobody")])
    assert admin.keys() == [] if admin.put() is None else False


def test_pages(admin):
    """lists come in pages"""
    admin.call("create_database", [{"_name": f"d{number}"} for number in range(4)])
    page, marker = admin.call("list_databases", 2)
    assert ([each["_name"] for each in page], marker) == (["d0", "d1"], "d1")
    page, marker = admin.call("list_databases", 3, "d1")
    assert ([each["_name"] for each in page], marker) == (["d2", "d3", "db1"], None)
    admin.call("create_user", [user("v1"), user("v2")])
    page, marker = admin.call("list_users", 2)
    assert [each["_name"] for each in page] == ["u1", "v1"]
    assert names(admin.call("list_users", 2, marker)) == ["v2"]


def test_root(machine, tested, unsupported):
    """root: enable, log in, disable"""
    if tested.manager_class.root_class is None:
        with pytest.raises(exception.DatastoreOperationNotSupported):
            machine.call("enable_root")
        unsupported()
    assert machine.call("is_root_enabled") is False
    root = machine.call("enable_root_with_password", "the Password-of root")
    assert machine.call("is_root_enabled") is True
    login = (root["_name"] if tested.traits.users else None, root["_password"], None)
    with machine.probe(*login) as probe:
        assert probe.hello()
    machine.call("disable_root")
    assert machine.call("is_root_enabled") is False
    assert not logs_in(machine, *login)
