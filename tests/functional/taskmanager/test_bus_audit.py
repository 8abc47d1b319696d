"""The audit and the watch of guests' accounts, on a real broker."""

import amqp
import kombu
import pytest
import requests
from amqp import exceptions as amqp_errors

from tests import rabbitmq
from tests.functional.taskmanager.conftest import use_broker
from tests.functional.taskmanager.test_bus import INSTANCE, OTHER, remove_account, work_of
from tests.waiting import wait_until
from trove import rpc
from trove.common import security
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db import guest_secrets
from trove.instance.models import DBInstance
from trove.instance.tasks import InstanceTasks
from trove.taskmanager import bus_audit
from trove.taskmanager.steps import bus

pytestmark = pytest.mark.slow
GONE = "0e0e0e0e-0000-4000-8000-00000000000e"
# Permissions of the release before.
OLD = {"configure": rf"^guestagent\.{INSTANCE}(\..*|_fanout.*)?$", "write": ".*", "read": ".*"}


@pytest.fixture
def events(monkeypatch):
    found = []
    monkeypatch.setattr(security, "_sinks", [found.append])
    return found


@pytest.fixture
def works(node, conf, db, context):
    """The accounts of two live instances."""
    use_broker(conf, node)
    with db.writer() as session:
        session.add(DBDatastore(id="d", name="mysql"))
        session.flush()
        session.add(DBDatastoreVersion(id="v", datastore_id="d", name="8", image_id="i", active=True, manager="mysql"))
        session.flush()
        for instance_id in (INSTANCE, OTHER):
            session.add(DBInstance(id=instance_id, name="m", tenant_id="t", datastore_version_id="v",
                                   task=InstanceTasks.NONE))
    found = [work_of(db, context, instance_id) for instance_id in (INSTANCE, OTHER)]
    for work in found:
        bus.create_account(work)
    yield found
    for work in found:
        remove_account(work)
    rpc.cleanup()


def ask(node, method, path, body=None):
    answer = requests.request(method, f"{node.management_url}/api/{path}", json=body, timeout=10,
                              auth=(rabbitmq.ADMIN, rabbitmq.PASSWORD))
    answer.raise_for_status()
    return answer.json() if answer.content else None


def names(node, kind):
    return {each["name"] for each in ask(node, "GET", kind)}


def settle(node, condition):
    """Wait until the management API's figures, which are some seconds old, show something."""
    wait_until(condition, pause=0.3)


def test_what_is_right_is_left_alone(works, events):
    assert bus_audit.audit() == (0, [])
    assert events == []


def test_an_account_made_before_gets_limits_permissions_and_queues(works, node, events):
    user = f"guest-{INSTANCE}"
    ask(node, "PUT", f"permissions/%2F/{user}", OLD)
    ask(node, "DELETE", f"topic-permissions/%2F/{user}")
    for limit in bus.limits():
        ask(node, "DELETE", f"user-limits/{user}/{limit}")
    for queue in bus.queues(INSTANCE):
        ask(node, "DELETE", f"queues/%2F/{queue}")
    ask(node, "PUT", f"queues/%2F/guestagent.{INSTANCE}", {"durable": False})
    settle(node, lambda: f"trove-conductor.{INSTANCE}" not in names(node, "queues"))
    assert bus_audit.audit()[0] == 1
    (limits,) = ask(node, "GET", f"user-limits/{user}")
    assert limits["value"] == bus.limits()
    assert set(bus.queues(INSTANCE)) <= names(node, "queues")
    assert ask(node, "GET", f"queues/%2F/guestagent.{INSTANCE}")["durable"] is True
    assert ask(node, "GET", f"permissions/%2F/{user}")["configure"] == "^$"
    settle(node, lambda: bus_audit.audit()[0] == 0)


