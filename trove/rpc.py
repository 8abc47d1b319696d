"""The message bus: one transport per process, clients with version caps, servers, and the context across the wire.

Used by the ``api`` modules (clients) and by ``trove.cmd`` (servers). No method of any service is named here.
"""
import contextlib
import logging as std_logging
import sys
import time

# oslo.service installs eventlet and its neighbours look for it. No process of ours uses it: not to find it spares each
# of them, and every guest, its import and its warning.
sys.modules.setdefault("eventlet", None)

from oslo_service import backend as oslo_service_backend  # noqa: E402

# Chosen before oslo.messaging is imported: it would otherwise pull in eventlet, which no process of ours uses.
oslo_service_backend.init_backend(oslo_service_backend.BackendType.THREADING)

import oslo_messaging as messaging  # noqa: E402
from amqp import exceptions as amqp_errors  # noqa: E402
from kombu import entity as kombu_entity  # noqa: E402
from oslo_log import log as logging  # noqa: E402
from oslo_messaging import transport as messaging_transport  # noqa: E402
from oslo_messaging._drivers import amqpdriver  # noqa: E402
from oslo_messaging.rpc import server as messaging_server  # noqa: E402

from trove.common import cfg, envelope, exception  # noqa: E402
from trove.common.cfg import CONF  # noqa: E402
from trove.common.context import TroveContext  # noqa: E402

LOG = logging.getLogger(__name__)

CONTROL_EXCHANGE = "trove"
RPC_API_VERSION = "1.0"
# Release names that [upgrade_levels] understands; another text is taken as a version number.
VERSION_ALIASES = {"icehouse": "1.0", "juno": "1.0", "kilo": "1.0", "liberty": "1.0", "mitaka": "1.0"}

# The library registers transport_url only when a transport is made; programs check it before.
CONF.register_opts(messaging_transport._transport_opts)

# Characters of what a guest says of an error.
_LONGEST_ERROR = 500

_transport = None


def _leave_what_comes_after_stop():
    """Let a server that stops leave the messages that still arrive to the broker, for the next server.

    The library acknowledges what is delivered while the connection is being closed, and then forgets it: without this
    every SIGTERM of a service loses messages.
    """
    receive = amqpdriver.RpcAMQPListener.__call__

    def receive_unless_stopped(self, message):
        if not self._shutdown.is_set():
            receive(self, message)

    amqpdriver.RpcAMQPListener.__call__ = receive_unless_stopped


_leave_what_comes_after_stop()


class ContextSerializer(messaging.NoOpSerializer):
    """Carries a TroveContext as a dict.

    from_guests: of what guests send only the origin is taken over, which is sealed; for whom they act they cannot say.
    """

    def __init__(self, from_guests=False):
        self.from_guests = from_guests

    def serialize_context(self, ctxt):
        return ctxt.to_dict()

    def deserialize_context(self, ctxt):
        context = TroveContext.from_dict({"origin": ctxt.get("origin")} if self.from_guests else ctxt)
        context.update_store()  # what this thread logs from now on belongs to this message
        return context


def broker_passwords():
    """The passwords of the brokers in ``transport_url``; [""] when it names none, [] for the transport of tests."""
    url = messaging.TransportURL.parse(CONF)
    if url.transport != "rabbit":
        return []
    return [host.password or "" for host in url.hosts] or [""]


def require_broker_password():
    """Refuse to go on when ``transport_url`` names a broker without a password of one's own (SystemExit)."""
    if any(password.strip().lower() in cfg.PLACEHOLDERS for password in broker_passwords()):
        raise SystemExit("Cannot start: set [DEFAULT] transport_url to rabbit://USER:PASSWORD@HOST:PORT/ with a "
                         "password of your own (it is not set, empty or a placeholder).")


def get_transport():
    """The process's transport, made at first use from ``transport_url``."""
    global _transport
    if _transport is None:
        messaging.set_transport_defaults(control_exchange=CONTROL_EXCHANGE)
        _transport = messaging.get_rpc_transport(CONF, allowed_remote_exmods=["trove.common.exception"])
    return _transport


def cleanup():
    """Close the transport; the next use makes a new one (tests, and after a fork)."""
    global _transport
    if _transport is not None:
        _transport.cleanup()
        _transport = None


def version_cap(service):
    """The highest RPC version to send to ``service`` (taskmanager, guestagent or conductor); None for no cap."""
    level = CONF.upgrade_levels[service]
    if level in VERSION_ALIASES:
        return VERSION_ALIASES[level]
    return level if level and level.replace(".", "").isdigit() else None


def get_client(topic, service):
    """An RPC client for ``topic``, capped for ``service``; every call is prepared with the cap as its version."""
    cap = version_cap(service)
    target = messaging.Target(topic=topic, version=cap or RPC_API_VERSION)
    # Without a number of retries a sender would wait for a dead broker for ever.
    return messaging.get_rpc_client(get_transport(), target, version_cap=cap, serializer=ContextSerializer(),
                                    retry=CONF.rpc_send_retries)


class _Signed:
    """A context as the client sends it to a guest, with the proof of one command and its origin beside it."""

    def __init__(self, context, proof, origin):
        self.context = context
        self.proof = proof
        self.origin = origin

    def to_dict(self):
        return {**self.context.to_dict(), "trace_info": None, "origin": self.origin, "proof": self.proof}


