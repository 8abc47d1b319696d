"""Resizing against minicloud beyond what the crash points show: each way a volume can grow, and what is left after
each kind of failure.
"""
import dataclasses

import pytest
from minicloud.host.client import HostError

from tests.fakes.agent import GUESTS
from tests.functional.taskmanager.conftest import ONE
from trove.common import exception, remote
from trove.common.instance import ServiceStatuses
from trove.instance import actions, models
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.taskmanager import work
from trove.taskmanager.flows import FLOWS
from trove.taskmanager.steps import flavor


def commands():
    """What the guest was told, in order, beside being asked whether it is there."""
    return [method for _, method, _ in GUESTS.commands if method not in ("prepare", "rpc_ping")]


def refuse(method, error=None):
    """Let guests fail a command."""
    def answer(_instance_id, called):
        if called == method:
            raise error or exception.GuestError(original="the test does not want it.")
    GUESTS.answer = answer


def as_before(world, instance_id):
    """Whether an instance is what it was: row, server, database."""
    instance = world.instance(instance_id)
    assert (instance.task, instance.flavor_id, instance.volume_size) == (InstanceTasks.NONE, "1", 1)
    assert world.server(instance_id).status == "ACTIVE"
    assert world.server(instance_id).flavor["id"] == "1"
    assert world.volume(instance_id).status == "in-use"
    assert world.service_status(instance_id) is ServiceStatuses.RUNNING
    assert world.counts() == ONE
    return True


def test_a_flavor_stops_resizes_and_starts(world):
    instance_id = world.built()
    before = world.instance(instance_id)
    operation_id = world.resize_flavor(instance_id, "3")
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.DONE
    instance = world.instance(instance_id)
    assert (instance.flavor_id, instance.task) == ("3", InstanceTasks.NONE)
    assert instance.address_list == before.address_list
    guest = world.cloud.server.host.guest(instance.compute_instance_id)
    assert (guest["memory_mb"], guest["vcpus"]) == (2048, 2)
    assert commands() == ["stop_db", "start_db_with_conf_changes"]
    assert GUESTS.called("stop_db") == [{"do_not_start_on_reboot": True}]


def test_a_volume_grows_under_the_running_database(world):
    instance_id = world.built()
    operation_id = world.resize_volume(instance_id, 3)
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.DONE
    assert commands() == ["resize_fs"]
    assert (world.volume(instance_id).size, world.volume(instance_id).status) == (3, "in-use")
    assert world.instance(instance_id).volume_size == GUESTS.filesystems[instance_id] == 3
    world.check_quota()


def test_a_restart_that_is_due_stays_due_when_nothing_was_restarted(world):
    instance_id = world.built()
    world.attach(instance_id, {"max_connections": 100}, restart_required=["max_connections"])
    world.run(world.configure(instance_id))
    world.run(world.resize_volume(instance_id, 2))
    assert world.instance(instance_id).task is InstanceTasks.RESTART_REQUIRED
    GUESTS.grows_mounted = False
    world.run(world.resize_volume(instance_id, 3))
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert GUESTS.overrides[instance_id] == {"max_connections": 100}


def test_a_kernel_that_grows_nothing_mounted_costs_a_stop_and_no_detaching(world):
    GUESTS.grows_mounted = False
    instance_id = world.built()
    attached = world.volume(instance_id).attachments[0]["attachment_id"]
    world.run(world.resize_volume(instance_id, 3))
    assert commands() == ["resize_fs", "stop_db", "unmount_volume", "resize_fs", "mount_volume", "restart"]
    assert world.volume(instance_id).attachments[0]["attachment_id"] == attached
    assert world.instance(instance_id).volume_size == 3


@pytest.mark.parametrize("refusing", ["option", "cinder"])
def test_a_cloud_that_extends_nothing_attached_gets_it_detached(world, conf, monkeypatch, refusing):
    if refusing == "option":
        conf.set_override("volume_resize_attached", False)
    else:
        monkeypatch.setattr("trove.taskmanager.steps.volume._EXTEND_ATTACHED", "3.99")  # 406
    instance_id = world.built()
    attached = world.volume(instance_id).attachments[0]["attachment_id"]
    world.run(world.resize_volume(instance_id, 3))
    assert commands() == ["stop_db", "unmount_volume", "resize_fs", "mount_volume", "restart"]
    assert world.volume(instance_id).attachments[0]["attachment_id"] != attached
    assert world.volume(instance_id).attachments[0]["device"] == "/dev/vdb"
    assert world.instance(instance_id).volume_size == 3


