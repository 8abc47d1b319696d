"""Databases, users, grants and root in a real server, with names and passwords made to break out of SQL."""
import shutil
import string

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.functional.guestagent.conftest import end, make_guest, options
from tests.guests import free_port
from trove.common import cfg, exception
from trove.common.cfg import CONF
from trove.guestagent.common import host_service
from trove.guestagent.datastore.mysql_common.admin import MySqlAdmin
from trove.guestagent.datastore.mysql_common.service import MySqlApp
from trove.guestagent.db import models
from trove.guestagent.db.mysql_charsets import charset_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tested, packaged_data):
    """A secured server for all tests of this module."""
    guest = make_guest(tested)
    guest.layout.template.symlink_to(packaged_data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_service, "runs_systemd", lambda: False)
        options(CONF, guest)
        app = MySqlApp(guest.layout)
        app.tcp_port = free_port()
        app.write_configuration(guest.config_contents().replace("skip_networking", "bind_address = 127.0.0.1").replace(
            "port = 3306", f"port = {app.tcp_port}"), {})
        app.prepare_data()
        app.start()
        app.secure()
        app.guest = guest
        yield app
        options(CONF, guest)
        end(app)
    CONF.reset()

    shutil.rmtree(guest.root)


@pytest.fixture
def admin(server, conf):
    """An administrator of a server without databases and users."""
    options(conf, server.guest)
    admin = MySqlAdmin(server, server.guest.engine)
    yield admin
    for database in admin.list_databases()[0]:
        admin.delete_database(database)
    for user in admin.list_users()[0]:
        admin.delete_user(user)
    admin.disable_root()


@pytest.fixture
def login(server):
    """Logs in as a user and returns the first value of an answer."""
    def ask(user, password, statement="SELECT CURRENT_USER()", database=None):
        connection = pymysql.connect(unix_socket=str(server.layout.socket), user=user, password=password.encode(),
                                     charset="utf8mb4", database=database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return (cursor.fetchone() or (None,))[0]
        finally:
            connection.close()
    return ask


def test_what_a_client_locks_may_be_tried_again_and_is_not_done_later(server, admin, conf):
    admin.create_database([{"_name": "locked"}])
    with server.session() as client:
        client.execute("CREATE TABLE {}.t (a INT)", names=["locked"])
        client.execute("LOCK TABLES {}.t READ", names=["locked"])
        conf.set_override("agent_lock_wait_timeout", 1)
        with pytest.raises(exception.ServiceUnavailable, match="waited in vain for a lock"):
            admin.delete_database({"_name": "locked"})
    assert names(admin.list_databases()) == ["locked"]
    admin.delete_database({"_name": "locked"})
    assert names(admin.list_databases()) == []


def user(name, password="pw", host="%", databases=()):
    return {"_name": name, "_host": host, "_password": password, "_databases": [{"_name": d} for d in databases]}


def names(page):
    return [item["_name"] for item in page[0]]


NASTY = ["it's", 'say "x"', "back`tick", "back\\slash", "100%", "%s", "{}", "{0}", "a_b", "semi;DROP", "--", "/*",
         "ünï", "名前", "a b", "x' OR '1'='1", "$1", "?", "#", "@", "a.b", "\\'", "\\%", "\\_", "%%",
         "'; DROP USER u; --"]


@pytest.mark.parametrize("name", NASTY)
def test_nasty_database_names(admin, login, name):
    admin.create_database([{"_name": name}, {"_name": "other"}])
    admin.create_database([{"_name": name}])
    assert sorted(names(admin.list_databases())) == sorted({name, "other"})
    admin.create_user([user("u1", databases=[name])])
    assert [d["_name"] for d in admin.list_access("u1", "%")] == [name]
    assert login("u1", "pw", "SELECT DATABASE()", database=name) == name
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        login("u1", "pw", database="other")
    admin.revoke_access("u1", "%", name)
    assert admin.list_access("u1", "%") == []
    admin.grant_access("u1", "%", [name])
    admin.delete_database({"_name": name})
    assert admin.list_access("u1", "%") == []
    assert names(admin.list_databases()) == ["other"]


@pytest.mark.parametrize("name", NASTY)
def test_nasty_user_names_and_passwords(admin, login, name):
    password = f"{name}-'\"`\\%s{{}}é"
    admin.create_database([{"_name": "db1"}])
    admin.create_user([user(name, password, databases=["db1"])])
    assert login(name, password) == f"{name}@%"
    assert names(admin.list_users()) == [name]
    assert admin.get_user(name, "%")["_databases"] == [
        {"_name": "db1", "_character_set": None, "_collate": None}]
    admin.change_passwords([{"name": name, "host": "%", "password": password + "2"}])
    assert login(name, password + "2") == f"{name}@%"
    admin.update_attributes(name, "%", {"name": name + "n", "password": password})
    assert login(name + "n", password, database="db1") == f"{name}n@%"
    admin.delete_user(user(name + "n"))
    admin.delete_user(user(name + "n"))
    assert names(admin.list_users()) == []


# The servers keep names in three bytes of UTF-8 per character.
TEXT = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc", "Cn", "Co"]), min_size=1,
               max_size=16)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=TEXT.filter(lambda t: t == t.strip()), password=st.text(
    st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=40), database=TEXT.filter(
    lambda t: t == t.strip() and not t.startswith("#mysql50#")))
