"""What a guest gets of the broker: the same conversation with the fake management API and with a real RabbitMQ; and,
with the real one, what its account may and may not do.
"""
import contextlib

import amqp
import kombu
import pytest
import requests
from amqp import exceptions as amqp_errors

from tests import rabbitmq
from tests.fakes import broker as fake_broker
from tests.functional.taskmanager.conftest import configure_bus, use_broker
from tests.waiting import wait_until
from trove import rpc
from trove.common import crypto, exception, remote
from trove.common.context import TroveContext
from trove.operation import models as operations
from trove.taskmanager.flow import Work
from trove.taskmanager.steps import bus

INSTANCE, OTHER = "0a0a0a0a-0000-4000-8000-00000000000a", "0b0b0b0b-0000-4000-8000-00000000000b"


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.slow)])
def broker(request, conf, db):
    """The options for one of both; ``users()`` are the guests' accounts there."""
    if request.param == "real":
        real = request.getfixturevalue("node")
        use_broker(conf, real)

        def users():
            answer = requests.get(f"{real.management_url}/api/users", timeout=10,
                                  auth=(rabbitmq.ADMIN, rabbitmq.PASSWORD))
            return {user["name"] for user in answer.json() if user["name"].startswith(f"guest-{INSTANCE}")}
        yield users
    else:
        fake = fake_broker.Broker()
        configure_bus(conf, fake.url, fake_broker.USER, fake_broker.PASSWORD, "10.77.0.1:5672")
        yield lambda: set(fake.users)
        fake.stop()


def work_of(db, context, instance_id):
    """The Work of an operation on an instance, held by "me"."""
    with db.writer() as session:
        operation = operations.begin(session, "instance.create", "instance", instance_id, context)
        held = operations.claim(session, operation.id, "me", 600)
        return Work(held, "me", db.now(session))


def remove_account(work):
    """Look again as the runner does, until the step says that it is done."""
    work.data["since"] = work.now()
    wait_until(lambda: bus.delete_account(work) is None, pause=0.1)


def test_only_what_is_the_guests_own_is_removed_and_the_step_ends(conf, db, context):
    broker = fake_broker.Broker()
    try:
        configure_bus(conf, broker.url, fake_broker.USER, fake_broker.PASSWORD, "10.77.0.1:5672")
        work = work_of(db, context, INSTANCE)
        bus.create_account(work)
        foreign = {f"guestagent.{OTHER}.{INSTANCE}", f"guestagent.{OTHER}", f"x-guestagent.{INSTANCE}"}
        broker.queues |= foreign
        remove_account(work)
        assert broker.queues == foreign
        assert broker.users == {}
    finally:
        broker.stop()


def test_of_an_old_agent_everything_that_it_made_is_removed_and_no_other(conf, db, context):
    broker = fake_broker.Broker()
    conf.set_override("old_agents", True, group="guest_bus")
    try:
        configure_bus(conf, broker.url, fake_broker.USER, fake_broker.PASSWORD, "10.77.0.1:5672")
        foreign = {f"guestagent.{OTHER}", f"guestagent.{OTHER}.{INSTANCE}", f"x-guestagent.{INSTANCE}"}
        for things in (broker.queues, broker.exchanges):
            things.update(f"guestagent.{INSTANCE}.{number}" for number in range(250))
            things.update((f"guestagent.{INSTANCE}", f"guestagent.{INSTANCE}_fanout", *foreign))
        remove_account(work_of(db, context, INSTANCE))
        assert broker.queues == foreign
        assert broker.exchanges == {"trove", *foreign}
    finally:
        broker.stop()


def test_an_account_is_made_renewed_and_removed(broker, db, context):
    work = work_of(db, context, INSTANCE)
    bus.create_account(work)
    first = bus.guest_transport_url(work)
    bus.create_account(work)
    second = bus.guest_transport_url(work)
    assert first != second
    assert first.startswith(f"rabbit://guest-{INSTANCE}:")
    assert first.endswith("//")
    password = crypto.decrypt(work.data["bus_password"])
    with db.reader() as session:
        stored = session.get(operations.Operation, work.operation.id).step_data
    assert "bus_password" in stored
    assert password not in stored
    assert broker() == {f"guest-{INSTANCE}"}
    for _ in range(2):
        bus.delete_account(work)
    assert broker() == set()
    assert "bus_password" not in work.data


def test_a_wrong_administrator_is_a_refusal(broker, db, context, conf):
    conf.set_override("management_password", "wrong one", group="guest_bus")
    with pytest.raises(exception.TroveError, match="answered 401 to PUT users/guest-") as caught:
        bus.create_account(work_of(db, context, INSTANCE))
    assert not remote.is_passing(caught.value)


