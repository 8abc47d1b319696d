"""Backups taken, used and deleted by the task manager in the real Swift of PyPI, each of whose servers goes away."""
import threading

import pytest

from tests.fakes import cloud as fake_cloud
from tests.fakes.agent import GUESTS
from tests.functional.taskmanager.test_backup_objects import found, newest
from tests.real_swift import STORES, RealSwift
from tests.waiting import wait_until
from trove.common import object_store
from trove.operation import models as operations
from trove.taskmanager.steps import backup as steps

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(running_cloud):
    swift = RealSwift(running_cloud.auth_url, fake_cloud.SERVICE_USER, fake_cloud.SERVICE_PASSWORD, "service")
    try:
        yield swift.start()
    finally:
        swift.stop()


@pytest.fixture
def swift(world, conf, running):
    conf.set_override("swift_url", f"{running.url}/v1/AUTH_")
    conf.set_override("cloud_request_retries", 0)
    conf.set_override("operation_retry_interval", 0.2)
    object_store.forget_limits()
    yield running
    object_store.forget_limits()


def run(world, operation_id):
    """Carry on an operation to its end."""
    world.end_lease(operation_id)
    with world.db.writer() as session:
        operations.claim(session, operation_id, "runner", 300)
    wait_until(lambda: world.advance(operation_id) is None, 120, pause=0)


@pytest.mark.parametrize("away", [*STORES, "proxy"])
def test_a_life_of_backups(world, swift, away):
    """Full, increment, restore, delete, and one that fails; the server goes away within each of the first and last."""
    before, threads = swift.stored(), []

    def go(_=None):
        swift.suspend(away)
        threads.append(threading.Timer(3, swift.resume, (away,)))
        threads[-1].start()

    def back():
        threads.pop().join()
        swift.catch_up()  # as Swift's own updaters do by and by
    instance_id = world.built()
    GUESTS.uploaded = go
    full, operation_id = world.backup(instance_id)
    run(world, operation_id)
    back()
    row = found(world, full, "COMPLETED")
    GUESTS.reset()
    increment, operation_id = world.backup(instance_id, parent_id=full)
    run(world, operation_id)
    rows = [row, found(world, increment, "COMPLETED")]
    assert [link["id"] for link in steps.restore_info(rows)["chain"]] == [full, increment]

    operation_id = world.delete_backup(full)
    go()
    run(world, operation_id)
    back()
    assert newest(world, full).state == operations.DONE
    assert swift.stored() == before

    def fail(info):
        go()
        GUESTS.lies = {"state": "FAILED"}
    GUESTS.uploaded = fail
    failed, operation_id = world.backup(instance_id)
    run(world, operation_id)
    back()
    found(world, failed, "FAILED")
    assert swift.stored() == before
