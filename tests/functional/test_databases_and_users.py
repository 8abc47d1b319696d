"""Databases, users, grants and root of an instance (rest-api 3.7), down to names that paths and SQL stumble over."""
import dataclasses
from urllib import parse

import pytest

from tests.functional.world import UNKNOWN, create, create_active, create_body
from trove.common import cfg, exception
from trove.common.instance import ServiceStatuses
from trove.db.sqlalchemy import tables
from trove.guestagent.db.models import User
from trove.instance.tasks import InstanceTasks


@pytest.fixture
def instance(world, alice):
    """The path of an instance that is ACTIVE."""
    return f"/instances/{create_active(world, alice)}"


@pytest.fixture
def guest(world, instance):
    """Its fake guest."""
    return world.guest(instance.rpartition("/")[2])


def user(name="bob", **more):
    return {"name": name, "password": "secret", **more}


def names(answer):
    return [item["name"] for item in answer.json[next(iter(answer.json))]]


# All calls of the table: method, path below the instance, body.
CALLS = [
    ("GET", "/root", None), ("POST", "/root", None), ("DELETE", "/root", None),
    ("GET", "/databases", None), ("POST", "/databases", {"databases": [{"name": "db1"}]}),
    ("DELETE", "/databases/db1", None),
    ("GET", "/users", None), ("POST", "/users", {"users": [user()]}), ("PUT", "/users", {"users": [user()]}),
    ("POST", "/users/bob", {"users": user()}), ("GET", "/users/bob", None), ("DELETE", "/users/bob", None),
    ("PUT", "/users/bob", {"user": {"password": "x"}}), ("GET", "/users/bob/databases", None),
    ("PUT", "/users/bob/databases", {"databases": [{"name": "db1"}]}), ("DELETE", "/users/bob/databases/db1", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=[f"{method} {path}" for method, path, _body in CALLS])
class TestEveryCall:
    @pytest.mark.parametrize("change", [
        {"service": ServiceStatuses.SHUTDOWN}, {"service": ServiceStatuses.NEW}, {"service": ServiceStatuses.BLOCKED}])
    def test_422_unless_the_database_runs(self, world, alice, guest, instance, method, path, body, change):
        world.set(instance.rpartition("/")[2], **change)
        answer = alice(method, f"{instance}{path}", body, status=422)
        assert change["service"].description in answer.text
        assert guest.calls == []

    def test_422_while_it_is_restarted(self, world, alice, guest, instance, method, path, body):
        """Its guest has not reported yet that the database is down, and would answer with an error of the driver."""
        world.set(instance.rpartition("/")[2], task=InstanceTasks.REBOOTING)
        assert "its status is REBOOT" in alice(method, f"{instance}{path}", body, status=422).text
        assert guest.calls == []

    def test_422_while_it_builds(self, world, alice, method, path, body):
        alice(method, f"/instances/{create(alice)}{path}", body, status=422)

    def test_422_when_the_guest_is_silent(self, world, alice, guest, instance, method, path, body):
        world.silence(instance.rpartition("/")[2])
        assert "silent" in alice(method, f"{instance}{path}", body, status=422).text
        assert guest.calls == []

    def test_404_of_nothing_and_of_another_tenant(self, world, alice, bob, instance, method, path, body):
        alice(method, f"/instances/{UNKNOWN}{path}", body, status=404)
        bob(method, f"{instance}{path}", body, status=404)

    @pytest.mark.parametrize("error", [exception.GuestTimeout(), exception.GuestError(original="disk full")])
    def test_400_when_the_guest_fails(self, world, alice, guest, instance, method, path, body, error):
        guest.error = error
        if (method, path) == ("GET", "/root"):
            alice(method, f"{instance}{path}", status=200)  # told by the history
        elif (method, path) == ("DELETE", "/root"):
            alice(method, f"{instance}{path}", status=404)
        elif (method, path) == ("DELETE", "/databases/db1") and isinstance(error, exception.GuestTimeout):
            alice(method, f"{instance}{path}", status=202)  # nothing is asked before, and then it is asked again
        else:
            assert str(error) in alice(method, f"{instance}{path}", body, status=400).text


class TestADatastoreWithoutUsers:
    @pytest.fixture(autouse=True)
    def without(self, monkeypatch):
        card = cfg.CARDS["mysql"]
        monkeypatch.setattr(card, "TRAITS", dataclasses.replace(card.TRAITS, users=False))

    @pytest.mark.parametrize(("method", "path", "body"), [call for call in CALLS if not call[1].startswith("/root")])
    @pytest.mark.parametrize("change", [{}, {"service": ServiceStatuses.SHUTDOWN}])
    def test_501_whatever_its_state(self, world, alice, guest, instance, method, path, body, change):
        world.set(instance.rpartition("/")[2], **change)
        answer = alice(method, f"{instance}{path}", body, status=501)
        assert "The datastore mysql has no databases and no users." in answer.text
        assert guest.calls == []

    def test_root_is_another_matter(self, alice, guest, instance):
        assert alice.post(f"{instance}/root", None).json["user"]["name"] == "root"

    @pytest.mark.parametrize("more", [{"databases": [{"name": "db1"}]}, {"users": [user()]}])
    def test_501_of_a_create_request_and_nothing_is_made(self, world, alice, more):
        answer = alice.post("/instances", create_body(**more), status=501)
        assert "The datastore mysql has no databases and no users." in answer.text
        assert alice.get("/instances").json["instances"] == []
        assert world.casts == []


class TestUsersWithoutHosts:
    """A datastore whose users have no host, and whose databases have neither character set nor collation."""

    @pytest.fixture(autouse=True)
    def without(self, monkeypatch):
        card = cfg.CARDS["mysql"]
        monkeypatch.setattr(card, "TRAITS", dataclasses.replace(
            card.TRAITS, models="trove.guestagent.db.base.Names", longest_user_name=63, longest_database_name=63))

    @pytest.mark.parametrize(("more", "says"), [
        ({"users": [{**user(), "host": "10.0.0.1"}]}, "users[0].host: users of this datastore have no host"),
        ({"users": [{**user(), "name": "bob@10.0.0.1"}]}, "users[0].name: must not contain @"),
        ({"databases": [{"name": "db1", "character_set": "utf8"}]}, "databases[0].character_set: databases of this"),
        ({"databases": [{"name": "db1", "collate": "utf8_bin"}]}, "databases[0].collate: databases of this"),
    ])
    def test_400_of_what_they_cannot_have(self, world, alice, guest, instance, more, says):
        assert says in alice.post("/instances", create_body(**more), status=400).json["badRequest"]["message"]
        assert len(alice.get("/instances").json["instances"]) == 1
        kind, = more
        assert says in alice.post(f"{instance}/{kind}", more, status=400).json["badRequest"]["message"]
        assert guest.calls == []

    @pytest.mark.parametrize(("method", "path", "body"), [
        ("PUT", "/users", {"users": [{"name": "bob", "password": "p", "host": "10.0.0.1"}]}),
        ("PUT", "/users/bob", {"user": {"host": "10.0.0.1"}}),
    ])
    def test_400_of_a_change_with_a_host(self, alice, guest, instance, method, path, body):
        assert "users of this datastore have no host" in alice(method, f"{instance}{path}", body, status=400).text
        assert guest.calls == []

    def test_a_user_goes_by_its_name_with_and_without_any_host(self, alice, guest, instance):
        guest.users["bob", "%"] = User("bob").serialize()
        for name in ("bob", "bob%40%25"):
            shown = alice.get(f"{instance}/users/{name}").json["user"]
            assert shown == {"name": "bob", "host": "%", "databases": []}
        alice.get(f"{instance}/users/bob@10.0.0.1", status=404)


class TestDatabases:
    def test_create_list_delete(self, alice, instance, guest):
        body = {"databases": [{"name": "db2", "character_set": "utf8mb4", "collate": "utf8mb4_unicode_ci"},
                              {"name": "ab"}]}
        assert alice.post(f"{instance}/databases", body, status=202).body == b""
        assert guest.databases["db2"].collate == "utf8mb4_unicode_ci"
        assert alice.get(f"{instance}/databases").json == {"databases": [{"name": "ab"}, {"name": "db2"}]}
        assert alice.delete(f"{instance}/databases/db2", status=202).body == b""
        assert names(alice.get(f"{instance}/databases")) == ["ab"]
        alice.delete(f"{instance}/databases/db2", status=202)

    def test_the_body_of_the_sdk(self, alice, instance, guest):
        own = instance.rpartition("/")[2]
        alice.post(f"{instance}/databases", {"database": {"name": "db1", "instance_id": own}}, status=202)
        alice.post(f"{instance}/databases", {"database": {"name": "db2", "instance_id": UNKNOWN}}, status=400)
        assert list(guest.databases) == ["db1"]

    def test_a_single_one_cannot_be_shown(self, alice, instance):
        alice.get(f"{instance}/databases/db1", status=501)

    def test_one_that_exists(self, alice, instance, guest):
        alice.post(f"{instance}/databases", {"databases": [{"name": "db1"}]}, status=202)
        again = {"databases": [{"name": "new"}, {"name": "db1"}]}
        assert "'db1' exists already" in alice.post(f"{instance}/databases", again, status=400).text
        assert list(guest.databases) == ["db1"]

    @pytest.mark.parametrize("body", [
        None, {}, {"databases": None}, {"databases": []}, {"databases": {}}, {"databases": [{}]}, {"database": {}},
        {"databases": ["db1"]}, {"databases": [{"name": "mysql"}]}, {"databases": [{"name": "Information_Schema"}]},
        {"databases": [{"name": "x/y"}]}, {"databases": [{"name": "x "}]}, {"databases": [{"name": "x" * 65}]},
        {"databases": [{"name": "ok"}, {"name": "ok"}]}, {"databases": [{"name": "ok", "character_set": "no"}]}])
    def test_400_bad_names(self, alice, instance, guest, body):
        alice.post(f"{instance}/databases", body, status=400)
        assert guest.databases == {}

    @pytest.mark.parametrize("name", ["mysql", "x%20", "sys", "lost+found"])
    def test_400_delete_of_what_cannot_be(self, alice, instance, name):
        alice.delete(f"{instance}/databases/{name}", status=400)

    def test_1_11_odd_names_in_paths(self, alice, instance, guest):
        for name in ("a b", "a??b", "a##b", "a@b", "json-json", "my-db", "x", "shop.old", "$1", "a`b", "名前"):
            alice.post(f"{instance}/databases", {"databases": [{"name": name}]}, status=202)
            assert name in guest.databases
            alice.delete(f"{instance}/databases/{parse.quote(name)}", status=202)
            assert name not in guest.databases

    def test_2_7_pages_by_name(self, alice, instance):
        wanted = [f"db{number}" for number in range(5)]
        alice.post(f"{instance}/databases", {"databases": [{"name": name} for name in reversed(wanted)]}, status=202)
        answer = alice.get(f"{instance}/databases?limit=2")
        assert names(answer) == wanted[:2]
        [link] = answer.json["links"]
        assert link == {"rel": "next", "href": f"http://localhost/v1.0/tenant-a{instance}/databases?limit=2&marker=db1"}
        answer = alice.get(link["href"].removeprefix("http://localhost"))
        assert names(answer) == wanted[2:4]
        assert alice.get(f"{instance}/databases?marker=db4").json == {"databases": []}
        assert alice.get(f"{instance}/databases?marker=zz").json == {"databases": []}
        alice.get(f"{instance}/databases?limit=0", status=400)

    def test_2_1_a_limit_is_cut_down(self, alice, instance, guest):
        for part in range(3):
            body = {"databases": [{"name": f"db{part}{number}"} for number in range(10)]}
            alice.post(f"{instance}/databases", body, status=202)
        assert len(names(alice.get(f"{instance}/databases?limit=100"))) == 20


# names that are right for MySQL and hard for paths
HARD_NAMES = ["u.json", "u.x", "u%", "u%41", "u@h", "u+v", "a b", "ü", "u?", "u#", "u&v=w", "u:v", "..a", "~u", "%2e"]


class TestUsers:
    def test_create_show_list_delete(self, alice, instance, guest):
        alice.post(f"{instance}/databases", {"databases": [{"name": "db1"}]}, status=202)
        body = {"users": [user(databases=[{"name": "db1"}]), user("al", host="10.0.%.%")]}
        assert alice.post(f"{instance}/users", body, status=202).body == b""
        bob = {"name": "bob", "host": "%", "databases": [{"name": "db1"}]}
        assert alice.get(f"{instance}/users/bob").json == {"user": bob}
        al = {"name": "al", "host": "10.0.%.%", "databases": []}
        assert alice.get(f"{instance}/users").json == {"users": [al, bob]}
        assert guest.users["bob", "%"]["_password"] == "secret"
        assert alice.delete(f"{instance}/users/bob", status=202).body == b""
        alice.get(f"{instance}/users/bob", status=404)
        alice.delete(f"{instance}/users/bob", status=404)

    def test_the_body_of_the_sdk(self, alice, instance, guest):
        alice.post(f"{instance}/users/bob", {"users": user(databases=[])}, status=202)
        alice.post(f"{instance}/users/al", {"users": {"password": "x"}}, status=202)
        assert list(guest.users) == [("bob", "%"), ("al", "%")]
        for body in (None, {}, {"users": {}}, {"users": []}, {"users": [user(), user("b")]}, {"users": "x"}):
            alice.post(f"{instance}/users/eve", body, status=400)

    def test_the_last_at_separates_and_none_means_any_host(self, alice, instance, guest):
        alice.post(f"{instance}/users", {"users": [user("u@h"), user("u", host="10.0.0.1"), user("u")]}, status=202)
        found = {path: alice.get(f"{instance}/users/{path}").json["user"] for path in (
            "u@h@%25", "u%40h@", "u@10.0.0.1", "u%4010%2e0%2e0%2e1", "u", "u@", "u@%25")}
        assert {path: (view["name"], view["host"]) for path, view in found.items()} == {
            "u@h@%25": ("u@h", "%"), "u%40h@": ("u@h", "%"), "u@10.0.0.1": ("u", "10.0.0.1"),
            "u%4010%2e0%2e0%2e1": ("u", "10.0.0.1"), "u": ("u", "%"), "u@": ("u", "%"), "u@%25": ("u", "%")}
        alice.get(f"{instance}/users/u@h", status=404)

    @pytest.mark.parametrize("name", HARD_NAMES)
    def test_1_11_hard_names_in_paths(self, alice, instance, guest, name):
        alice.post(f"{instance}/users", {"users": [user(name, host="10.1.%.%")]}, status=202)
        alice.post(f"{instance}/databases", {"databases": [{"name": "db1"}]}, status=202)
        path = f"{instance}/users/{parse.quote(name, safe='')}@{parse.quote('10.1.%.%')}"
        assert alice.get(path).json["user"]["name"] == name
        alice.put(f"{path}/databases", {"databases": [{"name": "db1"}]})
        assert alice.get(f"{path}/databases").json == {"databases": [{"name": "db1"}]}
        alice.delete(f"{path}/databases/db1")
        alice.put(path, {"user": {"password": "new"}})
        assert guest.users[name, "10.1.%.%"]["_password"] == "new"
        alice.delete(path)
        assert guest.users == {}

    @pytest.mark.parametrize("body", [
        None, {}, {"users": None}, {"users": []}, {"users": [{}]}, {"users": [{"name": "bob"}]},
        {"users": [{"password": "x"}]}, {"users": [user("")]}, {"users": [user("root")]}, {"users": [user("OS_admin")]},
        {"users": [user("a" * 33)]}, {"users": [user(" a")]}, {"users": [user("a\tb")]}, {"users": [user("a/b")]},
        {"users": [user(password="")]}, {"users": [user(password="a\x00b")]}, {"users": [user(host="evil host")]},
        {"users": [user(host="1.2.3.999")]}, {"users": [user(), user()]},
        {"users": [user(databases=[{"name": "mysql"}])]},
        {"users": [user(databases=[{"name": "db1"}, {"name": "db1"}])]}, {"users": [user(databases="db1")]}])
    def test_400_bad_names_and_passwords(self, alice, instance, guest, body):
        alice.post(f"{instance}/users", body, status=400)
        assert guest.users == {}

    def test_one_that_exists(self, alice, instance, guest):
        alice.post(f"{instance}/users", {"users": [user()]}, status=202)
        again = {"users": [user("new"), user()]}
        assert "'bob@%' exists already" in alice.post(f"{instance}/users", again, status=400).text
        assert list(guest.users) == [("bob", "%")]
        alice.post(f"{instance}/users", {"users": [user(host="10.0.0.1")]}, status=202)

    def test_2_7_pages_by_name_and_host(self, alice, instance):
        body = {"users": [user(name, host=host) for name in ("b", "a") for host in ("%", "10.0.0.1")]}
        alice.post(f"{instance}/users", body, status=202)
        answer = alice.get(f"{instance}/users?limit=3")
        assert [(view["name"], view["host"]) for view in answer.json["users"]] == [
            ("a", "%"), ("a", "10.0.0.1"), ("b", "%")]
        [link] = answer.json["links"]
        assert link["href"] == f"http://localhost/v1.0/tenant-a{instance}/users?limit=3&marker=b%40%25"
        answer = alice.get(link["href"].removeprefix("http://localhost"))
        assert answer.json == {"users": [{"name": "b", "host": "10.0.0.1", "databases": []}]}
        # Row 2.8: the SDK sends the bare name of the last user.
        assert alice.get(f"{instance}/users?limit=3&marker=b").json == {"users": []}
        assert names(alice.get(f"{instance}/users?limit=3&marker=a")) == ["b", "b"]

    def test_change_passwords(self, alice, instance, guest):
        alice.post(f"{instance}/users", {"users": [user(), user("al", host="10.0.0.1")]}, status=202)
        body = {"users": [user(password="n1"), user("al", password="n2", host="10.0.0.1")]}
        assert alice.put(f"{instance}/users", body, status=202).body == b""
        assert [entry["_password"] for entry in guest.users.values()] == ["n1", "n2"]
        alice.put(f"{instance}/users", {"users": [user(password="n3"), user("eve")]}, status=404)
        assert guest.users["bob", "%"]["_password"] == "n1"
        for body in ({"users": [user("root")]}, {"users": []}, {"users": [{"name": "bob"}]},
                     {"users": [user(password="")]}, {}, None):
            alice.put(f"{instance}/users", body, status=400)

    @pytest.mark.parametrize(("change", "key", "password"), [
        ({"name": "new"}, ("new", "%"), "secret"), ({"host": "10.0.0.1"}, ("bob", "10.0.0.1"), "secret"),
        ({"password": "n"}, ("bob", "%"), "n"),
        ({"name": "n", "host": "10.%.%.%", "password": "n"}, ("n", "10.%.%.%"), "n"),
        ({"name": "bob"}, ("bob", "%"), "secret"), ({"name": None, "password": "n"}, ("bob", "%"), "n")])
    def test_update(self, alice, instance, guest, change, key, password):
        alice.post(f"{instance}/users", {"users": [user()]}, status=202)
        assert alice.put(f"{instance}/users/bob", {"user": change}, status=202).body == b""
        assert {key: entry["_password"] for key, entry in guest.users.items()} == {key: password}

    def test_a_user_of_a_network_in_paths(self, alice, instance, guest):
        host = "10.0.0.0/255.255.240.0"
        alice.post(f"{instance}/databases", {"databases": [{"name": "db1"}]}, status=202)
        alice.post(f"{instance}/users", {"users": [user("al", host=host), user("bo", host="10.%")]}, status=202)
        path = f"{instance}/users/al@{host}"
        assert alice.get(path).json["user"]["host"] == host
        assert alice.get(path.replace("255.255", "255%2E255")).json["user"]["name"] == "al"
        alice.put(f"{path}/databases", {"databases": [{"name": "db1"}]}, status=202)
        assert names(alice.get(f"{path}/databases")) == ["db1"]
        alice.delete(f"{path}/databases/db1", status=202)
        alice.put(path, {"user": {"password": "a, b; / \" ' \\"}}, status=202)
        assert guest.users["al", host]["_password"] == "a, b; / \" ' \\"
        alice.delete(path, status=202)
        alice.delete(f"{instance}/users/bo@10.%25", status=202)
        assert guest.users == {}

    def test_update_refused(self, alice, instance, guest):
        alice.post(f"{instance}/users", {"users": [user(), user("al")]}, status=202)
        assert "exists" in alice.put(f"{instance}/users/bob", {"user": {"name": "al"}}, status=400).text
        alice.put(f"{instance}/users/eve", {"user": {"name": "eva"}}, status=404)
        alice.put(f"{instance}/users/root", {"user": {"password": "x"}}, status=400)
        for body in (None, {}, {"user": {}}, {"user": {"name": None}}, {"user": {"name": "root"}},
                     {"user": {"name": "a/b"}}, {"user": {"host": "x y"}}, {"user": {"host": "example.org"}},
                     {"user": {"password": ""}}, {"user": []}):
            alice.put(f"{instance}/users/bob", body, status=400)
        assert {entry["_password"] for entry in guest.users.values()} == {"secret"}

    def test_reserved_users_are_invisible_and_untouchable(self, alice, instance, guest):
        guest.users["os_admin", "%"] = {"_name": "os_admin", "_host": "%", "_databases": []}
        for name in ("os_admin", "OS_ADMIN@%25", "root@10.0.0.1"):
            alice.get(f"{instance}/users/{name}", status=404)
            alice.get(f"{instance}/users/{name}/databases", status=404)
            alice.delete(f"{instance}/users/{name}", status=400)
            alice.put(f"{instance}/users/{name}/databases", {"databases": [{"name": "db1"}]}, status=400)
            alice.delete(f"{instance}/users/{name}/databases/db1", status=400)
        assert ("os_admin", "%") in guest.users


class TestGrants:
    def test_grant_show_revoke(self, alice, instance):
        alice.post(f"{instance}/users", {"users": [user()]}, status=202)
        assert alice.get(f"{instance}/users/bob/databases").json == {"databases": []}
        body = {"databases": [{"name": "db1"}, {"name": "db2"}]}
        assert alice.put(f"{instance}/users/bob/databases", body, status=202).body == b""
        assert names(alice.get(f"{instance}/users/bob/databases")) == ["db1", "db2"]
        assert alice.delete(f"{instance}/users/bob/databases/db1", status=202).body == b""
        assert names(alice.get(f"{instance}/users/bob/databases")) == ["db2"]
        alice.delete(f"{instance}/users/bob/databases/db1", status=404)

    def test_of_a_user_that_is_not_there(self, alice, instance):
        alice.get(f"{instance}/users/bob/databases", status=404)
        alice.put(f"{instance}/users/bob/databases", {"databases": [{"name": "db1"}]}, status=404)
        alice.delete(f"{instance}/users/bob/databases/db1", status=404)

    @pytest.mark.parametrize("body", [
        None, {}, {"databases": []}, {"databases": [{}]}, {"databases": [{"name": "sys"}]}, {"databases": ["db1"]},
        {"databases": [{"name": "db1"}, {"name": "db1"}]}])
    def test_400(self, alice, instance, guest, body):
        alice.post(f"{instance}/users", {"users": [user()]}, status=202)
        alice.put(f"{instance}/users/bob/databases", body, status=400)
        assert guest.users["bob", "%"]["_databases"] == []


class TestRoot:
    def test_enable_and_disable_the_newest_rule(self, world, alice, admin, instance, guest):
        path = f"{instance}/root"
        assert alice.get(path).json == {"rootEnabled": False}
        alice.delete(path, status=404)
        first = alice.post(path).json
        assert first == {"user": {"name": "root", "password": guest.root_password}}
        assert alice.get(path).json == {"rootEnabled": True}
        assert alice.delete(path, status=204).body == b""
        assert guest.root_password is None
        assert alice.get(path).json == {"rootEnabled": False}
        alice.delete(path, status=404)
        [history] = world.rows(tables.root_enabled_history)
        assert (history["user"], history["disabled_at"] is None) == ("user-of-tenant-a", False)
        admin.post(path)
        assert alice.get(path).json == {"rootEnabled": True}
        [history] = world.rows(tables.root_enabled_history)
        assert (history["user"], history["disabled_at"]) == ("user-of-tenant-admin", None)

    @pytest.mark.parametrize(("body", "password"), [
        (None, None), ({}, None), ({"password": None}, None), ({"password": "my own"}, "my own")])
    def test_bodies_of_the_clients(self, alice, instance, guest, body, password):
        found = alice.post(f"{instance}/root", body).json["user"]["password"]
        assert found == guest.root_password
        assert password in (None, found)

    @pytest.mark.parametrize("password", ["", 1, "a\x00b", [], "x" * 256])
    def test_a_bad_password(self, world, alice, instance, guest, password):
        alice.post(f"{instance}/root", {"password": password}, status=400)
        assert guest.calls == []
        assert world.rows(tables.root_enabled_history) == []

    def test_again_gives_a_new_password_and_keeps_the_first_enabler(self, world, alice, admin, instance):
        first, second = alice.post(f"{instance}/root").json, admin.post(f"{instance}/root").json
        assert first != second
        assert [row["user"] for row in world.rows(tables.root_enabled_history)] == ["user-of-tenant-a"]

    def test_a_guest_that_fails_is_not_noted(self, world, alice, instance, guest):
        guest.error = exception.GuestTimeout()
        alice.post(f"{instance}/root", status=400)
        assert world.rows(tables.root_enabled_history) == []

    def test_a_datastore_without_root(self, alice, instance, options):
        options.set_override("root_controller", None, group="mysql")
        for method in ("GET", "POST", "DELETE"):
            alice(method, f"{instance}/root", status=501)

    def test_it_may_be_enabled_while_something_else_is_done(self, world, alice, instance):
        world.set(instance.rpartition("/")[2], task=InstanceTasks.RESTART_REQUIRED)
        alice.post(f"{instance}/root")
