"""Databases, users, grants and root in a real PostgreSQL."""
import pg8000.exceptions
import pytest

from trove.common import exception

pytestmark = pytest.mark.slow

ODD = 'Ünï "quoted" \'name\'; %s {0} $1 \\'


def user(name, password="secret", *databases):
    return {"_name": name, "_host": "%", "_password": password, "_databases": [{"_name": each} for each in databases]}


def names(page):
    return [each["_name"] for each in page[0]]


def test_databases_with_encodings_and_collations(running):
    admin = running[0].admin
    for _ in range(2):
        admin.create_database([{"_name": "plain"}, {"_name": ODD}, {"_name": "old", "_character_set": "latin1"},
                               {"_name": "sorted", "_character_set": "utf-8", "_collate": "C"}])
    found = {each["_name"]: (each["_character_set"], each["_collate"]) for each in admin.list_databases()[0]}
    assert found == {"plain": ("UTF8", "C.UTF-8"), ODD: ("UTF8", "C.UTF-8"), "old": ("LATIN1", "C"),
                     "sorted": ("UTF8", "C")}
    assert admin.list_databases(limit=2) == (admin.list_databases()[0][:2], "plain")
    for name in found:
        for _ in range(2):
            admin.delete_database({"_name": name})
    assert admin.list_databases() == ([], None)
    with running[0].app.session() as session:
        assert session.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'os_db_')") == []


def test_names_that_would_be_cut_or_are_reserved_are_refused(running):
    admin = running[0].admin
    admin.create_database([{"_name": "é" * 31}])
    admin.delete_database({"_name": "é" * 31})
    for name in ("é" * 32, "postgres", "template1"):
        with pytest.raises(exception.BadValue):
            admin.create_database([{"_name": name}])
    for name in ("é" * 32, "os_admin", "root", "pg_monitor", "os_db_x", "public", "os_replica_1"):
        with pytest.raises(exception.BadValue):
            admin.create_user([user(name)])
    assert admin.list_users() == ([], None)


def test_an_unknown_collation_is_the_users_error(running):
    with pytest.raises(exception.BadRequest, match="collation"):
        running[0].create_database(None, [{"_name": "d", "_collate": "xx_YY"}])


