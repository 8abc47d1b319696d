"""Backups, restores and logs of real guests in the real Swift of PyPI, each of whose servers goes away in the middle.

It takes the place of minicloud's object store in the catalog of the running system, and gives it back.
"""
import contextlib
import threading

import pytest
from keystoneclient.v3.client import Client as Keystone
from onebox import cloud, processes, services
from onebox.command import run
from onebox.settings import secret

from tests.real_swift import STORES, RealSwift
from tests.scenarios.support import CommandFailed, wait_until

pytestmark = pytest.mark.long
AWAY = 8  # seconds
ENDED = ("COMPLETED", "FAILED")


@pytest.fixture(scope="module")
def swift(system):
    """Swift in the network of the guests' cloud, known to the catalog and to the control plane."""
    settings = system.settings
    inside = ("nsenter", f"--net=/run/netns/{settings.netns}", "--")
    made = RealSwift(cloud.admin_environment(settings)["OS_AUTH_URL"], cloud.SERVICE_USER, secret(settings, "service"),
                     cloud.SERVICE_PROJECT, settings.gateway, prefix=inside)
    keystone = Keystone(session=cloud.session(cloud.admin_environment(settings)), interface="public",
                        region_name=cloud.REGION)
    store = keystone.services.list(type="object-store")[0]
    before = {endpoint.id: endpoint.url for endpoint in keystone.endpoints.list(service=store)}
    try:
        made.start()
        rule = ["nft", "insert", "rule", "inet", "minicloud", "input", "tcp", "dport", made.url.rpartition(":")[2],
                "accept"]
        run([*inside, *rule], timeout=60)
        for endpoint in before:
            keystone.endpoints.update(endpoint, url=f"{made.url}/v1/AUTH_$(project_id)s")
        restart(settings)
        yield made
    finally:
        for endpoint, url in before.items():
            keystone.endpoints.update(endpoint, url=url)
        made.stop()
        restart(settings)


def restart(settings):
    """Let the services read the catalog anew."""
    for name in services.NAMES:
        processes.stop(settings, name, timeout=30)
    services.ensure(settings)


@contextlib.contextmanager
def returning(swift, name):
    """Stop a server of Swift now, and start it again after some seconds while the block goes on."""
    swift.suspend(name)
    timer = threading.Timer(AWAY, swift.resume, (name,))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        swift.catch_up()  # as Swift's own updaters do by and by


def take(system, openstack, swift, name, away, *more):
    """Back m1 up while a server of Swift goes away as soon as the guest is at work; returns the backup's view."""
    made = openstack.json("database", "backup", "create", name, "--instance", "m1", *more)

    def shown():
        return system.api.get(f"/backups/{made['id']}").json()["backup"]
    wait_until(lambda: shown()["status"] != "NEW", pause=0.05)
    with returning(swift, away):
        pass
    view = wait_until(lambda: (view := shown())["status"] in ENDED and view, 600, 1)
    assert view["status"] == "COMPLETED", view
    return view


@pytest.fixture
def data(system):
    """48 MB of random bytes in m1, and a function that counts the rows of an instance."""
    facts = system.m1

    def ask(statement, host=facts["host"]):
        return system.sql(statement, host, facts["user"], facts["password"], facts["database"])
    ask("CREATE OR REPLACE TABLE bulk (n INT AUTO_INCREMENT PRIMARY KEY, b BLOB)")
    for _ in range(3):
        ask("INSERT INTO bulk (b) SELECT RANDOM_BYTES(1024) FROM seq_1_to_16384")
    yield ask
    ask("DROP TABLE bulk")


@pytest.mark.parametrize("away", [*STORES, "proxy"])
def test_a_life_of_backups(system, openstack, swift, data, leaves_nothing, away):
    before = swift.stored()
    full = take(system, openstack, swift, "full", away)
    data("INSERT INTO bulk (b) SELECT RANDOM_BYTES(1024) FROM seq_1_to_1000")
    increment = take(system, openstack, swift, "increment", away, "--parent", full["id"])
    assert increment["parent_id"] == full["id"]
    made = openstack.json("database", "instance", "create", "restored", "--flavor", system.smallest_flavor(),
                          "--size", "1", "--backup", increment["id"])
    try:
        system.wait_step(made["id"], "restore")
        with returning(swift, away):
            pass
        view = system.wait_ended(made["id"])
        assert view["status"] == "ACTIVE", view.get("fault")
        assert data("CHECKSUM TABLE bulk", view["ip"][0]) == data("CHECKSUM TABLE bulk")
    finally:
        system.delete(made["id"])
    openstack("database", "backup", "delete", full["id"])
    with returning(swift, away):
        pass
    wait_until(lambda: openstack.json("database", "backup", "list") == [], 600, 1)
    # The archive of logs that began with the backup is deleted by the clock; one of the case before may go meanwhile.
    wait_until(lambda: swift.stored() <= before, 600, 1)


@pytest.mark.parametrize("away", [*STORES, "proxy"])
def test_a_log_is_published_whole(system, openstack, swift, away, tmp_path):
    """While a server is away that may be refused with a sentence; then nothing of it is lost or there twice."""
    text, file = f"a statement while {away} was away", tmp_path / "general.log"
    openstack("database", "log", "set", "m1", "general", "--enable")
    try:
        system.sql(f"SELECT '{text}'", system.m1["host"], system.m1["user"], system.m1["password"])
        with returning(swift, away):
            try:
                openstack("database", "log", "set", "m1", "general", "--publish")
            except CommandFailed as error:
                assert "Traceback" not in str(error)
                assert "HTTP 50" in str(error) or "object store" in str(error).lower(), error
        openstack("database", "log", "set", "m1", "general", "--publish")
        openstack("database", "log", "save", "m1", "general", "--file", str(file))
        assert file.read_text().count(text) == 1
    finally:
        openstack("database", "log", "set", "m1", "general", "--disable", "--discard")
