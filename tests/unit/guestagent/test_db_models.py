"""What may be in a database's or a user's description, as tables; and that nothing is lost on the bus."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove.common import exception
from trove.guestagent.db import models


@pytest.mark.parametrize("name", ["ab", "a-b", "a_1", "first second", "a?#@ b", "9lives", "x" * 64, "a", "7", "$1",
                                  "shop.old", "a b c", "it's; \"x\", `y` \\", "é1", "名前", "名" * 51, "é" * 64, "-"])
def test_good_database_names(conf, name):
    assert models.MySQLDatabase(name).validate("mariadb").name == name


@pytest.mark.parametrize(("name", "says"), [
    ("", "empty"), ("x" * 65, "65 characters"), (" ab", "blank"), ("ab ", "blank"), ("a\nb", "one line"),
    ("mysql", "reserved"), ("MySQL", "reserved"), ("sys", "reserved"), ("a/b", "address"), ("..", "address"),
    ("#mysql50#a", "begin"), ("名" * 52, "directory"), ("\U0001f600", "emoji"), (7, "must be a text"),
    (None, "must be a text"),
])
def test_bad_database_names(conf, name, says):
    with pytest.raises(exception.BadValue, match=says) as caught:
        models.MySQLDatabase(name).validate("mariadb")
    assert str(caught.value).startswith("databases.name: ")


@pytest.mark.parametrize(("charset", "collation", "manager"), [
    (None, None, "mysql"), ("utf8mb4", None, "mysql"), (None, "latin1_bin", "mysql"), ("binary", None, "percona"),
    ("utf8", "utf8_general_ci", "mariadb"), ("UTF8MB4", "utf8mb4_Bin", "mariadb"),
    ("utf8mb4", "utf8mb4_uca1400_ai_ci", "mariadb"), (None, "latin1_swedish_nopad_ci", "mariadb"),
    ("utf8mb4", "utf8mb4_0900_ai_ci", "mysql"), ("gb18030", None, "percona"),
])
def test_character_sets_that_belong_together(conf, charset, collation, manager):
    database = models.MySQLDatabase("db1", charset, collation).validate(manager)
    assert database.serialize() == {"_name": "db1", "_character_set": charset, "_collate": collation}


@pytest.mark.parametrize(("charset", "collation", "field"), [
    ("klingon", None, "databases.character_set"), ("utf8", "latin1_bin", "databases.collate"),
    (None, "utf8_bogus", "databases.collate"), ("utf8; DROP", "utf8_bin", "databases.character_set"),
    (None, "utf8mb4_uca1400_ai_ci", "databases.collate"), ("", None, "databases.character_set"),
])
def test_character_sets_that_do_not(conf, charset, collation, field):
    with pytest.raises(exception.BadValue, match=field):
        models.MySQLDatabase("db1", charset, collation).validate("mysql")


@pytest.mark.parametrize("name", ["u", "a.b", "x" * 32, "us er", "u@x", "ünï", "100%", *(f"a{c}b" for c in "'\";`,\\")])
def test_good_user_names(conf, name):
    models.MySQLUser(name, password="p").validate("mysql")


def test_the_longest_name_of_a_user_is_its_servers(conf):
    models.MySQLUser("x" * 128, password="p").validate("mariadb")
    with pytest.raises(exception.BadValue, match="33 characters, at most 32"):
        models.MySQLUser("x" * 33, password="p").validate("percona")


@pytest.mark.parametrize("name", ["", " u", "u ", "x" * 33, "root", "ROOT", "os_admin", None, 3, "a\x00", "\ud800",
                                  "a/b", "a\nb", "..", "\U0001f600", "os_replica_1"])
def test_bad_user_names(conf, name):
    with pytest.raises(exception.BadValue, match="^users.name: "):
        models.MySQLUser(name, password="p").validate("mysql")


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
        models.check_host(host, manager)
    else:
        with pytest.raises(exception.BadValue, match="^host: "):
            models.check_host(host, manager)


def test_networks_by_their_bits_are_for_those_servers_that_know_them(conf):
    models.check_host("10.0.0.0/20", "mysql")
    models.check_host("2001:db8::/32", "percona")
    with pytest.raises(exception.BadValue, match="such as 10.0.0.0/255.255.240.0"):
        models.check_host("10.0.0.0/20", "mariadb")


def test_a_network_whose_address_is_in_its_middle_is_told_its_begin(conf):
    with pytest.raises(exception.BadValue, match="10.0.16.0/255.255.240.0 is right"):
        models.check_host("10.0.17.1/255.255.240.0")


def test_hosts_by_name_are_an_option(conf):
    conf.set_override("hostname_require_valid_ip", False)
    models.check_host("web-1.example.org")
    with pytest.raises(exception.BadValue):
        models.check_host("a b")


@pytest.mark.parametrize("password", ["a'b", "a\\b", "a`b", 'a"b', "a;b", "a,b", "a/b", " ", "é\n"])
def test_good_passwords(conf, password):
    models.MySQLUser("u1", password=password).validate()


@pytest.mark.parametrize("password", ["", "secret\x00", "secret\ud800"])
def test_bad_passwords_are_refused_and_not_repeated(conf, password):
    with pytest.raises(exception.BadValue) as caught:
        models.MySQLUser("u1", password=password).validate()
    assert "secret" not in str(caught.value)


def test_a_users_databases_are_checked(conf):
    with pytest.raises(exception.BadValue, match="twice"):
        models.MySQLUser("u1", password="p", databases=("db1", "db1")).validate()
    with pytest.raises(exception.BadValue, match="users.databases.name"):
        models.MySQLUser("u1", password="p", databases=("mysql",)).validate()


def test_the_password_is_not_in_the_repr():
    assert "hush" not in repr(models.MySQLUser("u1", password="hush"))


@pytest.mark.parametrize(("text", "meant"), [
    ("u", ("u", "%")), ("u@", ("u", "%")), ("u@10.0.0.1", ("u", "10.0.0.1")), ("a@b@%", ("a@b", "%")),
])
def test_user_ids(text, meant):
    assert models.parse_user_id(text) == meant


@given(name=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1),
       password=st.none() | st.text(), host=st.text(min_size=1))
def test_the_bus_carries_everything(name, password, host):
    user = models.MySQLUser(name, host, password, (models.MySQLDatabase("db1", "utf8", "utf8_bin"),))
    assert models.MySQLUser.deserialize(user.serialize()) == user


@pytest.mark.parametrize("values", [None, [], {}, {"_name": 3}, {"_name": "u", "_password": 3},
                                    {"_name": "u", "_databases": "db"}, {"_name": "u", "_databases": [3]}])
def test_malformed_users_are_refused(values):
    with pytest.raises(exception.BadValue):
        models.MySQLUser.deserialize(values)