def test_users_share_what_they_make_before_and_after(running):
    manager, guest = running
    admin = manager.admin
    admin.create_database([{"_name": "shop"}, {"_name": "other"}])
    admin.create_user([user("ann", "a", "shop"), user(ODD, "b'\\ü", "shop")])
    ann, odd = guest.connect("ann", "a", "shop"), guest.connect(ODD, "b'\\ü", "shop")
    ann.run("CREATE TABLE t (id serial PRIMARY KEY, word text)")
    ann.run("CREATE VIEW v AS SELECT * FROM t")
    ann.run("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    ann.run("CREATE SCHEMA s CREATE TABLE inside (id serial)")
    ann.run("CREATE TYPE mood AS ENUM ('sad')")
    ann.run("SET ROLE NONE")
    ann.run("CREATE TABLE own (id serial, word text)")
    ann.run("CREATE SCHEMA mine CREATE TABLE deep (id serial)")
    admin.create_user([user("late", "c")])
    admin.grant_access("late", "%", ["shop"])
    late = guest.connect("late", "c", "shop")
    for session in (odd, late):
        for table in ("t", "own"):
            session.run(f"INSERT INTO {table} (word) VALUES ('x')")
            session.run(f"UPDATE {table} SET word = 'y'")
            assert session.run(f"SELECT count(*) FROM {table} WHERE word = 'y'")[0][0] > 0
        session.run("INSERT INTO s.inside DEFAULT VALUES")
        session.run("INSERT INTO mine.deep DEFAULT VALUES")
        session.run("CREATE TABLE mine.by_" + session.user.decode()[:2].lower().replace("ü", "u") + " (id int)")
        assert session.run("SELECT word, f(), 'sad'::mood FROM v LIMIT 1") == [["y", 1, "sad"]]
        session.run("ALTER TABLE t ADD COLUMN more int")
        session.run("ALTER TABLE t DROP COLUMN more")
        session.run("TRUNCATE t")
    assert [each["_name"] for each in admin.list_access("late", "%")] == ["shop"]
    for name, database in (("late", "other"), ("ann", "postgres")):
        with pytest.raises(pg8000.exceptions.DatabaseError):
            guest.connect(name, "c" if name == "late" else "a", database).run("SELECT count(*) FROM pg_class, t")
    admin.revoke_access("late", "%", "shop")
    with pytest.raises(pg8000.exceptions.Error):
        late.run("SELECT 1")
    with pytest.raises(pg8000.exceptions.DatabaseError, match="42501"):
        guest.connect("late", "c", "shop")
    with pytest.raises(exception.NotFound):
        admin.revoke_access("late", "%", "shop")
    # A user with objects can be deleted, and nothing is lost.
    ann.run("INSERT INTO own (word) VALUES ('last')")
    admin.delete_user({"_name": "ann", "_host": "%"})
    with pytest.raises(pg8000.exceptions.Error):
        ann.run("SELECT 1")
    assert odd.run("SELECT count(*) FROM own")[0][0] == 3
    odd.run("DROP TABLE own, mine.deep CASCADE")
    odd.close()
    assert names(admin.list_users()) == ["late", ODD]
    admin.delete_user({"_name": ODD, "_host": "%"})
    admin.delete_user({"_name": "late", "_host": "%"})
    admin.delete_database({"_name": "shop"})
    admin.delete_database({"_name": "other"})


def test_passwords_are_stored_as_scram_and_are_nowhere_else(running):
    manager, guest = running
    guest_log = manager.logs.act
    guest_log("general", True, False, False, False, None)
    manager.admin.create_database([{"_name": "d"}])
    manager.admin.create_user([user("ann", "Very-secret-1", "d")])
    manager.admin.change_passwords([{"name": "ann", "host": "%", "password": "Very-secret-2ª"}])
    root = manager.admin.enable_root("Very-secret-3")
    assert root["_name"] == "root"
    with guest.connect("root", "Very-secret-3", "postgres") as session:
        stored = dict(session.run("SELECT rolname, rolpassword FROM pg_authid WHERE rolcanlogin"))
    assert stored.pop("os_admin") is None
    assert stored.keys() == {"ann", "root"}
    assert all(value.startswith("SCRAM-SHA-256$4096:") for value in stored.values())
    guest.connect("ann", "Very-secret-2ª", "d").close()
    text = "".join(path.read_text() for path in guest.layout.log_file.parent.glob("*.log"))
    assert "SELECT rolname, rolpassword" in text  # root's statement: the log is on
    assert "Very-secret" not in text
    assert "SCRAM" not in text
    guest_log("general", False, True, False, False, None)
    assert not [log for log in manager.logs.list_logs() if log["status"] == "Enabled" and log["name"] == "general"]
    manager.admin.disable_root()
    manager.admin.delete_user({"_name": "ann", "_host": "%"})
    manager.admin.delete_database({"_name": "d"})


def test_root(running):
    manager, guest = running
    admin = manager.admin
    assert not admin.is_root_enabled()
    password = admin.enable_root()["_password"]
    assert admin.is_root_enabled()
    session = guest.connect("root", password, "postgres")
    session.run("CREATE DATABASE roots")
    with guest.connect("root", password, "roots") as inside:
        inside.run("CREATE TABLE made_by_root (id serial)")
    # A user's things in the server's own database stay there, and the database stays the server's.
    admin.create_user([user("eve", "e")])
    session.run("GRANT CREATE ON SCHEMA public TO eve")
    guest.connect("eve", "e", "postgres").run("CREATE TABLE of_eve (id int)")
    admin.delete_user({"_name": "eve", "_host": "%"})
    assert session.run("SELECT tableowner FROM pg_tables WHERE tablename = 'of_eve'") == [["os_admin"]]
    assert session.run("SELECT datdba::regrole::text FROM pg_database WHERE datname = 'postgres'") == [["os_admin"]]
    # What root made can be given to users.
    admin.create_user([user("ann", "a", "roots")])
    guest.connect("ann", "a", "roots").run("INSERT INTO made_by_root DEFAULT VALUES")
    assert names(admin.list_users()) == ["ann"]
    for _ in range(2):
        admin.disable_root()
    with pytest.raises(pg8000.exceptions.Error):
        session.run("SELECT 1")
    with pytest.raises(pg8000.exceptions.DatabaseError):
        guest.connect("root", password, "postgres")
    assert not admin.is_root_enabled()
    admin.delete_user({"_name": "ann", "_host": "%"})
    admin.delete_database({"_name": "roots"})


def test_a_user_changes_name_and_password(running):
    manager, guest = running
    admin = manager.admin
    admin.create_database([{"_name": "d"}])
    admin.create_user([user("ann", "a", "d")])
    for _ in range(2):
        admin.update_attributes("ann", "%", {"name": "Bob"})
    admin.update_attributes("Bob", "%", {"password": "b"})
    guest.connect("Bob", "b", "d").close()
    assert [each["_name"] for each in admin.list_access("Bob", "%")] == ["d"]
    with pytest.raises(exception.NotFound):
        admin.update_attributes("bob", "%", {"password": "c"})
    admin.delete_user({"_name": "Bob", "_host": "%"})
    admin.delete_database({"_name": "d"})


def test_a_lock_is_told_with_its_holder(running, conf):
    manager, guest = running
    conf.set_override("agent_lock_wait_timeout", 1)
    manager.admin.create_database([{"_name": "d"}])
    manager.admin.create_user([user("ann", "a", "d")])
    password = manager.admin.enable_root()["_password"]
    session = guest.connect("root", password, "postgres")
    session.run("BEGIN")
    session.run("LOCK TABLE pg_authid IN EXCLUSIVE MODE")
    with pytest.raises(exception.GuestUnavailable, match=r"55P03.*'root' from 127.0.0.1 holds a lock .* idle"):
        manager.change_passwords(None, [{"name": "ann", "host": "%", "password": "b"}])
    session.close()
    manager.admin.disable_root()
    manager.admin.delete_user({"_name": "ann", "_host": "%"})
    manager.admin.delete_database({"_name": "d"})