def test_the_account_of_new_secrets_is_as_limited_and_uses_the_same_queues(works, node, db, events):
    with db.writer() as session:
        works[0].data["generation"] = guest_secrets.renew(session, INSTANCE)
    bus.create_next_account(works[0])
    old, new = f"guest-{INSTANCE}", f"guest-{INSTANCE}.1"

    def facts(user):
        return [[{key: value for key, value in each.items() if key != "user"} for each in ask(node, "GET", path)]
                for path in (f"user-limits/{user}", f"users/{user}/permissions", f"users/{user}/topic-permissions")]
    assert facts(new) == facts(old)
    assert [limits["value"] for limits in ask(node, "GET", f"user-limits/{new}")] == [bus.limits()]
    assert bus_audit.audit() == (0, [])
    ask(node, "DELETE", f"user-limits/{new}/max-channels")
    ask(node, "PUT", f"permissions/%2F/{new}", {"configure": "^$", "write": ".*", "read": "^$"})
    assert bus_audit.audit() == (1, [])
    assert facts(new) == facts(old)
    url = bus.guest_transport_url(works[0], 1).replace("rabbit://", "amqp://")
    with kombu.Connection(url) as connection:
        connection.channel().basic_get(f"guestagent.{INSTANCE}")
    assert events == []


def test_an_old_agent_keeps_its_permissions_while_it_is_served(works, node, conf):
    conf.set_override("old_agents", True, group="guest_bus")
    user = f"guest-{INSTANCE}"
    ask(node, "PUT", f"permissions/%2F/{user}", OLD)
    ask(node, "DELETE", f"user-limits/{user}/max-channels")
    assert bus_audit.audit()[0] == 1
    assert ask(node, "GET", f"user-limits/{user}")[0]["value"] == bus.limits()
    assert ask(node, "GET", f"permissions/%2F/{user}")["write"] == ".*"
    # Its commands reach the exchange that it knows.
    with kombu.Connection(node.transport_url.replace("rabbit://", "amqp://")) as connection:
        channel = connection.channel()
        channel.queue_declare("old", exclusive=True)
        channel.queue_bind("old", "trove", f"guestagent.{INSTANCE}")
        channel.confirm_select()
        channel.basic_publish_confirm(amqp.Message("x"), "trove-guests", f"guestagent.{INSTANCE}")
        assert channel.basic_get("old", no_ack=True) is not None


def test_what_belongs_to_no_guest_is_reported_and_on_request_removed(works, node, conf, events):
    imitation = f"guestagent.{OTHER}.{INSTANCE}"
    for queue in (imitation, f"trove-conductor.{GONE}", "an.operators"):
        ask(node, "PUT", f"queues/%2F/{queue}", {})
    ask(node, "PUT", f"exchanges/%2F/guestagent.{INSTANCE}_fanout", {"type": "fanout"})
    ask(node, "PUT", f"users/guest-{GONE}", {"password": "x", "tags": ""})
    settle(node, lambda: f"trove-conductor.{GONE}" in names(node, "queues"))
    _, foreign = bus_audit.audit()
    assert foreign == [f"The account guest-{GONE} belongs to no instance",
                       f"The queue {imitation} belongs to no instance",
                       f"The queue trove-conductor.{GONE} belongs to no instance",
                       f"The exchange guestagent.{INSTANCE}_fanout belongs to no instance"]
    assert {event.name for event in events} == {"queue.foreign"}
    assert imitation in names(node, "queues")
    conf.set_override("remove_foreign_queues", True, group="guest_bus")
    bus_audit.audit()
    settle(node, lambda: not {imitation, f"trove-conductor.{GONE}"} & names(node, "queues"))
    assert "an.operators" in names(node, "queues")
    assert f"guest-{GONE}" not in names(node, "users")
    assert f"guestagent.{INSTANCE}" in names(node, "queues")


@pytest.mark.parametrize("deed", ["consume", "transaction"])
def test_who_takes_the_brokers_memory_is_cut_off_and_nobody_else(works, events, deed):
    greedy, other = (kombu.Connection(bus.guest_transport_url(work).replace("rabbit://", "amqp://")) for work in works)
    with greedy, other:
        other.channel().basic_consume(f"guestagent.{OTHER}")
        channel = greedy.channel()
        if deed == "consume":
            for _ in range(60):
                channel.basic_consume(f"guestagent.{INSTANCE}")
        else:
            channel.tx_select()
            for _ in range(200):
                channel.basic_publish(amqp.Message("x"), "trove-guests", f"trove-conductor.{INSTANCE}")
        assert wait_until(bus_audit.watch, pause=0.5) == [f"guest-{INSTANCE}"]
        with pytest.raises((amqp_errors.AMQPError, OSError)):
            for _ in range(20):
                greedy.drain_events(timeout=1)
        other.channel().queue_declare(f"guestagent.{OTHER}", passive=True)
    assert [(event.name, event.account) for event in events] == [("message.flood", f"guest-{INSTANCE}")]