def host_fails(world, verb):
    """Let the host fail a verb."""
    def on_call(called, _arguments):
        if called == verb:
            raise HostError("failed", "the test does not want it")
    world.cloud.server.host.on_call = on_call


@pytest.fixture(autouse=True)
def obedient_host(world):
    yield
    world.cloud.server.host.on_call = None


@pytest.mark.parametrize("attached", [True, False])
def test_a_volume_that_cinder_cannot_extend_stays_in_use(world, conf, attached):
    conf.set_override("volume_resize_attached", attached)
    instance_id = world.built()
    host_fails(world, "grow_volume")
    operation_id = world.resize_volume(instance_id, 3)
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.FAILED
    assert "error_extending" in world.fault(instance_id).message
    assert world.volume(instance_id).size == 1
    if attached:
        # The database was not touched; Cinder lets an administrator put its word right.
        assert commands() == []
        remote.cinder_client().volumes.reset_state(world.volume(instance_id).id, "in-use")
    assert as_before(world, instance_id)
    world.check_quota()


def test_after_a_failure_the_larger_volume_waits_for_the_next_attempt(world):
    instance_id = world.built()
    GUESTS.grows_mounted = False
    refuse("unmount_volume")
    world.run(world.resize_volume(instance_id, 3))
    assert as_before(world, instance_id)
    assert world.volume(instance_id).size == 3
    GUESTS.reset()
    world.run(world.resize_volume(instance_id, 3))
    assert commands() == ["resize_fs"]
    assert world.instance(instance_id).volume_size == 3
    assert world.fault(instance_id) is None


def sizes(world, *ids):
    """GB of instances as their rows, their volumes and their file systems (None for never grown) have them."""
    return [(world.instance(each).volume_size, world.volume(each).size, GUESTS.filesystems.get(each)) for each in ids]


def test_a_volume_grows_with_those_of_all_smaller_replicas(world):
    source_id, [first, second] = world.replicated()
    world.run(world.resize_volume(second, 4))
    GUESTS.commands.clear()
    operation_id = world.resize_volume(source_id, 3)
    assert {world.instance(each).task for each in (source_id, first)} == {InstanceTasks.RESIZING}
    assert world.instance(second).task is InstanceTasks.NONE
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.DONE
    assert sizes(world, source_id, first, second) == [(3, 3, 3), (3, 3, 3), (4, 4, 4)]
    assert [instance_id for instance_id, method, _ in GUESTS.commands if method == "resize_fs"] == [first, source_id]
    assert commands() == ["resize_fs", "resize_fs"]  # no database was stopped
    world.check_quota()


def test_replicas_that_are_smaller_grow_to_the_size_of_their_source(world):
    source_id, [replica_id] = world.replicated(1)
    with world.db.writer() as session:
        models.DBInstance.get(session, source_id).volume_size = 2
    GUESTS.commands.clear()
    GUESTS.grows_mounted = False
    world.run(world.resize_volume(source_id, 2))
    assert world.instance(replica_id).volume_size == 2
    assert {instance_id for instance_id, _, _ in GUESTS.commands} == {replica_id}


def test_one_replica_that_fails_leaves_all_as_they_were(world):
    source_id, replica_ids = world.replicated()
    GUESTS.grows_mounted = False
    failing = replica_ids[1]

    def answer(instance_id, method):
        if (instance_id, method) == (failing, "unmount_volume"):
            raise exception.GuestError(original="the test does not want it.")
    GUESTS.answer = answer
    world.run(world.resize_volume(source_id, 3))
    assert f"Replica {failing}: The guest could not do it: the test does not want it." == world.fault(source_id).message
    assert world.volume(source_id).size == 1
    for each in (source_id, *replica_ids):
        assert (world.instance(each).task, world.instance(each).volume_size) == (InstanceTasks.NONE, 1)
        assert world.service_status(each) is ServiceStatuses.RUNNING
        assert world.volume(each).status == "in-use"
    world.check_quota()
    # What was extended is used by the next attempt.
    GUESTS.answer = lambda *_: None
    GUESTS.grows_mounted = True
    world.run(world.resize_volume(source_id, 3))
    assert sizes(world, source_id, *replica_ids) == [(3, 3, 3)] * 3
    assert world.fault(source_id) is None


