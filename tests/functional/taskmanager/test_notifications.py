"""What is notified of every flow, whatever becomes of it; by the clock; and off a real broker."""
import datetime
import json

import pytest
import requests
import sqlalchemy

from tests import rabbitmq
from tests.fakes.agent import GUESTS
from tests.functional.taskmanager.conftest import use_broker
from tests.functional.taskmanager.test_crash_points import (
    SCENARIOS,
    UNDO_SCENARIOS,
    Killed,
    deadly,
    killing_after_commits,
)
from trove import rpc
from trove.common import remote
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks
from trove.notification import bus, events, models, sender, usage
from trove.quota import quota
from trove.taskmanager import audit, flow
from trove.taskmanager.flows import FLOWS


@pytest.fixture
def told(world, conf):
    """A function that gives [(event type, payload)] of what was written since it was last called."""
    conf.set_override("driver", ["noop"], group="oslo_messaging_notifications")

    def take():
        with world.db.writer() as session:
            rows = session.execute(sqlalchemy.select(tables.notifications).order_by(tables.notifications.c.id)).all()
            models.remove(session, [row.id for row in rows])
        return [(row.event_type, json.loads(row.payload)) for row in rows]
    return take


def expected(operation, *phases):
    name = events.of_operation(operation)[0]
    billed = [f"trove.instance.{usage.EVENTS[operation.kind]}"] if (
        operation.kind in usage.EVENTS and "end" in phases) else []
    return [*(f"dbaas.{name}.{phase}" for phase in phases), *billed]


def of(operation, found):
    """The names of those that are of an operation; a flow may begin and end others."""
    names = {*expected(operation, "start", "end", "error")}
    return [event_type for event_type, _ in found if event_type in names]


@pytest.mark.parametrize("kind", sorted(set(FLOWS) - events.INTERNAL))
def test_every_flow_tells_its_start_and_its_end(world, told, kind):
    instance_id, operation_id = SCENARIOS[kind].begin(world)
    before = told()
    world.run(operation_id)
    operation, found = world.operation(operation_id), told()
    assert of(operation, before)[-1:] == expected(operation, "start")
    assert of(operation, found) == expected(operation, "end")
    (end,) = [payload for event_type, payload in found if event_type == expected(operation, "end")[0]]
    assert (end["request_id"], end["server_type"]) == (operation.request["request_id"], "taskmanager")
    if operation.kind.startswith("instance."):
        assert end["instance_id"] == instance_id


@pytest.mark.parametrize("kind", sorted(set(UNDO_SCENARIOS) - events.INTERNAL))
def test_a_failure_is_told_once_with_its_cause(world, told, kind):
    _, operation_id = UNDO_SCENARIOS[kind].begin(world)
    told()
    world.run(operation_id)
    operation = world.operation(operation_id)
    (event_type, payload), = told()
    assert [event_type] == expected(operation, "error")
    assert payload["message"] == operation.error
    assert payload["exception"]


@pytest.mark.parametrize("point", ["before its effect", "after its effect", "after its commit"])
def test_a_process_that_dies_at_the_end_tells_neither_too_little_nor_twice(world, told, monkeypatch, point):
    instance_id, operation_id = world.create()
    last = FLOWS["instance.create"].steps[-1].name
    all_flows, _ = deadly("instance.create", last, "do", point)
    with killing_after_commits(monkeypatch), pytest.raises(Killed):
        world.run(operation_id, "victim", all_flows)
    world.run(operation_id, "heir")
    assert [event_type for event_type, _ in told()] == expected(world.operation(operation_id), "start", "end")


def test_a_creation_that_is_deleted_ends_in_an_error(world, told):
    instance_id, operation_id = world.create()
    deletion = world.delete(instance_id)
    world.run(operation_id)
    world.run(deletion)
    names = [event_type for event_type, _ in told()]
    assert names == ["dbaas.instance_create.start", "dbaas.instance_delete.start", "dbaas.instance_create.error",
                     "dbaas.instance_delete.end", "trove.instance.delete"]


def test_billing_is_told_what_there_is(world, told):
    instance_id = world.built()
    (_, created), = [entry for entry in told() if entry[0] == "trove.instance.create"]
    row = world.instance(instance_id)
    assert created == {
        "created_at": usage.zulu(row.created), "launched_at": usage.zulu(row.created), "name": "m1",
        "instance_name": "m1", "instance_id": instance_id, "nova_instance_id": row.compute_instance_id,
        "tenant_id": "tenant-1", "user_id": "user-1", "instance_type": "m1.tiny", "instance_type_id": "1",
        "instance_size": 512, "availability_zone": "nova", "region": "LOCAL_DEV", "state": "active",
        "state_description": "active", "service_id": "2f3ff068-2bfb-4f70-9a9d-a6bb65bc084b", "volume_size": 1,
        "nova_volume_id": row.volume_id}
    world.run(world.delete(instance_id))
    (_, deleted), = [entry for entry in told() if entry[0] == "trove.instance.delete"]
    assert deleted.pop("deleted_at").endswith("Z")
    assert deleted == {**created, "state": "shutdown", "state_description": "shutdown"}


