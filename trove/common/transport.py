"""The AMQP transport of every process: kombu's, with the checks of ``trove.common.delivery`` before it decodes.

``install`` makes kombu, and with it oslo.messaging, use it for ``rabbit://`` and ``amqp://``. A delivery that is
refused is rejected once, not requeued, and reported as one security event; a body that is too large is not even kept
while it arrives.
"""
import re
import struct

import kombu.transport
from amqp import method_framing
from kombu.transport import pyamqp
from oslo_log import log as logging

from trove.common import delivery, security
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)

# The exchange between services and guests that have accounts of their own.
GUESTS_EXCHANGE = "trove-guests"
_HEADER_FRAME, _BODY_FRAME = 2, 3
# Bytes before the properties in a header frame: class, weight, size of the body.
_BEFORE_PROPERTIES = 12

_GUEST_ACCOUNT = re.compile(r"guest-(.+?)(\.[0-9]+)?")

_unanswered = set()


def install():
    """Let kombu use this transport from now on. Call it before the first connection is made."""
    kombu.transport._transport_cache.clear()  # of those that were looked up before
    kombu.transport.TRANSPORT_ALIASES.update(amqp=f"{__name__}:Transport", amqps=f"{__name__}:SSLTransport")


def never_answer(topic):
    """Refuse, in this process, every request on ``topic`` that asks for an answer."""
    _unanswered.add(topic)


def _is_answered(queue):
    return not any(queue == topic or queue.startswith((f"{topic}.", f"{topic}_fanout")) for topic in _unanswered)


def guest_account(instance_id, generation=0):
    """Return the name of a guest's account at the broker. Each generation of its secrets has one of its own, so that a
    guest that is just being given new ones can come back with the old ones.
    """
    return f"guest-{instance_id}.{generation}" if generation else f"guest-{instance_id}"


def guest_of(account):
    """Return the id of the instance whose guest has that account at the broker, None if it is no guest's."""
    found = _GUEST_ACCOUNT.fullmatch(account)
    return found and found[1]


def _sender(exchange, routing_key):
    """Return the account of the guest that published with this key, None if it need not be one.

    On the guests' exchange the broker lets an account use keys with its own id only, for reports and for answers.
    """
    for begin in (f"{CONF.conductor_queue}.", "reply."):
        if exchange == GUESTS_EXCHANGE and routing_key.startswith(begin):
            return guest_account(routing_key.removeprefix(begin).partition(".")[0])
    return None


class _FrameGuard:
    """Handles the frames of one connection. Of a delivery whose sizes are refused it keeps neither properties nor body.

    refused: the reason why the delivery that is being dispatched is refused (delivery.Refused), or None.
    """

    def __init__(self, connection, callback):
        self.refused = None
        connection.frame_guard = self
        self._handle = method_framing.frame_handler(connection, callback)
        self._bytes_to_drop = {}

    def __call__(self, frame):
        kind, channel, payload = frame
        if kind == _BODY_FRAME and channel in self._bytes_to_drop:
            self._bytes_to_drop[channel] -= len(payload)
            if self._bytes_to_drop[channel] <= 0:
                del self._bytes_to_drop[channel]
            return False
        if kind != _HEADER_FRAME:
            return self._handle(frame)
        class_id, body_size = struct.unpack_from(">HxxQ", payload, 0)
        try:
            delivery.check_frame(len(payload) - _BEFORE_PROPERTIES, body_size, CONF.bus_message_max_size)
        except delivery.Refused as error:
            if body_size:
                self._bytes_to_drop[channel] = body_size
            self.refused = error
            try:
                # The same delivery, without properties and without a body.
                return self._handle((kind, channel, struct.pack(">HHQH", class_id, 0, 0, 0)))
            finally:
                self.refused = None
        return self._handle(frame)


class Channel(pyamqp.Channel):
    """A channel that hands on only deliveries that pass the checks."""

    def __init__(self, *args, **kwargs):
        self._queue_of = {}
        super().__init__(*args, **kwargs)

    def basic_consume(self, queue="", *args, **kwargs):
        """Start a consumer, and remember which queue its deliveries come from."""
        tag = super().basic_consume(queue, *args, **kwargs)
        self._queue_of[tag] = queue
        return tag

    def _on_basic_deliver(self, consumer_tag, delivery_tag, redelivered, exchange, routing_key, msg):
        queue = self._queue_of.get(consumer_tag, routing_key)
        refused = None
        try:
            self._check(queue, msg)
        except delivery.Refused as error:
            refused = error
        except Exception as error:
            # An exception that leaves here would make the broker deliver the same message again, without end.
            LOG.exception("The check of a delivery on queue %s failed", queue)
            refused = delivery.Refused("message.malformed", f"its check failed with {type(error).__name__}")
        if refused is None:
            super()._on_basic_deliver(consumer_tag, delivery_tag, redelivered, exchange, routing_key, msg)
            return
        if consumer_tag not in self.no_ack_consumers:
            self.basic_reject(delivery_tag, requeue=False)
        # The broker checks that this is the user who published it; a sender need not say it.
        account = msg.properties.get("user_id") or _sender(exchange, routing_key)
        security.report(refused.name, f"on queue {queue}: {refused.reason}", account=account)

    def _check(self, queue, msg):
        if self.connection.frame_guard.refused:
            raise self.connection.frame_guard.refused
        body = msg.body.encode() if isinstance(msg.body, str) else msg.body
        delivery.check(msg.properties, msg.properties.get("application_headers"), len(body), CONF.bus_message_max_size)
        expected = delivery.REPLY if delivery.REPLY_QUEUE.fullmatch(queue) else delivery.REQUEST
        delivery.decode(body, expected, _is_answered(queue))


class Connection(pyamqp.Connection):
    """A connection whose channels and frames are guarded."""

    Channel = Channel

    def __init__(self, *args, **kwargs):
        super().__init__(*args, frame_handler=_FrameGuard, **kwargs)


class Transport(pyamqp.Transport):
    """kombu's transport for amqp:// URLs, with the checks of this module."""

    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):
    """kombu's transport for amqps:// URLs, with the checks of this module."""

    Connection = Connection