def test_a_dead_or_failing_broker_is_a_passing_error(conf, db, context):
    fake = fake_broker.Broker()
    configure_bus(conf, fake.url, fake_broker.USER, fake_broker.PASSWORD, "10.77.0.1:5672")
    work = work_of(db, context, INSTANCE)
    fake.failures = [503]
    with pytest.raises(exception.ServiceUnavailable, match="answered 503") as caught:
        bus.create_account(work)
    assert remote.is_passing(caught.value)
    fake.stop()
    with pytest.raises(exception.ServiceUnavailable, match="does not answer .option .guest_bus. man") as caught:
        bus.create_account(work)
    assert remote.is_passing(caught.value)


def test_shared_credentials_give_a_guest_nothing_of_its_own(conf, db, context):
    conf.set_override("credentials", "shared", group="guest_bus")
    work = work_of(db, context, INSTANCE)
    bus.create_account(work)
    bus.delete_account(work)
    assert bus.guest_transport_url(work) is None


def test_what_is_missing_is_said_before_the_start(conf, tmp_path):
    conf.set_override("guest_config", str(tmp_path / "agent.conf"))
    assert [problem.split()[2] for problem in bus.problems()] == [
        "management_url", "management_user", "management_password", "address"]
    configure_bus(conf, "http://127.0.0.1:15672", "admin", "guest", "127.0.0.1:5672")
    (tmp_path / "agent.conf").write_text("[DEFAULT]\ntransport_url = rabbit://all:same@h:5672//\n")
    found = bus.problems()
    assert "management_password to a password of your own" in found[0]
    assert "remove transport_url" in found[1]


@pytest.fixture
def guest(node, conf, db, context):
    """A connection with the account of INSTANCE, while OTHER has queues with a message in it."""
    use_broker(conf, node)
    works = [work_of(db, context, instance_id) for instance_id in (INSTANCE, OTHER)]
    for work in works:
        bus.create_account(work)
    rpc.get_client(f"guestagent.{INSTANCE}", "guestagent").prepare().cast(TroveContext(), "prepare")
    connection = kombu.Connection(bus.guest_transport_url(works[0]).replace("rabbit://", "amqp://"))
    yield connection
    connection.release()
    for work in works:
        remove_account(work)
    rpc.cleanup()


@contextlib.contextmanager
def refused():
    with pytest.raises(amqp_errors.AccessRefused):
        yield


@pytest.mark.slow
def test_what_an_account_may_do(guest):
    channel = guest.channel()
    channel.queue_declare(f"guestagent.{INSTANCE}", passive=True)
    assert channel.basic_get(f"guestagent.{INSTANCE}", no_ack=True) is not None, "the waiting prepare"
    channel.confirm_select()
    channel.basic_publish_confirm(_message(), "trove-guests", f"trove-conductor.{INSTANCE}")
    channel.basic_publish_confirm(_message(), "trove-guests", f"reply.{INSTANCE}.reply_0123456789abcdef")
    _, waiting, _ = channel.queue_declare(f"trove-conductor.{INSTANCE}", passive=True)
    assert waiting == 1


@pytest.mark.slow
@pytest.mark.parametrize("deed", [
    lambda channel: channel.queue_declare(f"guestagent.{OTHER}", passive=False, durable=True, auto_delete=False),
    lambda channel: channel.queue_declare(f"guestagent.{INSTANCE}.more"),
    lambda channel: channel.queue_declare(f"guestagent.{OTHER}.{INSTANCE}"),
    lambda channel: channel.queue_declare("", exclusive=True),
    lambda channel: channel.queue_declare("reply_0123456789abcdef"),
    lambda channel: channel.exchange_declare(f"guestagent.{INSTANCE}_fanout", "fanout"),
    lambda channel: channel.queue_delete(f"guestagent.{INSTANCE}"),
    lambda channel: channel.basic_get(f"guestagent.{OTHER}"),
    lambda channel: channel.basic_get(f"trove-conductor.{INSTANCE}"),
    lambda channel: channel.queue_purge(f"guestagent.{OTHER}"),
    lambda channel: channel.queue_delete(f"guestagent.{OTHER}"),
    lambda channel: channel.queue_bind(f"guestagent.{INSTANCE}", "trove-guests", f"guestagent.{OTHER}"),
    lambda channel: channel.queue_bind(f"guestagent.{INSTANCE}", "trove-guests", "#"),
    lambda channel: channel.basic_publish_confirm(_message(), "trove-guests", f"guestagent.{OTHER}"),
    lambda channel: channel.basic_publish_confirm(_message(), "trove-guests", f"trove-conductor.{OTHER}"),
    lambda channel: channel.basic_publish_confirm(_message(), "trove-guests", f"reply.{OTHER}.reply_0123456789abcdef"),
    lambda channel: channel.basic_publish_confirm(_message(), "trove-guests", "taskmanager"),
    lambda channel: channel.basic_publish_confirm(_message(), "trove", "trove-conductor"),
    lambda channel: channel.basic_publish_confirm(_message(), "", "taskmanager"),
    lambda channel: channel.basic_publish_confirm(_message(), "", f"guestagent.{OTHER}"),
    lambda channel: channel.exchange_delete("trove-guests"),
    lambda channel: channel.exchange_declare("trove-guests", "topic", auto_delete=False, durable=True),
    lambda channel: channel.queue_declare("trove-conductor"),
], ids=["declare", "declare more", "imitate", "declare nameless", "declare reply", "declare exchange", "delete own",
        "read", "read reports", "purge", "delete", "bind", "bind all", "publish", "report as another",
        "answer as another", "task manager", "shared reports", "default task manager", "default guest",
        "delete exchange", "declare shared exchange", "conductor"])
