"""The seam at which deliveries are checked: what it needs of the libraries, and what it does with frames."""
import inspect
import json
import struct

import amqp
import kombu
import pytest
from amqp import spec
from kombu.transport import pyamqp
from oslo_messaging._drivers import amqpdriver, impl_rabbit
from oslo_messaging._drivers import common as driver_common

from tests.unit.common.test_delivery import CALL, PLAIN, REPLY, REQUEST, packed
from trove import rpc
from trove.common import delivery, exception, security, transport
from trove.common.cfg import CONF

TAG, REPLIES = "1", "reply_" + "0" * 32


def test_the_libraries_still_have_the_places_that_are_replaced():
    assert kombu.Connection("amqp://u:p@127.0.0.1:1//").transport_cls == "amqp"
    assert isinstance(kombu.Connection("amqp://u:p@127.0.0.1:1//").transport, transport.Transport)
    assert isinstance(kombu.Connection("amqps://u:p@127.0.0.1:1//").transport, transport.SSLTransport)
    assert ".replace('rabbit', 'amqp')" in inspect.getsource(impl_rabbit.Connection._transform_transport_url)
    assert "frame_handler" in inspect.signature(amqp.Connection.__init__).parameters
    assert "self.frame_handler_cls(" in inspect.getsource(amqp.Connection.connect)
    assert "spec.Basic.Deliver: self._on_basic_deliver" in inspect.getsource(amqp.Channel)
    assert list(inspect.signature(amqp.Channel._on_basic_deliver).parameters) == list(
        inspect.signature(transport.Channel._on_basic_deliver).parameters)
    assert list(inspect.signature(amqp.Channel.basic_consume).parameters)[:2] == ["self", "queue"]
    assert "decompress" in inspect.getsource(kombu.message.Message.__init__)
    assert "RpcAMQPListener(self, conn)" in inspect.getsource(amqpdriver.AMQPDriverBase.listen)
    assert amqpdriver.RpcAMQPListener is rpc._Listener
    assert "rpc_common.serialize_msg(msg)" in inspect.getsource(amqpdriver.AMQPDriverBase._send)
    assert "'reply_' + uuid.uuid4().hex" in inspect.getsource(amqpdriver.AMQPDriverBase._get_reply_queue_name)


class Link:
    """Stands for a connection; ``rejected`` are the tags of deliveries that were rejected."""

    def __init__(self, queue):
        self.rejected, self.events, self.taken = [], [], []
        self.way = ("", "anything")  # exchange and routing key
        self.channel = object.__new__(transport.Channel)
        for name, value in {
                "connection": self, "callbacks": {TAG: self.taken.append}, "_queue_of": {TAG: queue},
                "no_ack_consumers": set(),
                "basic_reject": lambda tag, requeue: self.rejected.append((tag, requeue))}.items():
            setattr(self.channel, name, value)
        self.bytes_recv = 0
        self.handle = transport._FrameGuard(self, self._dispatch)

    def _dispatch(self, _channel, _method, _arguments, message):
        self.channel._on_basic_deliver(TAG, 7, False, *self.way, message)

    def deliver(self, body, piece=1000, **properties):
        """The frames of one delivery."""
        raw = amqp.Message(b"", **properties)._serialize_properties()
        done = [self.handle((1, 1, struct.pack(">HH", *spec.Basic.Deliver))),
                self.handle((2, 1, struct.pack(">HHQ", 60, 0, len(body)) + raw))]
        done += [self.handle((3, 1, body[start:start + piece])) for start in range(0, len(body), piece)]
        return done


@pytest.fixture
def events(monkeypatch):
    found = []
    monkeypatch.setattr(security, "_sinks", [found.append])
    return found


@pytest.fixture
def small(conf):
    conf.set_override("bus_message_max_size", 64 * 1024)
    return conf


@pytest.mark.parametrize(("queue", "message"), [("taskmanager", REQUEST), ("taskmanager", CALL), (REPLIES, REPLY)])
def test_genuine_deliveries_are_handed_on(small, events, queue, message):
    link = Link(queue)
    link.deliver(packed(message), **PLAIN)
    assert [each.body for each in link.taken] == [packed(message)]
    assert (link.rejected, events) == ([], [])