def test_whatever_is_stored_is_found_and_dropped(admin, login, name, password, database):
    lowered = {name.lower(), database.lower()}
    if lowered & {"root", "os_admin", "mysql", "sys", "information_schema", "performance_schema", "lost+found"}:
        return
    if database.endswith((" ", ".", "/")):
        return
    admin.create_database([{"_name": database}])
    admin.create_user([user(name, password, databases=[database])])
    assert names(admin.list_users()) == [name]
    assert [d["_name"] for d in admin.list_access(name, "%")] == [database]
    assert login(name, password, "SELECT DATABASE()", database=database) == database
    admin.delete_user(user(name))
    admin.delete_database({"_name": database})
    assert (names(admin.list_users()), names(admin.list_databases())) == ([], [])


def test_character_sets(admin, server):
    admin.create_database([{"_name": "a1", "_character_set": "latin1", "_collate": "latin1_german1_ci"},
                           {"_name": "a2", "_character_set": "utf8"}, {"_name": "a3"}, {"_name": "a4", "_collate":
                                                                                       "utf8mb4_bin"}])
    own = "utf8mb4_general_ci" if server.guest.engine == "mariadb" else "utf8mb4_0900_ai_ci"
    assert [(d["_character_set"], d["_collate"]) for d in admin.list_databases()[0]] == [
        ("latin1", "latin1_german1_ci"), ("utf8mb3", "utf8mb3_general_ci"), ("utf8mb4", own),
        ("utf8mb4", "utf8mb4_bin")]


def test_a_database_without_a_character_set_takes_what_people_write(admin, server):
    admin.create_database([{"_name": "db1"}])
    with server.session() as session:
        session.execute("CREATE TABLE db1.t (v VARCHAR(20))")
        session.execute("INSERT INTO db1.t VALUES (%s)", ["\U0001f600"])
        assert session.execute("SELECT v FROM db1.t") == (("\U0001f600",),)


def test_the_collations_are_those_of_the_server(admin, server):
    with server.session() as session:
        if server.guest.engine == "mariadb":  # some are for several character sets, under a name for each
            rows = session.execute("SELECT FULL_COLLATION_NAME, CHARACTER_SET_NAME "
                                   "FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY")
        else:
            rows = session.execute("SELECT COLLATION_NAME, CHARACTER_SET_NAME FROM information_schema.COLLATIONS")
        known = charset_of(server.guest.engine)
        old = {name for name, charset in known.items() if charset == "utf8"}
        assert {name: charset for name, charset in known.items() if name not in old} == dict(rows)
        session.execute("CREATE DATABASE db1")
        for name in old:
            session.execute(f"ALTER DATABASE db1 CHARACTER SET utf8 COLLATE {name}")


