"""What may be in a database's or a user's description, as tables; and that nothing is lost on the bus."""
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove.common import cfg, exception
from trove.guestagent.db import models


@pytest.mark.parametrize("name", ["ab", "a-b", "a_1", "first second", "a?#@ b", "9lives", "x" * 64, "a", "7", "$1",
                                  "shop.old", "a b c", "it's; \"x\", `y` \\", "é1", "名前", "名" * 51, "é" * 64, "-"])
def test_good_database_names(conf, name):
    assert models.of("mariadb").check_database(models.Database(name)).name == name


@pytest.mark.parametrize(("name", "says"), [
    ("", "empty"), ("x" * 65, "65 characters"), (" ab", "blank"), ("ab ", "blank"), ("a\nb", "one line"),
    ("mysql", "reserved"), ("MySQL", "reserved"), ("sys", "reserved"), ("a/b", "address"), ("..", "address"),
    ("#mysql50#a", "begin"), ("名" * 52, "directory"), ("\U0001f600", "emoji"), (7, "must be a text"),
    (None, "must be a text"),
])
def test_bad_database_names(conf, name, says):
    with pytest.raises(exception.BadValue, match=says) as caught:
        models.of("mariadb").check_database(models.Database(name))
    assert str(caught.value).startswith("databases.name: ")


@pytest.mark.parametrize(("charset", "collation", "manager"), [
    (None, None, "mysql"), ("utf8mb4", None, "mysql"), (None, "latin1_bin", "mysql"), ("binary", None, "percona"),
    ("utf8", "utf8_general_ci", "mariadb"), ("UTF8MB4", "utf8mb4_Bin", "mariadb"),
    ("utf8mb4", "utf8mb4_uca1400_ai_ci", "mariadb"), (None, "latin1_swedish_nopad_ci", "mariadb"),
    ("utf8mb4", "utf8mb4_0900_ai_ci", "mysql"), ("gb18030", None, "percona"),
])
def test_character_sets_that_belong_together(conf, charset, collation, manager):
    database = models.of(manager).check_database(models.Database("db1", charset, collation))
    assert database.serialize() == {"_name": "db1", "_character_set": charset, "_collate": collation}


@pytest.mark.parametrize(("charset", "collation", "field"), [
    ("klingon", None, "databases.character_set"), ("utf8", "latin1_bin", "databases.collate"),
    (None, "utf8_bogus", "databases.collate"), ("utf8; DROP", "utf8_bin", "databases.character_set"),
    (None, "utf8mb4_uca1400_ai_ci", "databases.collate"), ("", None, "databases.character_set"),
])
def test_character_sets_that_do_not(conf, charset, collation, field):
    with pytest.raises(exception.BadValue, match=field):
        models.of("mysql").check_database(models.Database("db1", charset, collation))


@pytest.mark.parametrize("name", ["u", "a.b", "x" * 32, "us er", "u@x", "ünï", "100%", *(f"a{c}b" for c in "'\";`,\\")])
def test_good_user_names(conf, name):
    models.of("mysql").check_user(models.User(name, password="p"))


def test_the_longest_name_of_a_user_is_its_servers(conf):
    models.of("mariadb").check_user(models.User("x" * 128, password="p"))
    with pytest.raises(exception.BadValue, match="33 characters, at most 32"):
        models.of("percona").check_user(models.User("x" * 33, password="p"))


@pytest.mark.parametrize("name", ["", " u", "u ", "x" * 33, "root", "ROOT", "os_admin", None, 3, "a\x00", "\ud800",
                                  "a/b", "a\nb", "..", "\U0001f600", "os_replica_1"])
def test_bad_user_names(conf, name):
    with pytest.raises(exception.BadValue, match="^users.name: "):
        models.of("mysql").check_user(models.User(name, password="p"))


@pytest.mark.parametrize("manager", ["mariadb", "mysql"])
@pytest.mark.parametrize(("host", "good"), [
    ("%", True), ("10.0.0.1", True), ("10.%.%.%", True), ("%.%.%.%", True), ("10.%", True), ("10.0.%", True),
    ("10.1%", True), ("192.168.1__.%", True), ("10.0.0.1%", True), ("10.0.0.0/255.255.240.0", True),
    ("0.0.0.0/0.0.0.0", True), ("10.0.0.1/255.255.255.255", True), ("2001:db8::1", True), ("2001:db8:%", True),
    ("::1", True), ("10.0.0.256", False), ("10.0.0", False), ("localhost", False), ("1.2.3.4.5", False),
    ("١.1.1.1", False), ("10.0.0.-1", False), ("10.0.0.1/255.255.240.0", False), ("10.0.0.0/255.255.240", False),
    ("10.0.0.0/33", False), ("10.0.0.0/", False), ("10.0.0.%/255.255.255.0", False), ("10.0.0.1/20", False),
    ("2001:db8:::", False), ("web-1.example.org", False), ("10.300.%", False), ("10.0.0.1.%", False), ("", False),
])
def test_hosts(conf, manager, host, good):
    if good:
        models.of(manager).check_host(host)
    else:
        with pytest.raises(exception.BadValue, match="^host: "):
            models.of(manager).check_host(host)


def test_networks_by_their_bits_are_for_those_servers_that_know_them(conf):
    models.of("mysql").check_host("10.0.0.0/20")
    models.of("percona").check_host("2001:db8::/32")
    with pytest.raises(exception.BadValue, match="such as 10.0.0.0/255.255.240.0"):
        models.of("mariadb").check_host("10.0.0.0/20")


def test_a_network_whose_address_is_in_its_middle_is_told_its_begin(conf):
    with pytest.raises(exception.BadValue, match="10.0.16.0/255.255.240.0 is right"):
        models.of("mysql").check_host("10.0.17.1/255.255.240.0")


