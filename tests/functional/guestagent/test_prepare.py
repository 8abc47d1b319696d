"""prepare with a real server: from nothing, from a template, interrupted anywhere, and what it leaves behind."""
import contextlib
import os
import pwd
import shutil

import pymysql
import pytest

from tests.functional.guestagent.conftest import end
from trove.common.context import TroveContext
from trove.guestagent.common import operating_system
from trove.guestagent.datastore.mysql_common import sql

pytestmark = pytest.mark.slow

DATABASES = [{"_name": "db1", "_character_set": "utf8mb4", "_collate": "utf8mb4_bin"}]
USERS = [{"_name": "u1", "_host": "%", "_password": "it's \\ a \"%s\"; DROP", "_databases": [{"_name": "db1"}]}]


class Killed(BaseException):
    """Stands for a death of the agent."""


@pytest.fixture
def managers(guest, reports):
    """Makes agents of the guest; the server is ended afterwards."""
    made = []

    def make():
        made.append(guest.manager())
        return made[-1]
    yield make
    if made:
        end(made[-1].app)


def prepare(manager, guest, **changes):
    manager.prepare(TroveContext(), **{
        "packages": ["coreutils"], "databases": DATABASES, "memory_mb": 256, "users": USERS,
        "config_contents": guest.config_contents(), "overrides": {"max_connections": 77}, **changes})


def rows(guest, statement, user="u1", password=USERS[0]["_password"]):
    """The answer to a statement, asked as a user of the tenant."""
    connection = pymysql.connect(unix_socket=str(guest.layout.socket), user=user, password=password, charset="utf8mb4")
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
    finally:
        connection.close()


def check_built(manager, guest, reports):
    """All that a tenant was promised is there."""
    assert reports.statuses[-1] == "running"
    assert manager.status.prepare_completed
    assert rows(guest, "SELECT DATABASE(), @@max_connections, @@datadir") == (
        (None, 77, f"{guest.layout.data}/"),)
    assert ("db1",) in rows(guest, "SHOW DATABASES")
    with manager.app.session() as session:
        assert session.execute("SELECT User FROM mysql.user WHERE User = ''") == ()
        assert session.execute("SELECT 1 FROM mysql.db WHERE User = ''") == ()
        assert session.execute("SELECT Host FROM mysql.user WHERE User = 'root'") == (("localhost",),)


def test_from_nothing(guest, managers, reports):
    manager = managers()
    prepare(manager, guest)
    check_built(manager, guest, reports)
    assert manager.app.client_file.stat().st_mode & 0o777 == 0o600
    assert operating_system.state_dir().stat().st_mode & 0o777 == 0o700


def test_nobody_gets_in_without_a_password(guest, managers, reports, packaged_data):
    guest.layout.template.symlink_to(packaged_data)
    prepare(managers(), guest)
    for user in ("os_admin", "u1", "nobody"):
        with pytest.raises(pymysql.err.OperationalError, match="denied"):
            rows(guest, "SELECT 1", user=user, password="")


def test_a_template_with_open_doors_is_closed(guest, managers, reports, packaged_data):
    # As old packages made it: root without a password, anonymous users with rights on databases named test.
    shutil.copytree(packaged_data, guest.layout.template)
    operating_system.change_owner(guest.layout.template, "mysql")
    opening = ["CREATE USER ''@localhost", "CREATE USER root@'%%'", "GRANT ALL ON `test%%`.* TO ''@localhost"]
    if guest.engine == "mariadb":
        opening[:0] = ["ALTER USER root@localhost IDENTIFIED VIA mysql_native_password USING ''"]
    manager = managers()
    manager.app.write_configuration(guest.config_contents(), {})
    manager.app.prepare_data()
    manager.app.start()
    with manager.app.session(user="root") as session:
        for statement in opening:
            session.execute(statement)
    manager.app.stop()
    prepare(manager, guest)
    check_built(manager, guest, reports)
    with as_system_user(guest.layout.user), pytest.raises(pymysql.err.OperationalError, match="denied"):
        rows(guest, "SELECT 1", user="root", password="")
    if guest.engine == "mysql":  # the system's root, as its peer, may
        assert rows(guest, "SELECT CURRENT_USER()", user="root", password="") == (("root@localhost",),)


@contextlib.contextmanager
def as_system_user(name):
    """Let this process reach others as that user of the system during the block."""
    os.seteuid(pwd.getpwnam(name).pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("tested", ["mysql"], indirect=True)
def test_no_server_has_the_id_or_the_private_keys_of_the_image(guest, managers, reports, packaged_data):
    guest.layout.template.symlink_to(packaged_data)
    prepare(managers(), guest)
    for name in ("auto.cnf", "ca-key.pem", "server-key.pem"):
        assert (guest.layout.data / name).read_text() != (packaged_data / name).read_text()


# Beside those of every engine, which the contract has.
EFFECTS = [
    (operating_system, "copy_tree"), (operating_system, "change_owner"), (sql.Session, "set_password"),
    (sql.Session, "make_administrator"), (sql.Session, "close_other_doors"),
]


@pytest.mark.parametrize(("owner", "name"), EFFECTS, ids=[name for _, name in EFFECTS])
def test_killed_after_any_effect_and_sent_again(guest, managers, reports, packaged_data, monkeypatch, owner, name):
    guest.layout.template.symlink_to(packaged_data)
    effect = getattr(owner, name)

    def deadly(*args, **kwargs):
        effect(*args, **kwargs)
        raise Killed(name)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, deadly)
        with pytest.raises(Killed):
            prepare(managers(), guest)
    manager = managers()
    if name != "end_install":
        said = len(reports.statuses)
        manager.update_status()
        assert len(reports.statuses) == said
    prepare(manager, guest)
    check_built(manager, guest, reports)


def test_a_configuration_can_be_written_without_a_restart(guest, managers, reports, packaged_data):
    guest.layout.template.symlink_to(packaged_data)
    manager = managers()
    prepare(manager, guest)
    manager.reset_configuration(None, {"config_contents": "# empty\n"})
    assert guest.layout.config_file.read_text() == "# empty\n"
    assert rows(guest, "SELECT @@max_connections") == ((77,),)