@pytest.mark.parametrize(("queue", "body", "properties", "name"), [
    ("taskmanager", b"x" * (64 * 1024 + 1), PLAIN, "message.too_large"),
    ("taskmanager", packed(REQUEST), {**PLAIN, "application_headers": {"a": "x" * 4000}}, "message.too_large"),
    ("taskmanager", packed(REQUEST), {**PLAIN, "application_headers": {"compression": "zlib"}}, "message.malformed"),
    ("taskmanager", packed(REQUEST), {**PLAIN, "content_type": "text/plain"}, "message.malformed"),
    ("taskmanager", packed(REQUEST), {}, "message.malformed"),
    ("taskmanager", b"", PLAIN, "message.malformed"),
    ("taskmanager", packed(REPLY), PLAIN, "message.malformed"),
    (REPLIES, packed(REQUEST), PLAIN, "message.malformed"),
    ("taskmanager", packed({**CALL, "_reply_q": "taskmanager"}), PLAIN, "message.reply_refused"),
])
def test_others_are_rejected_once_and_reported(small, events, queue, body, properties, name):
    link = Link(queue)
    link.deliver(body, **properties)
    assert (link.taken, link.rejected) == ([], [(7, False)])
    assert [event.name for event in events] == [name]
    assert f"on queue {queue}: " in events[0].reason
    link.deliver(packed(REPLY if queue == REPLIES else REQUEST), **PLAIN)
    assert len(link.taken) == 1


@pytest.mark.parametrize(("way", "properties", "account"), [
    (("trove-guests", "trove-conductor.i-1"), {}, "guest-i-1"),
    (("trove-guests", f"reply.i-1.{REPLIES}"), {}, "guest-i-1"),
    (("trove-guests", "trove-conductor.i-1"), {"user_id": "guest-i-1.2"}, "guest-i-1.2"),
    (("trove-guests", "guestagent.i-1"), {}, None), (("", "trove-conductor.i-1"), {}, None),
    (("trove", "trove-conductor.i-1"), {}, None)])
@pytest.mark.parametrize("body", [b"{", b"x" * (64 * 1024 + 1)])
def test_an_event_names_the_guest_that_alone_can_have_sent_it(small, events, way, properties, account, body):
    link = Link("trove-conductor.i-1")
    link.way = way
    link.deliver(body, **PLAIN, **properties)
    # Of a delivery that is too large no property is read.
    assert [event.account for event in events] == [
        account if len(body) == 1 or not properties else "guest-i-1"]


def test_the_body_of_a_delivery_that_is_too_large_is_not_kept(small, events):
    link = Link("taskmanager")
    kept = []
    link.channel._check = lambda queue, message: (kept.append(message), transport.Channel._check(
        link.channel, queue, message))
    link.deliver(b"x" * 100_000, **PLAIN)
    assert (kept[0].body_size, kept[0].properties) == (0, {})


@pytest.mark.parametrize("queue", ["of-guests", "of-guests.host", "of-guests_fanout_0123"])
def test_a_service_that_never_answers_refuses_calls(small, events, monkeypatch, queue):
    monkeypatch.setattr(transport, "_unanswered", set())
    transport.never_answer("of-guests")
    link = Link(queue)
    link.deliver(packed(CALL), **PLAIN)
    link.deliver(packed(REQUEST), **PLAIN)
    assert (len(link.taken), [event.name for event in events]) == (1, ["message.reply_refused"])


def test_a_check_that_fails_itself_loops_nothing(small, events, monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError
    monkeypatch.setattr(transport.delivery, "check", broken)
    link = Link("taskmanager")
    link.deliver(packed(REQUEST), **PLAIN)
    assert (link.taken, link.rejected, [event.name for event in events]) == ([], [(7, False)], ["message.malformed"])


def test_a_message_that_nobody_would_take_is_not_sent(small):
    assert driver_common.serialize_msg({"method": "m", "args": {"a": "x" * 60000}})
    with pytest.raises(exception.MessageTooLarge, match=r"for 'm' is too large .* bus_message_max_size allows 65536"):
        driver_common.serialize_msg({"method": "m", "args": {"a": '"' * 20000}})


def test_a_text_that_nobody_would_take_is_not_sent(conf):
    driver_common.serialize_msg({"method": "m", "args": {"a": "Ü🎉\\u0000"}})
    for text in ("\0", "\ud800"):
        with pytest.raises(exception.BadRequest, match="cannot be sent over the message bus: it contains a"):
            driver_common.serialize_msg({"method": "m", "args": {"a": text}})


def test_an_answer_is_cleaned_and_one_that_is_too_large_becomes_an_error(small):
    incoming = object.__new__(rpc._Incoming)
    incoming.msg_id = "1"
    for answer in (incoming._serialized({"a": "\ud800"}),
                   incoming._serialized(failure=(OSError, OSError("\udcff\0"), None))):
        delivery.decode(json.dumps(answer), delivery.REPLY)
    with pytest.raises(exception.MessageTooLarge):
        incoming._serialized("x" * 100_000)


def test_the_prefetch_is_bounded(conf):
    conf.set_override("bus_prefetch", 5)
    rpc._bound_prefetch()
    assert CONF.oslo_messaging_rabbit.rabbit_qos_prefetch_count == 5


def test_it_is_the_transport_that_was_tested():
    assert pyamqp.Channel in transport.Channel.__mro__