def test_hosts_by_name_are_an_option(conf):
    conf.set_override("hostname_require_valid_ip", False)
    models.of("mysql").check_host("web-1.example.org")
    with pytest.raises(exception.BadValue):
        models.of("mysql").check_host("a b")


@pytest.mark.parametrize("password", ["a'b", "a\\b", "a`b", 'a"b', "a;b", "a,b", "a/b", " ", "é\n"])
def test_good_passwords(conf, password):
    models.of("mysql").check_user(models.User("u1", password=password))


@pytest.mark.parametrize("password", ["", "secret\x00", "secret\ud800"])
def test_bad_passwords_are_refused_and_not_repeated(conf, password):
    with pytest.raises(exception.BadValue) as caught:
        models.of("mysql").check_user(models.User("u1", password=password))
    assert "secret" not in str(caught.value)


def test_a_users_databases_are_checked(conf):
    with pytest.raises(exception.BadValue, match="twice"):
        models.of("mysql").check_user(models.User("u1", password="p", databases=("db1", "db1")))
    with pytest.raises(exception.BadValue, match="users.databases.name"):
        models.of("mysql").check_user(models.User("u1", password="p", databases=("mysql",)))


def test_the_password_is_not_in_the_repr():
    assert "hush" not in repr(models.User("u1", password="hush"))


@pytest.mark.parametrize(("text", "meant"), [
    ("u", ("u", "%")), ("u@", ("u", "%")), ("u@10.0.0.1", ("u", "10.0.0.1")), ("a@b@%", ("a@b", "%")),
])
def test_user_ids(text, meant):
    assert models.of("mysql").parse_user_id(text) == meant


@given(name=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1),
       password=st.none() | st.text(), host=st.text(min_size=1))
def test_the_bus_carries_everything(name, password, host):
    user = models.User(name, host, password, (models.Database("db1", "utf8", "utf8_bin"),))
    assert models.User.deserialize(user.serialize()) == user


@pytest.mark.parametrize("values", [None, [], {}, {"_name": 3}, {"_name": "u", "_password": 3},
                                    {"_name": "u", "_databases": "db"}, {"_name": "u", "_databases": [3]}])
def test_malformed_users_are_refused(values):
    with pytest.raises(exception.BadValue):
        models.User.deserialize(values)


# An engine that compares names by case and counts bytes, whose users have no host and whose databases no character set

class Plain(models.Names):
    counts_bytes = True

    def is_own_user(self, value):
        return value.startswith("pg_")

    def is_own_database(self, value):
        return value == "template0"


@pytest.fixture
def plain(conf, monkeypatch):
    traits = dataclasses.replace(cfg.traits("mysql"), models=f"{__name__}.Plain", longest_user_name=63,
                                 longest_database_name=63)
    monkeypatch.setattr(cfg.CARDS["mysql"], "TRAITS", traits)
    return models.of("mysql")


@pytest.mark.parametrize(("name", "says"), [
    ("x" * 64, "64 bytes, at most 63"), ("é" * 32, "64 bytes"), ("root", "reserved"), ("pg_x", "reserved"),
    ("os_replica_1", "reserved"), ("a@b", "must not contain @"), ("a@%", "@"), ("a/b", "address"), (" a", "blank"),
    ("", "empty"),
])
def test_bad_names_of_users_without_hosts(plain, name, says):
    with pytest.raises(exception.BadValue, match=says):
        plain.check_user(models.User(name, password="p"))


@pytest.mark.parametrize("name", ["x" * 63, "é" * 31 + "x", "Root", "ROOT", "\U0001f600", "PG_x", "a.b"])
def test_good_names_of_users_without_hosts(plain, name):
    assert plain.check_user(models.User(name, password="p")).host == "%"


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost", "%%"])
def test_users_without_hosts_take_none(plain, host):
    with pytest.raises(exception.BadValue, match=r"^users\.host: users of this datastore have no host"):
        plain.check_user(models.User("u", host, "p"))


@pytest.mark.parametrize(("text", "name"), [("u", "u"), ("u@%", "u"), ("a@b", "a@b"), ("a@b@%", "a@b"), ("u@", "u@")])
def test_ids_of_users_without_hosts(plain, text, name):
    assert plain.parse_user_id(text) == (name, "%")
    assert plain.marker_of_users(text) == plain.user_id(name) == name


def test_databases_without_character_sets_take_none(plain):
    for values, field in (({"character_set": "utf8"}, "character_set"), ({"collate": "x"}, "collate")):
        with pytest.raises(exception.BadValue, match=rf"^databases\.{field}: .* have none"):
            plain.check_database(models.Database("db1", **values))
    assert plain.check_databases([models.Database("db1"), models.Database("DB1")])[1].name == "DB1"
    with pytest.raises(exception.BadValue, match="reserved"):
        plain.check_database_name("template0")


@pytest.mark.parametrize(("check", "items"), [
    ("check_databases", [models.Database("a"), models.Database("b"), models.Database("a")]),
    ("check_users", [models.User("a"), models.User("b"), models.User("a")])])
def test_the_third_that_is_the_first_again_is_named(plain, check, items):
    with pytest.raises(exception.BadValue, match=r"\[2\]\.name: 'a' is named twice"):
        getattr(plain, check)(items)


def test_the_models_of_a_card_are_checked(conf, monkeypatch):
    traits = dataclasses.replace(cfg.traits("mysql"), models="trove.guestagent.db.base.User")
    monkeypatch.setattr(cfg.CARDS["mysql"], "TRAITS", traits)
    with pytest.raises(ValueError, match=r"\[mysql\] models \(in its card\): .* must be a subclass of .*base.Names"):
        models.of("mysql")