def test_a_source_that_fails_restarts_no_replica_again(world):
    source_id, [replica_id] = world.replicated(1)
    GUESTS.grows_mounted = False

    def answer(instance_id, method):
        if (instance_id, method) == (source_id, "unmount_volume"):
            raise exception.GuestError(original="the test does not want it.")
    GUESTS.answer = answer
    world.run(world.resize_volume(source_id, 3))
    assert [each for each, method, _ in GUESTS.commands if method == "restart"] == [replica_id, source_id]
    assert [world.instance(each).volume_size for each in (source_id, replica_id)] == [1, 1]
    world.check_quota()


def test_after_an_ejection_smaller_replicas_say_how_they_grow(world):
    source_id, [best, other] = world.replicated()
    world.run(world.resize_volume(best, 2))
    GUESTS.servers[best].txn += 5
    world.run(world.eject(source_id))
    assert f"that of its new source {best} 2 GB. Resize" in world.fault(other).message
    world.run(world.resize_volume(best, 2))
    assert (world.instance(other).volume_size, world.fault(other)) == (2, None)


@pytest.mark.parametrize("whose", ["replica", "source"])
def test_a_reset_frees_all_who_take_part(world, whose):
    source_id, [replica_id] = world.replicated(1)
    operation_id = world.resize_volume(source_id, 3)
    actions.reset_status(world.context, {"replica": replica_id, "source": source_id}[whose])
    world.run(operation_id)
    # A source is not given up with its replica.
    assert world.operation(operation_id).state == {"replica": operations.DONE, "source": operations.FAILED}[whose]
    assert [world.instance(each).task for each in (source_id, replica_id)] == [InstanceTasks.NONE] * 2
    world.check_quota()


def test_a_replica_that_was_reset_may_do_something_else(world):
    source_id, [replica_id] = world.replicated(1)
    operation_id = world.resize_volume(source_id, 3)
    actions.reset_status(world.context, replica_id)
    with world.db.writer() as session:
        models.set_service_status(session, replica_id, ServiceStatuses.RUNNING)
    world.report(replica_id)
    other_id = world.resize_flavor(replica_id, "2")
    world.run(operation_id)
    assert world.instance(replica_id).task == InstanceTasks.RESIZING
    assert world.instance(source_id).volume_size == 3 > world.instance(replica_id).volume_size
    world.run(other_id)
    assert world.operation(other_id).state == operations.DONE
    world.check_quota()


def test_a_replica_is_not_stopped_in_the_resize_of_its_source(world):
    source_id, [replica_id] = world.replicated(1)
    operation_id = world.resize_volume(source_id, 3)
    with pytest.raises(exception.UnprocessableEntity, match="resized with its source"):
        actions.stop(world.context, replica_id)
    world.run(operation_id)
    assert sizes(world, source_id, replica_id) == [(3, 3, 3)] * 2


def test_a_replica_that_is_deleted_meanwhile_is_left_out(world):
    source_id, [first, second] = world.replicated()
    operation_id = world.resize_volume(source_id, 3)
    world.run(world.delete(first))
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.DONE
    assert sizes(world, source_id, second) == [(3, 3, 3)] * 2
    world.check_quota()


def test_a_guest_that_needs_longer_than_one_answer_is_asked_again(world):
    instance_id = world.built()
    late = []

    def answer(_instance_id, method):
        if method == "resize_fs" and len(late) < 2:
            late.append(method)
            raise exception.GuestTimeout
    GUESTS.answer = answer
    operation_id = world.resize_volume(instance_id, 2)
    world.run(operation_id)
    assert len(late) == 2
    assert world.operation(operation_id).state == operations.DONE


