"""The agent's process: what it refuses to start with, and that it needs little."""
import stat
import subprocess
import sys

import pytest

from trove.cmd import guest

GOOD = {"guest_id": "i-1", "datastore_manager": "mysql", "guest_key": "k" * 64, "transport_url": "fake://"}


@pytest.fixture
def conf_d(tmp_path):
    """A directory as it is injected, from a dict of options."""
    def write(**options):
        (tmp_path / "guest_info.conf").write_text(
            "\n".join(["[DEFAULT]", *(f"{name} = {value}" for name, value in options.items() if value)]))
        return f"--config-dir={tmp_path}"
    return write


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_what_is_missing_is_named(conf, conf_d, missing):
    with pytest.raises(SystemExit, match=rf"Cannot start: set \[DEFAULT\] {missing}"):
        guest.read_configuration([conf_d(**{**GOOD, missing: None})])


def test_a_placeholder_for_a_key_is_refused(conf, conf_d):
    with pytest.raises(SystemExit, match="guest_key to a secret of your own"):
        guest.read_configuration([conf_d(**{**GOOD, "guest_key": "changeme"})])


def test_an_unknown_manager_is_named(conf, conf_d):
    guest.read_configuration([conf_d(**{**GOOD, "datastore_manager": "stone"})])
    with pytest.raises(SystemExit, match="option datastore_manager: 'stone' is none of mariadb, mysql, percona"):
        guest.Agent()


def test_the_injected_files_are_hidden_from_the_database_server(conf, conf_d, tmp_path):
    guest.read_configuration([conf_d(**GOOD)])
    guest.hide_configuration()
    assert stat.S_IMODE((tmp_path / "guest_info.conf").stat().st_mode) == 0o600


def test_the_agent_imports_little():
    # Import time and memory are part of every creation, in every guest.
    program = ("import sys, trove.cmd.guest; "
               "print([m for m in ('eventlet', 'sqlalchemy', 'jinja2', 'keystoneauth1', 'novaclient', 'webob', "
               "'trove.db', 'trove.instance', 'trove.common.crypto') if sys.modules.get(m)])")
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_an_agent_has_no_driver_but_its_engine_s():
    """An image carries the drivers of its own datastore only: what all agents share must not import one."""
    shared = ("trove.cmd.guest", "trove.guestagent.backup.backupagent", "trove.guestagent.dbaas",
              "trove.guestagent.logs",
              *(f"trove.guestagent.datastore.{name}" for name in
                ("admin", "manager", "prepare", "replication", "server", "service")),
              *(f"trove.guestagent.strategies.{kind}.base" for kind in ("backup", "replication", "restore")))
    program = ("import sys; sys.modules.update(dict.fromkeys(('pymysql', 'pg8000', 'redis', 'psycopg2'))); "
               f"import {', '.join(shared)}")
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)


def test_guests_that_started_together_do_not_go_on_together():
    """Each pause is another one, and about as long as the interval."""
    pauses = [guest.pause(10) for _ in range(200)]
    assert len(set(pauses)) > 100
    assert 9.5 <= min(pauses) < 10 < max(pauses) <= 10.5


def test_the_program_leaves_out_what_the_agent_does_not_need():
    program = ("import sys, types; from trove.guestagent.common import lean; lean.return_freed_memory(); "
               "lean.leave_out_libraries(); import trove.cmd.guest; from trove.guestagent import dbaas; "
               "import trove.guestagent.datastore.experimental.mariadb.manager; "
               "print([m for m in ('yaml', 'msgpack') if sys.modules.get(m)], "
               "[m for m in lean._AT_FIRST_USE if type(sys.modules.get(m)) is types.ModuleType]); "
               "import asyncio; asyncio.run(asyncio.sleep(0)); print('done')")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60,
                          check=True)
    assert done.stdout.splitlines() == ["[] []", "done"]
