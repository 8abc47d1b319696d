"""A real MariaDB of the test's own, driven by the agent's code in directories of its own."""
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.unit.guestagent.conftest import Reports
from trove.common import template
from trove.common.cfg import CONF
from trove.conductor import api as conductor_api
from trove.guestagent.common import host_service
from trove.guestagent.datastore.mysql_common.service import Layout


class Guest:
    """The directories of one guest, and what the control plane would send to it."""

    def __init__(self, root):
        self.root = root
        self.layout = Layout(
            mount_point=root / "mysql", config_file=root / "etc/my.cnf", overrides=root / "etc/conf.d",
            run_dir=root / "run", template=root / "template", log_file=root / "error.log")
        self.layout.config_file.parent.mkdir()
        self.layout.overrides.mkdir()

    def config_contents(self, manager="mariadb"):
        """The packaged template with this guest's paths and without a port."""
        text = template.render(manager, manager, "10.11", {"ram": 256}, "i-1")
        for path, here in (("/run/mysqld", self.layout.run_dir), ("/var/lib/mysql/data", self.layout.data),
                           ("/etc/mysql/conf.d", self.layout.overrides)):
            text = text.replace(path, str(here))
        return text.replace("bind_address = 0.0.0.0", "skip_networking")


def make_guest():
    """A Guest below a directory that the database's user may enter."""
    root = Path(tempfile.mkdtemp(prefix="guest-test-"))
    root.chmod(0o755)
    return Guest(root)


def options(conf, guest):
    """The options of an agent in ``guest``."""
    conf.set_override("guest_id", "i-1")
    conf.set_override("guest_key", "the key of this guest only")
    conf.set_override("guest_state_dir", str(guest.root / "state"))
    conf.set_override("state_change_wait_time", 60)


def end(app):
    """Stop the server of a test, however it is."""
    if app.service.is_running():
        app.stop()


def datadir_template(directory):
    """A data directory as images carry it, made once per run of the tests."""
    guest = make_guest()
    try:
        from trove.guestagent.datastore.mysql_common.service import MySqlApp
        CONF.set_override("guest_state_dir", str(guest.root / "state"))
        app = MySqlApp(guest.layout)
        app.write_configuration(guest.config_contents(), {})
        app.prepare_data()
        shutil.copytree(guest.layout.data, directory)
        directory.chmod(0o755)
    finally:
        CONF.clear_override("guest_state_dir")
        shutil.rmtree(guest.root)


@pytest.fixture(scope="session")
def packaged_data():
    """The template of a data directory."""
    parent = Path(tempfile.mkdtemp(prefix="guest-test-template-"))
    datadir_template(parent / "template")
    yield parent / "template"
    shutil.rmtree(parent)


@pytest.fixture
def direct(monkeypatch):
    """The agent drives servers itself, whatever is pid 1 here."""
    monkeypatch.setattr(host_service, "runs_systemd", lambda: False)


@pytest.fixture
def guest(conf, direct):
    """A guest in which nothing was prepared."""
    guest = make_guest()
    options(conf, guest)
    yield guest
    shutil.rmtree(guest.root)


@pytest.fixture
def reports(monkeypatch):
    """What the agent reports."""
    reports = Reports()
    monkeypatch.setattr(conductor_api, "API", lambda context: reports)
    return reports