def test_a_nova_that_does_not_answer_does_not_hold_up_an_operation(world, told, monkeypatch):
    def away():
        raise OSError("no route to Nova")
    instance_id, operation_id = world.create()
    told()
    with monkeypatch.context() as patch:
        patch.setattr(flow.usage.remote, "nova_client", away)
        patch.setattr(flow.usage.flavor_models, "get_flavor", lambda _flavor_id: away())
        work = flow.Work(world.operation(operation_id), "me", 0)
        [(event_type, payload)] = flow.usage.results(work)
    assert event_type == "trove.instance.create"
    assert (payload["availability_zone"], payload["instance_type"], payload["instance_id"]) == (None, None, instance_id)


TRANSFORMERS = "trove.extensions.mgmt.instances.models."


def test_which_instances_exist_is_told_once_per_period(world, told, conf):
    conf.set_override("exists_notification_transformer", f"{TRANSFORMERS}NovaNotificationTransformer")
    built, _ = world.built(), world.create()  # the second has no server yet
    told()
    audit.tell_existing()
    (event_type, payload), = told()
    row = world.instance(built)
    assert event_type == "trove.instance.exists"
    begun, ended = (datetime.datetime.fromisoformat(payload.pop(f"audit_period_{edge}"))
                    for edge in ("beginning", "ending"))
    assert ended - begun == datetime.timedelta(seconds=3600)
    assert payload.pop("user_id")
    assert payload == {
        "created_at": usage.zulu(row.created), "launched_at": usage.zulu(row.created), "display_name": "m1",
        "instance_name": "m1", "instance_id": built, "instance_type_id": "1", "instance_type": "m1.tiny",
        "instance_size": 512, "nova_instance_id": row.compute_instance_id, "region": "LOCAL_DEV", "state": "active",
        "state_description": "active", "tenant_id": "tenant-1", "availability_zone": "nova", "volume_size": 1,
        "service_id": "2f3ff068-2bfb-4f70-9a9d-a6bb65bc084b", "nova_volume_id": row.volume_id}
    audit.tell_existing()
    assert told() == []


def test_a_nova_that_is_away_lets_the_period_wait(world, told, conf, monkeypatch):
    conf.set_override("exists_notification_transformer", f"{TRANSFORMERS}NovaNotificationTransformer")
    world.built()
    told()
    with monkeypatch.context() as patch:
        patch.setattr(remote, "nova_client", lambda: (_ for _ in ()).throw(requests.ConnectionError("no route")))
        audit.tell_existing()
        assert told() == []
    audit.tell_existing()
    assert [event_type for event_type, _ in told()] == ["trove.instance.exists"]


def test_the_plain_transformer_tells_of_all(world, told, conf):
    conf.set_override("exists_notification_transformer", f"{TRANSFORMERS}NotificationTransformer")
    built, (building, _) = world.built(), world.create()
    told()
    audit.tell_existing()
    found = {payload["instance_id"]: payload["state"] for _, payload in told()}
    assert found == {built: "active", building: "build"}
    assert not [name for name in told() if name[0] == "trove.instance.exists"]


def test_changed_quotas_are_told(world, told):
    with world.db.writer() as session:
        quota.reserve(session, "tenant-1", {"instances": 1})
    audit.tell_quotas()
    (event_type, payload), = told()
    assert event_type == "dbaas.quota"
    assert payload.pop("updated")
    assert payload == {"tenant_id": "tenant-1", "server_type": "taskmanager", "resource": "instances", "in_use": 0,
                       "reserved": 0, "limit": 5}
    audit.tell_quotas()
    assert told() == []


@pytest.mark.slow
def test_a_consumer_reads_them_off_the_broker_though_it_was_away(world, conf):
    node = rabbitmq.RabbitMQ().start()
    try:
        use_broker(conf, node)
        conf.set_override("driver", ["messagingv2"], group="oslo_messaging_notifications")
        conf.set_override("host", "tm-1")
        instance_id = world.built()
        node.kill_node()
        sender.send_waiting()  # nothing is lost
        node.start_node()
        sender.send_waiting()
        found = rabbitmq.messages(node, 3)
        assert [(message["event_type"], message["priority"], message["publisher_id"]) for message in found] == [
            (event_type, "INFO", "tm-1") for event_type in (
                "dbaas.instance_create.start", "dbaas.instance_create.end", "trove.instance.create")]
        assert {message["payload"]["instance_id"] for message in found} == {instance_id}
        assert world.instance(instance_id).task is InstanceTasks.NONE
        assert GUESTS.called("prepare")
    finally:
        bus.cleanup()
        rpc.cleanup()
        node.stop()