@pytest.mark.parametrize("name", ["名" * 51, "é" * 64, "x" * 64, "a", "$", "Ж" * 64, "ệ" * 64, "a-b" * 17 + "-" * 13])
def test_names_that_are_taken_by_the_rules_can_be_made(admin, server, name):
    models.of(server.guest.engine).check_database_name(name)
    admin.create_database([{"_name": name}])
    assert names(admin.list_databases()) == [name]


@pytest.mark.parametrize("name", ["名" * 52, "x" * 65, "#mysql50#a", "a "])
def test_names_that_are_not_cannot(admin, server, name):
    with pytest.raises(exception.BadValue):
        models.of(server.guest.engine).check_database_name(name)
    if server.guest.engine == "mariadb" or not name.startswith("#"):
        with pytest.raises(pymysql.err.MySQLError):
            admin.create_database([{"_name": name}])


@pytest.mark.parametrize(("host", "inside", "outside"), [
    ("127.%", True, False), ("127.0.0.0/255.255.240.0", True, False), ("127.0.0.1/255.255.255.255", True, False),
    ("10.%", False, True), ("127.0.16.0/255.255.240.0", False, True), ("127.0.0._", True, False),
    ("127.0.0.0/8", None, None)])
def test_hosts_let_in_whom_they_mean(admin, server, host, inside, outside):
    if inside is None:
        inside = server.guest.engine == "mysql"  # MariaDB stores it, and nobody matches
        outside = not inside
    else:
        models.of(server.guest.engine).check_host(host)
    admin.create_user([user("visitor", "pw", host=host)])
    assert [u["_host"] for u in admin.list_users()[0]] == [host]
    if inside:
        pymysql.connect(host="127.0.0.1", port=server.tcp_port, user="visitor", password="pw").close()
    if outside:
        with pytest.raises(pymysql.err.OperationalError, match="denied|not allowed"):
            pymysql.connect(host="127.0.0.1", port=server.tcp_port, user="visitor", password="pw")


def test_the_longest_names_of_users(admin, server, login):
    longest = cfg.traits(server.guest.engine).longest_user_name
    admin.create_user([user("x" * longest)])
    assert login("x" * longest, "pw") == "x" * longest + "@%"
    with pytest.raises(pymysql.err.MySQLError):
        admin.create_user([user("x" * (longest + 1))])


def test_pages_of_databases(admin):
    admin.create_database([{"_name": name} for name in ("d1", "d2", "d3", "D4")])
    assert admin.list_databases(2)[1] == "d1"
    assert names(admin.list_databases(2)) == ["D4", "d1"]
    assert names(admin.list_databases(2, "d1")) == ["d2", "d3"]
    assert admin.list_databases(2, "d1")[1] is None
    assert names(admin.list_databases(2, "d1", True)) == ["d1", "d2"]
    assert names(admin.list_databases(5, "zz")) == []


def test_pages_of_users(admin):
    admin.create_user([user("a"), user("a", host="10.0.0.%"), user("b", host="10.1.%.%")])
    page, marker = admin.list_users(2)
    assert [(u["_name"], u["_host"]) for u in page] == [("a", "%"), ("a", "10.0.0.%")]
    assert marker == "a@10.0.0.%"
    page, marker = admin.list_users(2, marker)
    assert [u["_name"] for u in page] == ["b"]
    assert marker is None
    assert page[0]["_password"] is None


def test_what_is_reserved_is_neither_seen_nor_touched(admin, server):
    assert names(admin.list_users()) == []
    assert names(admin.list_databases()) == []
    assert admin.get_user("os_admin", "localhost") is None
    assert admin.get_user("mariadb.sys", "localhost") is None
    for action in (lambda: admin.delete_user(user("os_admin", host="localhost")),
                   lambda: admin.delete_user(user("mariadb.sys", host="localhost")),
                   lambda: admin.create_user([user("Root")]),
                   lambda: admin.update_attributes("u", "%", {"name": "root"}),
                   lambda: admin.change_passwords([{"name": "os_admin", "host": "localhost", "password": "x"}]),
                   lambda: admin.delete_database({"_name": "MySQL"}),
                   lambda: admin.create_database([{"_name": "sys"}]),
                   lambda: admin.grant_access("u", "%", ["mysql"])):
        with pytest.raises(exception.BadValue, match="reserved"):
            action()
    with pytest.raises(exception.NotFound):
        admin.list_access("os_admin", "localhost")


