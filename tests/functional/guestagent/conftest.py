"""A real MariaDB or MySQL of the test's own, driven by the agent's code in directories of its own."""
import contextlib
import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from tests import servers
from tests.unit.guestagent.conftest import Reports
from tests.waiting import wait_until
from trove.common import template
from trove.common.cfg import CONF
from trove.conductor import api as conductor_api
from trove.guestagent.common import host_service
from trove.guestagent.datastore.experimental.mariadb import manager as mariadb
from trove.guestagent.datastore.mysql import manager as mysql
from trove.guestagent.datastore.mysql_common import service
from trove.guestagent.datastore.mysql_common.service import Layout

MANAGERS = {"mariadb": mariadb.Manager, "mysql": mysql.Manager}


@pytest.fixture(scope="session", params=sorted(MANAGERS))
def engine(request):
    """The name of a datastore manager, whose server's programs are found while tests run with it."""
    with contextlib.ExitStack() as stack:
        if request.param == "mysql":
            programs = stack.enter_context(servers.mysql_programs())
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setattr(service, "PROGRAMS", str(programs))
            patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        yield request.param


def free_port():
    """Return a port of the loopback address that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Guest:
    """The directories of one guest with an engine, and what the control plane would send to it."""

    def __init__(self, root, engine):
        self.root = root
        self.engine = engine
        self.layout = Layout(
            mount_point=root / "mysql", config_file=root / "etc/my.cnf", overrides=root / "etc/conf.d",
            run_dir=root / "run", template=root / "template", log_file=root / "log/error.log",
            own_port=free_port())
        self.layout.log_file.parent.mkdir()
        self.layout.config_file.parent.mkdir()
        self.layout.overrides.mkdir()

    def manager(self):
        """A new agent of this guest."""
        return MANAGERS[self.engine](layout=self.layout)

    def config_contents(self, ram=256):
        """The packaged template with this guest's paths and without a port. ram: MB of its flavor."""
        text = template.render(self.engine, self.engine, "10.11", {"ram": ram}, "i-1")
        for path, here in (("/run/mysqld", self.layout.run_dir), ("/var/lib/mysql/data", self.layout.data),
                           ("/etc/mysql/conf.d", self.layout.overrides)):
            text = text.replace(path, str(here))
        # What is written need not survive a power cut.
        return text.replace("bind_address = 0.0.0.0", "skip_networking\ninnodb_flush_method = nosync")


def make_guest(engine):
    """A Guest below a directory that the database's user may enter."""
    root = Path(tempfile.mkdtemp(prefix="guest-test-"))
    root.chmod(0o755)
    return Guest(root, engine)


def options(conf, guest):
    """The options of an agent in ``guest``."""
    conf.set_override("guest_id", "i-1")
    conf.set_override("guest_key", "the key of this guest only")
    conf.set_override("guest_state_dir", str(guest.root / "state"))
    conf.set_override("state_change_wait_time", 60)


def end(app):
    """Kill the server of a test, however it is: to end in order takes seconds, and nobody reads its data any more."""
    if app.service.is_running():
        os.kill(int(app.service._pid_file.read_text()), signal.SIGKILL)
        wait_until(lambda: not app.service.is_running(), pause=0.01)


def datadir_template(engine, directory):
    """A data directory as images carry it, made once per run of the tests."""
    guest = make_guest(engine)
    try:
        CONF.set_override("guest_state_dir", str(guest.root / "state"))
        app = service.MySqlApp(guest.layout)
        app.write_configuration(guest.config_contents(), {})
        app.prepare_data()
        app.start()
        app.complete(user="root")
        app.stop()
        shutil.copytree(guest.layout.data, directory)
        directory.chmod(0o755)
    finally:
        CONF.clear_override("guest_state_dir")
        shutil.rmtree(guest.root)


@pytest.fixture(scope="session")
def packaged_data(engine):
    """The template of a data directory."""
    parent = Path(tempfile.mkdtemp(prefix="guest-test-template-"))
    datadir_template(engine, parent / "template")
    yield parent / "template"
    shutil.rmtree(parent)


@pytest.fixture
def direct(conf, monkeypatch):
    """The agent drives servers itself, whatever is pid 1 here, and sees soon that they run."""
    conf.set_override("state_change_poll_time", 0.1)
    monkeypatch.setattr(host_service, "runs_systemd", lambda: False)


@pytest.fixture
def guest(conf, direct, engine):
    """A guest in which nothing was prepared."""
    guest = make_guest(engine)
    options(conf, guest)
    yield guest
    shutil.rmtree(guest.root)


@pytest.fixture
def reports(monkeypatch):
    """What the agent reports."""
    reports = Reports()
    monkeypatch.setattr(conductor_api, "API", lambda context: reports)
    return reports
