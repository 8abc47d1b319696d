"""The flow that brings a configuration group to a guest (rpc 9.8-9.14, 9a), against a guest in memory."""
import pytest

from tests.fakes.agent import GUESTS
from trove.common import exception
from trove.common.instance import ServiceStatuses
from trove.db.models import utcnow
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations


def methods():
    return [method for _, method, _ in GUESTS.commands if method != "prepare"]


@pytest.fixture
def instance_id(world):
    found = world.built()
    GUESTS.commands.clear()
    return found


def task(world, instance_id):
    return world.instance(instance_id).task


def test_9_8_all_dynamic_values_act_at_once(world, instance_id):
    world.attach(instance_id, {"max_connections": 50})
    world.run(world.configure(instance_id))
    assert methods() == ["update_overrides", "apply_overrides"]
    assert GUESTS.overrides == GUESTS.variables == {instance_id: {"max_connections": 50}}
    assert task(world, instance_id) is InstanceTasks.NONE


def test_9_8_one_value_that_needs_a_restart_keeps_all_back(world, instance_id):
    world.attach(instance_id, {"max_connections": 50, "port": 1}, restart_required=["port"])
    world.run(world.configure(instance_id))
    assert methods() == ["update_overrides"]
    assert task(world, instance_id) is InstanceTasks.RESTART_REQUIRED


def test_9a_what_is_gone_goes_back_to_the_template_or_to_the_servers_default(world, instance_id, conf, tmp_path):
    (tmp_path / "mysql" / "config.template").write_text("[mysqld]\nmax-connections = {{ flavor.ram }}\n")
    world.attach(instance_id, {})
    world.run(world.configure(instance_id, ["max_connections", "wait_timeout"]))
    assert GUESTS.commands == [
        (instance_id, "update_overrides", {"overrides": {}, "remove": True}),
        (instance_id, "apply_overrides", {"overrides": {"max_connections": "512", "wait_timeout": None}})]
    assert task(world, instance_id) is InstanceTasks.NONE


def test_9a_losing_a_value_that_needs_a_restart_needs_one(world, instance_id):
    world.attach(instance_id, {"max_connections": 50, "port": 1}, restart_required=["port"])
    world.attach(instance_id, {"max_connections": 50})
    world.run(world.configure(instance_id, ["port"]))
    assert methods() == ["update_overrides"]
    assert task(world, instance_id) is InstanceTasks.RESTART_REQUIRED


def test_9_14_a_value_that_the_server_does_not_take_is_no_success(world, instance_id):
    GUESTS.refused = ("max_connections",)
    world.attach(instance_id, {"max_connections": 50, "wait_timeout": 5})
    world.run(world.configure(instance_id))
    assert task(world, instance_id) is InstanceTasks.RESTART_REQUIRED
    assert "max_connections (no such value)" in world.fault(instance_id).message


def test_9_13_a_restart_writes_the_values_and_clears_the_task(world, instance_id):
    world.attach(instance_id, {"port": 1}, restart_required=["port"])
    world.run(world.configure(instance_id))
    world.run(world.restart(instance_id))
    assert methods() == ["update_overrides", "update_overrides", "restart"]
    assert task(world, instance_id) is InstanceTasks.NONE


def test_a_restart_without_a_group_writes_nothing(world, instance_id):
    world.run(world.restart(instance_id))
    assert methods() == ["restart"]


def test_a_restart_replaces_what_is_under_way(world, instance_id):
    world.attach(instance_id, {"port": 1}, restart_required=["port"])
    waiting = world.configure(instance_id)
    restart = world.restart(instance_id)
    for _ in range(3):
        world.end_lease(restart)
        with world.db.writer() as session:
            operations.claim(session, restart, "runner", 60)
        assert world.advance(restart)
    assert methods() == []  # the other one may just be at the guest
    world.run(waiting)
    assert world.operation(waiting).state == operations.FAILED
    world.run(restart)
    assert methods() == ["update_overrides", "restart"]
    assert task(world, instance_id) is InstanceTasks.NONE


def test_a_later_change_does_what_the_earlier_one_was_to_do(world, instance_id):
    world.attach(instance_id, {"max_connections": 50})
    first = world.configure(instance_id, ["wait_timeout"])
    second = world.configure(instance_id, [])
    world.run(first)
    world.run(second)
    assert methods() == ["update_overrides", "apply_overrides"]
    assert GUESTS.variables[instance_id] == {"max_connections": 50, "wait_timeout": None}


def test_it_waits_while_the_instance_is_busy(world, instance_id):
    with world.db.writer() as session:
        models.DBInstance.get(session, instance_id).task = InstanceTasks.RESIZING
    world.attach(instance_id, {"max_connections": 50})
    operation = world.configure(instance_id)
    with world.db.writer() as session:
        operations.claim(session, operation, "runner", 60)
    assert world.advance(operation)
    assert methods() == []
    with world.db.writer() as session:
        models.DBInstance.get(session, instance_id).task = InstanceTasks.NONE
    world.run(operation)
    assert methods() == ["update_overrides", "apply_overrides"]


def test_a_guest_that_stays_silent_leaves_a_restart_to_be_done(world, instance_id, conf):
    conf.set_override("configuration_time_out", 0)
    with world.db.writer() as session:
        models.service_status(session, instance_id).updated_at = utcnow().replace(year=2000)
    world.attach(instance_id, {"max_connections": 50})
    world.run(world.configure(instance_id))
    assert methods() == []
    assert task(world, instance_id) is InstanceTasks.RESTART_REQUIRED
    assert "configuration_time_out" in world.fault(instance_id).message


@pytest.mark.parametrize("method", ["update_overrides", "apply_overrides"])
def test_a_guest_that_fails_leaves_a_restart_to_be_done(world, instance_id, method):
    def answer(_instance_id, called):
        if called == method:
            raise exception.GuestError(original="the disk is full")
    GUESTS.answer = answer
    world.attach(instance_id, {"max_connections": 50})
    world.run(world.configure(instance_id))
    assert task(world, instance_id) is InstanceTasks.RESTART_REQUIRED
    assert "disk is full" in world.fault(instance_id).message


def test_a_restart_that_fails_leaves_one_to_be_done(world, instance_id):
    def answer(_instance_id, called):
        if called == "restart":
            raise exception.GuestError(original="it does not start")
    GUESTS.answer = answer
    world.attach(instance_id, {"max_connections": 50})
    world.run(world.restart(instance_id))
    assert task(world, instance_id) is InstanceTasks.RESTART_REQUIRED


def test_an_instance_whose_build_failed_is_left_alone(world):
    GUESTS.builds = False
    instance_id, operation = world.create()
    world.run(operation)
    assert world.service_status(instance_id) is ServiceStatuses.FAILED
    fault = world.fault(instance_id).message
    world.attach(instance_id, {"max_connections": 50})
    operation = world.configure(instance_id)
    world.run(operation)
    assert world.operation(operation).state == operations.DONE
    assert methods() == []
    assert world.fault(instance_id).message == fault
