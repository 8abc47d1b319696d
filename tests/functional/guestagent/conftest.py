"""A real MariaDB or MySQL of the test's own, driven by the agent's code in directories of its own."""
import shutil

import pytest

from tests import engines, guests
from tests.guests import container, kill, options, running_cloud
from tests.unit.guestagent.conftest import Reports
from trove.common import template
from trove.conductor import api as conductor_api
from trove.guestagent.common import host_service

__all__ = ["container", "end", "options", "running_cloud"]
end = kill


@pytest.fixture(scope="session", params=["mariadb", "mysql"])
def tested(request):
    """An Engine whose server's programs are found while tests run with it."""
    found = engines.find(request.param)
    with engines.running(found):
        yield found


@pytest.fixture(scope="session")
def engine(tested):
    """The name of the datastore that is tested."""
    return tested.datastore


class Guest(guests.Guest):
    """The directories of one guest whose server listens on its socket only."""

    def config_contents(self, ram=256):
        """The packaged template with this guest's paths and without a port. ram: MB of its flavor."""
        text = template.render(self.engine, self.engine, self.tested.version.name, {"ram": ram}, "i-1")
        return self.tested.places(self, text).replace(
            "bind_address = 0.0.0.0", "skip_networking\ninnodb_flush_method = nosync")


def make_guest(tested):
    """A Guest below a directory that the database's user may enter."""
    return guests.make(tested, kind=Guest)


@pytest.fixture(scope="session")
def packaged_data(tested):
    """The template of a data directory."""
    with guests.packaged(tested) as template:
        yield template


@pytest.fixture
def direct(conf, monkeypatch):
    """The agent drives servers itself, whatever is pid 1 here, and sees soon that they run."""
    conf.set_override("state_change_poll_time", 0.1)
    monkeypatch.setattr(host_service, "runs_systemd", lambda: False)


@pytest.fixture
def guest(conf, direct, tested):
    """A guest in which nothing was prepared."""
    guest = make_guest(tested)
    options(conf, guest)
    yield guest
    shutil.rmtree(guest.root)


@pytest.fixture
def reports(monkeypatch):
    """What the agent reports."""
    reports = Reports()
    monkeypatch.setattr(conductor_api, "API", lambda context: reports)
    return reports
