"""Named time zones in real servers: new ones, those with an old backup's data; and a death while they are filled."""
import shutil

import pytest

from tests.functional.guestagent.conftest import end, make_guest, options
from tests.functional.guestagent.test_backup import FULL, Machine
from tests.guests import Backups
from trove.guestagent.common import operating_system

pytestmark = pytest.mark.slow

_TABLES = ("time_zone", "time_zone_name", "time_zone_transition", "time_zone_transition_type")
_NOON = "SELECT CONVERT_TZ('2026-07-01 12:00:00', 'UTC', 'Europe/Berlin')"


@pytest.fixture
def machine(conf, direct, reports, tested, packaged_data):
    """A prepared server with a binary log."""
    guest = make_guest(tested)
    options(conf, guest)
    guest.layout.template.symlink_to(packaged_data)
    machine = Machine(conf, guest)
    contents = guest.config_contents().replace("skip_log_bin", "")
    machine.prepare(config_contents=contents.replace("[mysqld]\n", "[mysqld]\nlog_bin = binlog\n"))
    yield machine
    end(machine.manager.app)
    shutil.rmtree(guest.root)


def ask(machine, *statements):
    """The first value of the last statement, as the administrator."""
    with machine.manager.app.session() as session:
        for statement in statements:
            rows = session.execute(statement)
    return rows[0][0] if rows else None


def empty(machine):
    """Leave the server as one without time zones was."""
    with machine.manager.app.own_session() as session:
        for table in _TABLES:
            session.execute(f"TRUNCATE TABLE mysql.{table}")


def written(machine):
    """How far the server's log of changes for replicas is."""
    with machine.manager.app.session() as session:
        words = "SHOW MASTER STATUS" if session.dialect.engine == "mariadb" else "SHOW BINARY LOG STATUS"
        return session.execute(words)[0][:2]


def test_a_new_server_knows_named_time_zones(machine):
    assert str(ask(machine, _NOON)) == "2026-07-01 14:00:00"
    assert ask(machine, "SET time_zone = 'America/New_York'", "SELECT @@time_zone") == "America/New_York"


def test_a_server_of_an_old_backup_gets_them_once_and_its_replicas_nothing(machine):
    empty(machine)
    position = written(machine)
    machine.manager.app.complete()
    assert str(ask(machine, _NOON)) == "2026-07-01 14:00:00"
    assert written(machine) == position
    with machine.manager.app.own_session() as session:
        session.execute("DELETE FROM mysql.time_zone_name WHERE Name = 'Europe/Berlin'")
    machine.manager.app.complete()
    with machine.manager.app.session() as session:
        assert session.execute("SELECT 1 FROM mysql.time_zone_name WHERE Name = 'Europe/Berlin'") == ()


def test_an_old_backup_with_a_group_that_names_a_zone(machine, reports, container):  # noqa: F811
    empty(machine)
    taken = Backups(reports).take(machine, FULL[machine.guest.engine][0])
    guest = make_guest(machine.guest.tested)
    restored = Machine(machine.conf, guest)
    try:
        restored.prepare(databases=[], users=[], overrides={"default_time_zone": "Europe/Berlin"},
                         backup_info={"id": taken["id"], "type": taken["type"], "chain": [taken]})
        assert reports.statuses[-1] == "running", reports.causes
        assert ask(restored, "SELECT @@GLOBAL.time_zone") == "Europe/Berlin"
    finally:
        end(restored.manager.app)
        shutil.rmtree(guest.root)
        machine.enter()


def test_a_boot_of_the_guest_fills_them(machine):
    empty(machine)
    machine.manager.app.stop()
    machine.manager.app.start_at_boot()
    assert str(ask(machine, _NOON)) == "2026-07-01 14:00:00"


def test_tables_that_were_half_filled_are_filled_again(machine):
    with machine.manager.app.own_session() as session:
        session.execute("DELETE FROM mysql.time_zone_name WHERE Name > 'B'")
    (operating_system.state_dir() / "timezones.loading").touch()
    machine.manager.app.complete()
    assert str(ask(machine, _NOON)) == "2026-07-01 14:00:00"
    assert not (operating_system.state_dir() / "timezones.loading").exists()


def test_a_read_only_server_is_filled_and_stays_read_only(machine):
    empty(machine)
    name = "read_only" if machine.guest.engine == "mariadb" else "super_read_only"
    with machine.manager.app.session() as session:
        session.set_global(name, 1)
    machine.manager.app.complete()
    assert str(ask(machine, _NOON)) == "2026-07-01 14:00:00"
    assert ask(machine, f"SELECT @@{name}") == 1


def test_without_the_zones_the_server_works_and_the_log_says_what_the_image_needs(machine, monkeypatch, caplog):
    empty(machine)
    monkeypatch.setattr("trove.guestagent.datastore.mysql_common.timezones._ZONES", (machine.guest.root / "none",))
    machine.manager.app.complete()
    assert "the image needs" in caplog.text
    assert ask(machine, _NOON) is None