def signed(context, key, method, args, origin=None):
    """The context with which to send ``method`` (with ``args``) to a guest whose key is ``key``; good for one send.

    origin: of ``trove.common.origin``.
    """
    sent = time.time()
    return _Signed(context, {"sent": sent, "proof": envelope.sign(key, method, args, sent)}, origin)


class _Dispatcher(messaging.RPCDispatcher):
    """Hands messages to the endpoints. With a key only those whose proof fits; errors of ours are no surprises."""

    def __init__(self, endpoints, key, from_guests, around):
        super().__init__(endpoints, ContextSerializer(from_guests), messaging.ExplicitRPCAccessPolicy)
        self.key = key
        self.around = around

    def _verify(self, message, context):
        proof = context.get("proof")
        if not isinstance(proof, dict):
            proof = {}
        try:
            envelope.verify(self.key, message.get("method"), message.get("args", {}), proof.get("sent"),
                            proof.get("proof"))
        except envelope.BadProof as error:
            LOG.warning("Refused the command %s: %s", message.get("method"), error)
            raise exception.Forbidden(f"The command was refused: {error}.") from error

    def dispatch(self, incoming):
        try:
            if self.key is not None:
                self._verify(incoming.message, incoming.ctxt)
            with self.around(incoming.ctxt, incoming.message.get("method")):
                return super().dispatch(incoming)
        except exception.TroveError:
            # The caller gets it as it is; the library would log a traceback for an answer that is no fault.
            raise messaging.ExpectedException() from None


def _nothing_around(_context, _method):
    return contextlib.nullcontext()


def get_server(topic, server, endpoints, key=None, from_guests=False, around=_nothing_around):
    """An RPC server (threads) that answers ``topic`` as ``server`` with the methods of ``endpoints``.

    key: when given, only commands with a proof made with this key are obeyed (``signed``); from_guests: whether the
    messages are those of guests, whose word on who asks counts for nothing; around: gives, for the context (dict) and
    the method of a message, the context manager within which it is worked on.
    """
    target = messaging.Target(topic=topic, server=server, version=RPC_API_VERSION)
    for endpoint in endpoints:
        if not hasattr(endpoint, "target"):
            endpoint.target = messaging.Target(version=RPC_API_VERSION)
    return messaging_server.RPCServer(get_transport(), target, _Dispatcher(endpoints, key, from_guests, around),
                                      "threading")


def never_declare_exchange():
    """Let this process use the control exchange without making it: for guests, whose broker user may not.

    Whoever may declare an exchange may also delete it, and that would silence every other guest. While the exchange
    is missing (the broker was wiped and no service is back yet) the connection is retried like a lost one.
    """
    declare = kombu_entity.Exchange.declare

    def declare_passively(self, nowait=False, passive=None, channel=None):
        if self.name != CONTROL_EXCHANGE:
            return declare(self, nowait=nowait, passive=passive, channel=channel)
        try:
            return declare(self, nowait=nowait, passive=True, channel=channel)
        except amqp_errors.NotFound as error:
            raise amqp_errors.RecoverableConnectionError(
                f"exchange {CONTROL_EXCHANGE} does not exist; a service of the control plane makes it") from error

    kombu_entity.Exchange.declare = declare_passively


expose = messaging.expose
# The bus did not take a message. Named here so that nobody imports the library before its threads are chosen above.
DeliveryFailure = messaging.MessageDeliveryFailure
# How the start of a server ends when the broker knows the user not, or does not allow it what it needs.
REFUSALS = (messaging.MessageDeliveryFailure, amqp_errors.AccessRefused)


def declare_queue(topic, server):
    """Make the queue of a server that is yet to start, so that a cast sent before it starts is kept.

    Raises DeliveryFailure when the broker does not answer.
    """
    # A listener waits for a dead broker for ever, a sender does not. Nobody reads this topic.
    get_client(f"{topic}.nobody", "guestagent").prepare().cast(TroveContext(overwrite=False), "knock")

    class Nobody:
        target = messaging.Target(version=RPC_API_VERSION)

    listener = get_server(topic, server, [Nobody()])
    listener.start()
    listener.stop()
    listener.wait()


class GuestErrors:
    """Context around one command to a guest: a late answer becomes GuestTimeout, every other failure GuestError.

    What the guest refused for a reason of the caller (NotFound, BadValue, not supported) stays as it is.
    """

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if not isinstance(error, Exception) or (isinstance(error, exception.TroveError) and error.code < 500):
            return False
        if isinstance(error, messaging.MessagingTimeout):
            raise exception.GuestTimeout() from error
        if isinstance(error, DeliveryFailure):
            LOG.warning("A command to a guest was not sent: %s", error)
            # The library's words name the broker's address, which is no tenant's business.
            raise exception.GuestError(original="the message bus does not answer") from error
        LOG.warning("A command to a guest failed: %s", error, exc_info=LOG.logger.isEnabledFor(std_logging.DEBUG))
        # The library rebuilds exceptions of Python itself, with the guest's traceback in their text after a newline.
        original = getattr(error, "value", None) or str(error)
        raise exception.GuestError(original=str(original).partition("\n")[0][:_LONGEST_ERROR]) from error
