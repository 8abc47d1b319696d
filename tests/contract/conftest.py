"""The contract of a datastore: what the agent's classes promise, held to a real server of each engine.

The tests know no engine: they write and read with its probe and call the agent's commands. An engine takes part by its
module in ``tests/engines``. A test says in its docstring the verb that it shows; what a datastore does not have must be
refused, and its test ends with ``unsupported``. The table in doc/datastores-contract.rst is made of the results.
"""
import pytest

from tests import engines, guests
from tests.contract import table
from tests.guests import container, running_cloud
from tests.unit.guestagent.conftest import Reports
from trove.conductor import api as conductor_api
from trove.guestagent.common import host_service

__all__ = ["container", "running_cloud"]


def pytest_collection_modifyitems(items):
    """Each test here runs real servers, and tells the table what it shows."""
    for item in items:
        if item.path.parent.name == "contract" and "tested" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
            item.user_properties.append((table.PROPERTY, table.cell(item)))


@pytest.fixture(scope="session", params=engines.every(), ids=str)
def tested(request):
    """The Engine, whose programs are found while tests run with it."""
    with engines.running(request.param):
        yield request.param


@pytest.fixture(scope="session")
def packaged(tested):
    """A data directory as an image of the engine has it."""
    with guests.packaged(tested) as template:
        yield template


@pytest.fixture
def reports(conf, monkeypatch):
    """What the agents report, which drive their servers themselves and see soon that they run."""
    reports = Reports()
    conf.set_override("state_change_poll_time", 0.1)
    monkeypatch.setattr(host_service, "runs_systemd", lambda: False)
    monkeypatch.setattr(conductor_api, "API", lambda context: reports)
    return reports


@pytest.fixture
def machines(conf, reports, tested, packaged):
    """Makes guests that have the image's data; all servers are killed and all files removed at the end."""
    made = []

    def make(name="a"):
        guest = guests.make(tested, name)
        guest.layout.template.symlink_to(packaged)
        made.append(guests.Machine(conf, guest))
        return made[-1]
    yield make
    for machine in made:
        machine.end()


@pytest.fixture
def machine(machines):
    """One guest that was prepared."""
    made = machines()
    made.prepare()
    return made


@pytest.fixture
def bare(conf, reports, tested):
    """A guest whose image brings no data."""
    machine = guests.Machine(conf, guests.make(tested))
    yield machine
    machine.end()


@pytest.fixture
def backups(reports, container, tested):
    """Takes backups as the control plane lets them be taken."""
    return guests.Backups(reports)


@pytest.fixture
def unsupported(tested):
    """Ends the test of something that this datastore does not have, after its refusal was seen."""
    def end():
        pytest.skip(f"{table.NOT_SUPPORTED} by {tested}")
    return end
