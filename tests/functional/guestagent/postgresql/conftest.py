"""A real PostgreSQL of the test's own, driven by the agent's code in directories of its own."""
import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pg8000.native
import pytest

from tests.guests import free_port, options
from tests.waiting import wait_until
from trove.common import template
from trove.common.cfg import CONF
from trove.guestagent.common import host_service
from trove.guestagent.datastore.experimental.postgresql import manager, service
from trove.guestagent.datastore.experimental.postgresql.service import Layout


class Guest:
    """The directories of one guest, and what the control plane would send to it."""

    engine = "postgresql"

    def __init__(self, root):
        self.root = root
        self.port = free_port()
        self.tested = SimpleNamespace(options_of=lambda _: {"postgresql_port": self.port})
        self.layout = Layout(mount_point=root / "postgresql", config_file=root / "etc/postgresql.conf",
                             overrides=root / "etc/conf.d", run_dir=root / "run", template=root / "template",
                             log_file=root / "log/postgresql.log")
        self.layout.overrides.mkdir(parents=True)

    def manager(self):
        """A new agent of this guest."""
        return manager.Manager(layout=self.layout)

    def config_contents(self, ram=512):
        """The packaged template with this guest's paths. ram: MB of its flavor."""
        text = template.render("postgresql", "postgresql", "15", {"ram": ram}, "i-1")
        for path, here in (("/run/postgresql", self.layout.run_dir),
                           ("/etc/postgresql-trove/conf.d", self.layout.overrides)):
            text = text.replace(path, str(here))
        # What is written need not survive a power cut.
        return text.replace("listen_addresses = '*'", "listen_addresses = '127.0.0.1'") + "fsync = off\n"

    def connect(self, user, password, database, **kwargs):
        """A connection over TCP, as users of the database make it."""
        return pg8000.native.Connection(user, host="127.0.0.1", port=self.port, password=password, database=database,
                                        timeout=20, **kwargs)


def make_guest():
    """A Guest below a directory that the database's user may enter."""
    root = Path(tempfile.mkdtemp(prefix="guest-test-"))
    root.chmod(0o755)
    return Guest(root)


def end(app):
    """Kill the server of a test, however it is: nobody reads its data any more."""
    if app.service.is_running():
        os.kill(int(app.service._pid_file.read_text()), signal.SIGQUIT)
        wait_until(lambda: not app.service.is_running(), pause=0.01)


@pytest.fixture(scope="module")
def packaged_data():
    """A data directory as images carry it."""
    guest = make_guest()
    try:
        CONF.set_override("guest_state_dir", str(guest.root / "state"))
        app = service.PostgreSqlApp(guest.layout)
        app.initialise(guest.root / "template")
        yield guest.root / "template"
    finally:
        CONF.clear_override("guest_state_dir")
        shutil.rmtree(guest.root)


@pytest.fixture
def guest(conf, direct, packaged_data):
    """A guest in which nothing was prepared."""
    guest = make_guest()
    shutil.copytree(packaged_data, guest.layout.template)
    options(conf, guest)
    yield guest
    shutil.rmtree(guest.root)


def prepare(manager, guest, **changes):
    """Prepare a guest with nothing but what ``changes`` says."""
    manager.prepare(None, **{"packages": [], "databases": [], "memory_mb": 512, "users": [],
                             "config_contents": guest.config_contents(), **changes})


@pytest.fixture
def agent(guest, reports):
    """The manager of a guest whose server runs."""
    manager = guest.manager()
    prepare(manager, guest)
    yield manager
    end(manager.app)


@pytest.fixture(scope="module")
def shared_guest(packaged_data):
    """A guest for all tests of a module."""
    guest = make_guest()
    shutil.copytree(packaged_data, guest.layout.template)
    yield guest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_service, "runs_systemd", lambda: False)
        CONF.set_override("guest_state_dir", str(guest.root / "state"))
        end(service.PostgreSqlApp(guest.layout))
        CONF.clear_override("guest_state_dir")
    shutil.rmtree(guest.root)


@pytest.fixture
def running(conf, direct, reports, shared_guest):
    """(manager, guest) whose server runs for all tests of a module, which leave nothing in it."""
    options(conf, shared_guest)
    manager = shared_guest.manager()
    prepare(manager, shared_guest)
    return manager, shared_guest
