"""The system on which the scenarios run: one per session, made and removed by tools/quickstart itself."""
import os

import pytest
from onebox import cloud, venv
from onebox.settings import CHECKOUT, locate

from tests.scenarios import support

OPENSTACK = ("python-openstackclient==10.5.0", "python-troveclient==8.11.0")
LEGACY = ("python-troveclient==2.1.2", "python-keystoneclient==2.3.2", "setuptools<60")


def pytest_collection_modifyitems(items):
    """Every test here needs root and real guests."""
    for item in items:
        if "tests/scenarios" in str(item.path):
            item.add_marker(pytest.mark.scenario)


@pytest.fixture(scope="session")
def system():
    """The running system with its instance m1; one for each process of pytest, so that they share the work."""
    state = os.environ.get("TROVE_STATE") or CHECKOUT / ".run-test"
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        state = f"{state}-{worker}"
    support.quickstart("--down", state=state)
    try:
        yield support.System(support.quickstart(state=state))
    finally:
        support.quickstart("--down", state=state)


@pytest.fixture(scope="session")
def mysql_version(system):
    """MySQL is offered beside MariaDB from now on; its version, as its row in the catalog has it."""
    support.quickstart("--datastore", "mysql", state=system.facts["state"])
    [version] = system.api.get("/datastores/mysql/versions").json()["versions"]
    return version["name"]


@pytest.fixture(scope="session")
def tenant_environment(system):
    """The OS_* variables of the tenant, as in its openrc."""
    return cloud.tenant_environment(system.settings)


@pytest.fixture(scope="session")
def openstack(tenant_environment):
    """``openstack`` with the plug-in of the newest python-troveclient."""
    environment = venv.client(locate()[1], "client-openstack", OPENSTACK)
    return support.Client(environment / "bin/openstack", tenant_environment)


@pytest.fixture(scope="session")
def trove(tenant_environment):
    """The ``trove`` command of python-troveclient 2.1.2."""
    environment = venv.client(locate()[1], "client-trove", LEGACY)
    return support.Client(environment / "bin/trove", tenant_environment)


@pytest.fixture
def leaves_nothing(system):
    """Fails a test after which cloud and broker hold more than before."""
    before = system.inventory()
    yield
    system.assert_nothing_more_than(before)
