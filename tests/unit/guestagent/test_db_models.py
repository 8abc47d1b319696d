"""What may be in a database's or a user's description, as tables; and that nothing is lost on the bus."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove.common import exception
from trove.guestagent.db import charsets, models


@pytest.mark.parametrize("name", ["ab", "a-b", "a_1", "first second", "a?#@ b", "9lives", "x" * 64])
def test_good_database_names(conf, name):
    assert models.MySQLDatabase(name).validate("mariadb").name == name


@pytest.mark.parametrize(("name", "says"), [
    ("a", "at least 2"), ("", "empty"), ("x" * 65, "65 characters"), ("a b c", "one run"), (" ab", "both ends"),
    ("ab ", "both ends"), ("a`b", "both ends"), ("a\nb", "both ends"), ("mysql", "reserved"), ("MySQL", "reserved"),
    ("sys", "reserved"), ("é1", "both ends"), (7, "must be a text"), (None, "must be a text"),
])
def test_bad_database_names(conf, name, says):
    with pytest.raises(exception.BadValue, match=says) as caught:
        models.MySQLDatabase(name).validate("mariadb")
    assert str(caught.value).startswith("databases.name: ")


@pytest.mark.parametrize(("charset", "collation", "meant"), [
    (None, None, ("utf8", "utf8_general_ci")), ("utf8mb4", None, ("utf8mb4", "utf8mb4_general_ci")),
    (None, "latin1_bin", ("latin1", "latin1_bin")), ("latin1", None, ("latin1", "latin1_swedish_ci")),
    ("binary", None, ("binary", "binary")), ("utf8mb4", "utf8mb4_bin", ("utf8mb4", "utf8mb4_bin")),
])
def test_character_sets_that_belong_together(conf, charset, collation, meant):
    database = models.MySQLDatabase("db1", charset, collation).validate()
    assert database.charset_and_collation() == meant
    assert database.serialize() == {"_name": "db1", "_character_set": meant[0], "_collate": meant[1]}


@pytest.mark.parametrize(("charset", "collation", "field"), [
    ("klingon", None, "databases.character_set"), ("utf8", "latin1_bin", "databases.collate"),
    (None, "utf8_bogus", "databases.collate"), ("utf8; DROP", "utf8_bin", "databases.character_set"),
])
def test_character_sets_that_do_not(conf, charset, collation, field):
    with pytest.raises(exception.BadValue, match=field):
        models.MySQLDatabase("db1", charset, collation).validate()


def test_every_collation_belongs_to_one_character_set():
    assert len(charsets.CHARSET_OF) == sum(len(collations) for collations in charsets.CHARSETS.values())


@pytest.mark.parametrize("name", ["u", "a.b", "x" * 16, "us er", "u@x", "ünï", "100%"])
def test_good_user_names(conf, name):
    models.MySQLUser(name, password="p").validate("mysql")


@pytest.mark.parametrize("name", ["", " u", "u ", "x" * 17, "root", "ROOT", "os_admin", None, 3, "a\x00", "\ud800",
                                  *(f"a{c}b" for c in "'\";`,/\\")])
def test_bad_user_names(conf, name):
    with pytest.raises(exception.BadValue, match="^users.name: "):
        models.MySQLUser(name, password="p").validate("mysql")


@pytest.mark.parametrize(("host", "good"), [
    ("%", True), ("10.0.0.1", True), ("10.%.%.%", True), ("%.%.%.%", True), ("10.0.0.256", False), ("10.0.0", False),
    ("10.0.0.1%", False), ("localhost", False), ("1.2.3.4.5", False), ("١.1.1.1", False), ("10.0.0.-1", False),
])
def test_hosts(conf, host, good):
    if good:
        models.check_host(host)
    else:
        with pytest.raises(exception.BadValue, match="^host: "):
            models.check_host(host)


def test_hosts_by_name_are_an_option(conf):
    conf.set_override("hostname_require_valid_ip", False)
    models.check_host("web-1.example.org")
    with pytest.raises(exception.BadValue):
        models.check_host("a'b")


@pytest.mark.parametrize("password", ["", "a'b", "a\\b", "a`b", 'a"b', "a;b", "a,b", "a/b"])
def test_bad_passwords_are_refused_and_not_repeated(conf, password):
    with pytest.raises(exception.BadValue) as caught:
        models.MySQLUser("u1", password=password).validate()
    assert not password or password not in str(caught.value)


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