@pytest.mark.parametrize("method", ["stop_db", "start_db_with_conf_changes"])
def test_a_guest_that_fails_a_command_once_keeps_its_flavor(world, method):
    instance_id = world.built()
    failures = []

    def answer(_instance_id, called):
        if called == method and not failures:
            failures.append(called)
            raise exception.GuestError(original="the test does not want it.")
    GUESTS.answer = answer
    operation_id = world.resize_flavor(instance_id, "2")
    world.run(operation_id)
    assert world.operation(operation_id).state == operations.FAILED
    assert "the test does not want it" in world.fault(instance_id).message
    assert as_before(world, instance_id)
    assert GUESTS.contents[instance_id] == "buffer_pool = 512\n"


def test_a_guest_that_is_not_heard_of_after_the_resize_gets_its_old_flavor(world, conf, monkeypatch):
    instance_id = world.built()
    now, passed = work.Work.now, []
    monkeypatch.setattr(work.Work, "now", lambda self: now(self) + sum(passed))

    def answer(_instance_id, method):
        if method == "rpc_ping" and not passed:
            passed.append(conf.resize_time_out + 1)
            raise exception.GuestTimeout
    GUESTS.answer = answer
    world.run(world.resize_flavor(instance_id, "2"))
    assert world.fault(instance_id).details == "agent"
    assert as_before(world, instance_id)


def test_a_resize_that_nova_refuses(world):
    instance_id = world.built()
    nova = remote.nova_client()
    nova.quotas.update(remote.service_session().get_project_id(), ram=512)
    operation_id = world.resize_flavor(instance_id, "4")
    world.run(operation_id)
    nova.quotas.update(remote.service_session().get_project_id(), ram=-1)
    assert world.operation(operation_id).error_step == "resize"
    assert "The cloud refused it" in world.fault(instance_id).message
    assert as_before(world, instance_id)


def test_a_resize_that_nova_takes_back(world, monkeypatch):
    instance_id = world.built()
    monkeypatch.setattr("novaclient.v2.servers.ServerManager.resize", lambda *_args, **_kwargs: None)
    world.run(world.resize_flavor(instance_id, "4"))
    assert "did not get the flavor 'm1.large'" in world.fault(instance_id).message
    assert as_before(world, instance_id)


def test_what_cannot_be_taken_back_is_told(world):
    instance_id = world.built()
    host_fails(world, "resize_guest")  # minicloud's server is then in ERROR, as Nova's can be
    operation_id = world.resize_flavor(instance_id, "2")
    world.run(operation_id)
    world.cloud.server.host.on_call = None
    fault = world.fault(instance_id)
    assert "Not all of it could be taken back: step resize" in fault.message
    assert "failed: the test does not want it" in fault.message
    assert world.instance(instance_id).task is InstanceTasks.NONE
    assert world.instance(instance_id).flavor_id == "1"


def altered(name, do):
    """The flows with another function in one step of resize_flavor."""
    original = FLOWS["instance.resize_flavor"]
    steps = tuple(dataclasses.replace(step, do=do) if step.name == name else step for step in original.steps)
    return {**FLOWS, original.kind: dataclasses.replace(original, steps=steps)}


def test_a_resize_that_was_confirmed_is_taken_back_by_another(world):
    instance_id = world.built()
    operation_id = world.resize_flavor(instance_id, "2")

    def confirm_then_fail(work):
        outcome = flavor.confirm(work)
        if outcome is None:
            raise exception.CloudError(reason="of the test")
        return outcome
    world.run(operation_id, all_flows=altered("confirm", confirm_then_fail))
    assert world.operation(operation_id).error_step == "confirm"
    assert as_before(world, instance_id)


def test_deleted_while_it_is_resized(world):
    instance_id = world.built()
    operation_id = world.resize_flavor(instance_id, "2")
    deletions = []
    world.run(operation_id, all_flows=altered("agent", lambda work: deletions.append(world.delete(instance_id))))
    assert world.operation(operation_id).state == operations.FAILED
    world.run(deletions[0])
    assert world.instance(instance_id).deleted
    assert not any(world.counts().values())