def test_what_an_account_may_not_do(guest, deed):
    channel = guest.channel()
    with refused():
        deed(channel)


@pytest.mark.slow
def test_an_account_has_few_connections_and_channels(guest, conf):
    url = guest.as_uri(include_password=True)
    made, channels = [], []
    try:
        with pytest.raises(amqp_errors.NotAllowed, match="limit"):
            for _ in range(conf.guest_bus.max_connections + 1):
                made.append(kombu.Connection(url))
                made[-1].connect()
        assert len(made) == conf.guest_bus.max_connections + 1
        # The broker closes the whole connection on which one channel too many is opened.
        with pytest.raises((amqp_errors.AMQPError, OSError)):
            for _ in range(conf.guest_bus.max_channels + 1):
                channels.append(made[0].channel())
        assert len(channels) == conf.guest_bus.max_channels
    finally:
        for connection in made:
            connection.release()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "kept"), [(10, 100), (100 * 1024, 10)], ids=["length", "bytes"])
def test_a_guests_queue_keeps_its_newest_reports_within_both_bounds(guest, node, size, kept):
    channel = guest.channel()
    channel.confirm_select()
    for number in range(150):
        channel.basic_publish_confirm(amqp.Message(f"{number:>{size}}"), "trove-guests", f"trove-conductor.{INSTANCE}")
    with kombu.Connection(node.transport_url.replace("rabbit://", "amqp://")) as services:
        channel = services.channel()
        found = []
        while message := channel.basic_get(f"trove-conductor.{INSTANCE}", no_ack=True):
            found.append(int(message.body))
    assert found == list(range(150))[-kept:]


@pytest.mark.slow
def test_nothing_is_left_at_the_broker(node, conf, db, context):
    use_broker(conf, node)
    work = work_of(db, context, INSTANCE)
    bus.create_account(work)
    url = bus.guest_transport_url(work).replace("rabbit://", "amqp://")
    with kombu.Connection(url) as connection:
        connection.channel().basic_get(f"guestagent.{INSTANCE}")
        remove_account(work)
        with pytest.raises((amqp_errors.AMQPError, OSError)):  # who was connected is not any more
            for _ in range(50):
                connection.drain_events(timeout=1)

    def names(kind):
        answer = requests.get(f"{node.management_url}/api/{kind}", timeout=10,
                              auth=(rabbitmq.ADMIN, rabbitmq.PASSWORD))
        return [thing["name"] for thing in answer.json()]

    for kind in ("queues", "exchanges", "users"):
        assert not [name for name in names(kind) if INSTANCE in name]
    with kombu.Connection(url) as connection, pytest.raises(amqp_errors.AccessRefused):
        connection.connect()
    rpc.cleanup()


@pytest.mark.slow
def test_a_dead_broker_keeps_nobody_waiting(conf, db, context):
    own = rabbitmq.RabbitMQ().start()
    try:
        use_broker(conf, own)
        rpc.declare_queue(f"guestagent.{INSTANCE}", INSTANCE)
        own.kill_node()
        with pytest.raises(rpc.DeliveryFailure) as caught:
            rpc.declare_queue(f"guestagent.{INSTANCE}", INSTANCE)
        assert remote.is_passing(caught.value)
        with pytest.raises(exception.GuestError) as caught:
            remote.guest_client(context, INSTANCE).prepare([], [], 512, [])
        assert remote.is_passing(caught.value)
    finally:
        rpc.cleanup()
        own.stop()


def _message():
    return amqp.Message("x")


@pytest.mark.slow
def test_no_amount_of_reports_and_answers_of_one_guest_raises_the_alarm(guest, node, conf):
    url, megabyte, alarms = guest.as_uri(include_password=True), b"x" * (1 << 20), []
    connections = [kombu.Connection(url) for _ in range(conf.guest_bus.max_connections - 1)]
    try:
        channels = [connection.channel() for connection in connections]
        for _ in range(150):  # 900 MB in all; the node's alarm is at 500 MB
            for channel in channels:
                channel.basic_publish(amqp.Message(megabyte), "trove-guests", f"trove-conductor.{INSTANCE}")
            channel.basic_publish(amqp.Message(megabyte), "trove-guests", f"reply.{INSTANCE}.reply_0123456789abcdef")
            alarms.append(requests.get(f"{node.management_url}/api/health/checks/local-alarms", timeout=10,
                                       auth=(rabbitmq.ADMIN, rabbitmq.PASSWORD)).status_code)
    finally:
        for connection in connections:
            connection.release()
    assert set(alarms) == {200}