def test_what_is_not_there(admin):
    assert admin.get_user("nobody", "%") is None
    admin.delete_user(user("nobody"))
    admin.delete_database({"_name": "nothing"})
    for action in (lambda: admin.list_access("nobody", "%"), lambda: admin.grant_access("nobody", "%", ["db1"]),
                   lambda: admin.revoke_access("nobody", "%", "db1"),
                   lambda: admin.change_passwords([{"name": "nobody", "host": "%", "password": "x"}]),
                   lambda: admin.update_attributes("nobody", "%", {"name": "n2"})):
        with pytest.raises(exception.NotFound, match="nobody"):
            action()
    admin.create_user([user("u1")])
    with pytest.raises(exception.NotFound, match="db1"):
        admin.revoke_access("u1", "%", "db1")


def test_no_user_is_changed_when_one_of_them_is_unknown(admin, login):
    admin.create_user([user("u1")])
    with pytest.raises(exception.NotFound):
        admin.change_passwords([{"name": "u1", "host": "%", "password": "new"},
                                {"name": "u2", "host": "%", "password": "new"}])
    assert login("u1", "pw") == "u1@%"


def test_a_user_without_a_password_is_refused(admin):
    with pytest.raises(exception.BadValue, match="needs one"):
        admin.create_user([user("u1", None)])
    assert names(admin.list_users()) == []


def test_a_user_made_twice_has_the_last_password(admin, login):
    admin.create_user([user("u1", "one")])
    admin.create_user([user("u1", "two")])
    assert login("u1", "two") == "u1@%"


def test_a_repeated_change_of_a_name_is_fine(admin, login):
    admin.create_user([user("u1")])
    for _ in range(2):
        admin.update_attributes("u1", "%", {"name": "u2", "host": "%", "password": "new"})
    assert login("u2", "new") == "u2@%"
    assert names(admin.list_users()) == ["u2"]


def test_root(admin, login, conf):
    assert admin.is_root_enabled() is False
    made = admin.enable_root()
    assert (made["_name"], made["_host"], len(made["_password"])) == ("root", "%", 36)
    assert set(made["_password"]) <= set(string.ascii_letters + string.digits)
    assert admin.is_root_enabled() is True
    assert admin.enable_root("it's \\ given")["_password"] == "it's \\ given"
    assert names(admin.list_users()) == []
    admin.disable_root()
    admin.disable_root()
    assert admin.is_root_enabled() is False
    conf.set_override("root_grant", ["SELECT ON *.* TO x; DROP"])
    with pytest.raises(exception.BadValue, match="root_grant"):
        admin.enable_root()


def test_root_over_the_network_may_do_everything_and_keeps_local_root_out_of_it(admin, server):
    password = admin.enable_root()["_password"]
    with server.session() as session:
        grants = [row[0] for row in session.execute("SHOW GRANTS FOR 'root'@'%%'")]
        privileges = set(session.execute(
            "SELECT privilege_type, grantee FROM information_schema.user_privileges "
            "WHERE grantee IN (%s, %s)", ("'root'@'%'", "'os_admin'@'localhost'")))
    roots, own = ({name for name, grantee in privileges if grantee.startswith(f"'{user}'")}
                  for user in ("root", "os_admin"))
    # With that one MariaDB lets a replica be written to.
    assert own - roots == ({"READ_ONLY ADMIN"} if server.guest.engine == "mariadb" else set())
    assert roots <= own
    assert {"SELECT", "CREATE USER", "SUPER"} <= roots
    assert grants[0].endswith("WITH GRANT OPTION")
    assert password not in "".join(grants)
