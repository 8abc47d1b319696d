"""The message bus: one transport per process, clients with version caps, servers, and the context across the wire.

Used by the ``api`` modules (clients) and by ``trove.cmd`` (servers). No method of any service is named here.
"""
import builtins
import contextlib
import functools
import inspect
import json
import logging as std_logging
import re
import ssl
import sys
import uuid

# oslo.service installs eventlet and its neighbours look for it. No process of ours uses it: not to find it spares each
# of them, and every guest, its import and its warning.
sys.modules.setdefault("eventlet", None)

from oslo_service import backend as oslo_service_backend  # noqa: E402

# Chosen before oslo.messaging is imported: it would otherwise pull in eventlet, which no process of ours uses.
oslo_service_backend.init_backend(oslo_service_backend.BackendType.THREADING)

import kombu  # noqa: E402
import oslo_messaging as messaging  # noqa: E402
from amqp import exceptions as amqp_errors  # noqa: E402
from kombu import entity as kombu_entity  # noqa: E402
from kombu import exceptions as kombu_errors  # noqa: E402
from oslo_log import log as logging  # noqa: E402
from oslo_messaging import transport as messaging_transport  # noqa: E402
from oslo_messaging._drivers import amqp as driver_amqp  # noqa: E402
from oslo_messaging._drivers import amqpdriver, impl_rabbit  # noqa: E402
from oslo_messaging._drivers import common as driver_common  # noqa: E402
from oslo_messaging.rpc import server as messaging_server  # noqa: E402

from trove.common import cfg, delivery, envelope, exception, security, transport  # noqa: E402
from trove.common.cfg import CONF  # noqa: E402
from trove.common.context import TroveContext  # noqa: E402

LOG = logging.getLogger(__name__)

CONTROL_EXCHANGE = "trove"
# The exchange between services and guests that have accounts of their own. It is durable, as the queues behind it are:
# services make them, guests only use what is there.
GUESTS_EXCHANGE = transport.GUESTS_EXCHANGE
PER_INSTANCE = "per_instance"
RPC_API_VERSION = "1.0"
# Release names that [upgrade_levels] understands; another text is taken as a version number.
VERSION_ALIASES = {"icehouse": "1.0", "juno": "1.0", "kilo": "1.0", "liberty": "1.0", "mitaka": "1.0"}

# The library registers transport_url only when a transport is made; programs check it before.
CONF.register_opts(messaging_transport._transport_opts)
# And those of the driver, among them TLS.
CONF.register_opts(impl_rabbit.rabbit_opts, group="oslo_messaging_rabbit")

# Characters of what a guest says of an error.
_LONGEST_ERROR = 500
# The text of an error of a database driver: a number and the server's words.
_DRIVER = re.compile(r"\((\d{1,5}), ")
# Modules of the exceptions that the library rebuilds.
_KNOWN = ("builtins", exception.__name__)

_transport = None
_guests_transport = None
# The id of the guest that this process is the agent of, if that guest has an account of its own.
_own_account = None


# Deliveries whose ids a server remembers, to recognise those that come again after a connection was lost. More than a
# server is ever sent before it acknowledges (bus_prefetch).
_REMEMBERED_DELIVERIES = 1024


class _Listener(amqpdriver.RpcAMQPListener):
    """Takes what arrives for a server, but acknowledges it only once it is being worked on (``_Incoming.accept``).

    The broker sends no more than bus_prefetch messages ahead of that, which bounds the memory of the process, and
    keeps those of a process that dies. The library acknowledges at once: it takes whatever comes into memory, and
    forgets what comes while it is stopped.
    """

    def __call__(self, message):
        if self._shutdown.is_set():
            return
        if message.get(driver_amqp.UNIQUE_ID) in self.msg_id_cache.prev_msgids:
            # Delivered again because the connection was lost before it was acknowledged.
            message.acknowledge()
            return
        amqpdriver.AMQPListener.__call__(self, message)


class _Incoming(amqpdriver.AMQPIncomingMessage):
    """One request. Its answer is sent once, to a reply queue that exists, or dropped."""

    _accepted = False

    def accept(self):
        """Acknowledge it, once, in the thread that receives."""
        if not self._accepted:
            self._accepted = True
            self._message_operations_handler.do(self._acknowledge)

    def _acknowledge(self):
        try:
            self.message.acknowledge()
        except Exception as error:  # noqa: BLE001 - the library raises what its transport raises
            # The connection was lost. It comes again and is recognised.
            LOG.info("A message was not acknowledged: %s", error)

    def reply(self, reply=None, failure=None):
        """Send the answer, or log in one line why there is none."""
        if not self.orig_msg_id:
            return
        method = security.printable(self.message.get("method"), 64)
        try:
            answer = self._serialized(reply, failure)
        except exception.TroveError as error:
            answer = self._serialized(failure=(type(error), error, None))
        try:
            with self.listener.driver._get_connection(driver_common.PURPOSE_SEND, retry=1) as connection:
                _send_directly(connection, self.reply_q, answer)
        except (messaging.MessageUndeliverable, driver_amqp.AMQPDestinationNotFound):
            security.report("message.reply_refused",
                            f"{method} asked for an answer to {self.reply_q}, and there is no such queue")
        except DeliveryFailure as error:
            LOG.warning("The answer to %s was dropped, the message bus does not take it: %s", method, error)

    def _serialized(self, reply=None, failure=None):
        message = {"result": delivery.clean(reply), "ending": True, "_msg_id": self.msg_id, "failure": None}
        if failure:
            said = json.loads(driver_common.serialize_remote_exception(failure))
            message["failure"] = json.dumps(delivery.clean(said))
        driver_amqp._add_unique_id(message)
        return driver_common.serialize_msg(message)


def _send_directly(connection, queue, message):
    """Publish to a queue by its name: nothing is declared, and nothing waited for but the broker's word.

    Raises MessageUndeliverable when there is no such queue, DeliveryFailure after bus_reply_timeout seconds.
    """
    if _own_account is None:
        exchange, key = kombu_entity.Exchange(name="", type="direct", passive=True), queue
    else:
        exchange, key = kombu_entity.Exchange(GUESTS_EXCHANGE, "topic", passive=True), reply_key(_own_account, queue)
    connection._ensure_publishing(
        connection._publish_and_raises_on_missing_exchange, exchange, message, routing_key=key,
        timeout=CONF.bus_reply_timeout, retry=1, transport_options=messaging.TransportOptions(at_least_once=True))


def _refuse_what_nobody_would_take():
    """Refuse to send what those who receive it would reject: for its size, or for a text in it."""
    serialize = driver_common.serialize_msg

    def serialize_within_limit(message):
        packed = serialize(message)
        if not packed["oslo.message"].isascii() or "\\u" in packed["oslo.message"]:
            try:
                delivery.check_texts(message)
            except delivery.Refused as error:
                raise exception.BadRequest(f"This cannot be sent over the message bus: {error.reason}.") from None
        # As kombu packs it: in ASCII, the message being a text inside of JSON.
        size = len(json.dumps(packed))
        if size > CONF.bus_message_max_size:
            raise exception.MessageTooLarge(what=message.get("method") or "an answer", size=size,
                                            limit=CONF.bus_message_max_size)
        return packed

    driver_common.serialize_msg = serialize_within_limit


class _NotKept(messaging.TransportOptions):
    """See NOT_KEPT."""


# The transport options of a message that its sender makes again soon: it does not outlast a restart of the broker. A
# message that is kept costs the broker twice as much CPU, as each queue has files of its own.
NOT_KEPT = _NotKept()


def _let_messages_be_not_kept():
    publish = impl_rabbit.Connection._publish

    def publish_as_wanted(self, exchange, msg, routing_key=None, timeout=None, transport_options=None):
        if transport_options is NOT_KEPT:
            exchange.delivery_mode = kombu_entity.TRANSIENT_DELIVERY_MODE  # the library makes one for each message
        publish(self, exchange, msg, routing_key, timeout, transport_options)

    impl_rabbit.Connection._publish = publish_as_wanted


transport.install()
_refuse_what_nobody_would_take()
_let_messages_be_not_kept()
amqpdriver.RpcAMQPListener = _Listener
_Listener.message_cls = _Incoming
driver_amqp._MsgIdCache.DUP_MSG_CHECK_SIZE = _REMEMBERED_DELIVERIES


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
        _bound_prefetch()
        _transport = messaging.get_rpc_transport(CONF, allowed_remote_exmods=["trove.common.exception"])
    return _transport


def _bound_prefetch():
    # The driver registers its options too late to change their defaults. What an operator sets there counts.
    group = "oslo_messaging_rabbit"
    CONF.register_opts(impl_rabbit.rabbit_opts, group=group)
    CONF.set_default("rabbit_qos_prefetch_count", CONF.bus_prefetch, group=group)


def has_own_accounts():
    """Return whether each guest has an account of its own ([guest_bus] credentials)."""
    return CONF.guest_bus.credentials == PER_INSTANCE


def guests_exchange():
    """Return the name of the exchange between services and guests."""
    return GUESTS_EXCHANGE if has_own_accounts() else CONTROL_EXCHANGE


def guests_url():
    """Return the TransportURL by which this service reaches the guests.

    It is [guest_bus] transport_url or else the services' own, with the virtual host [guest_bus] virtual_host if set.
    """
    url = messaging.TransportURL.parse(CONF, CONF.guest_bus.transport_url)
    if CONF.guest_bus.virtual_host and url.transport == "rabbit":
        url.virtual_host = CONF.guest_bus.virtual_host
    return url


def get_guests_transport():
    """Return the process's transport to guests, made at first use; the services' own if both have the same URL."""
    global _guests_transport
    if _guests_transport is None:
        url = guests_url()
        if str(url) == str(messaging.TransportURL.parse(CONF)):
            return get_transport()
        _bound_prefetch()
        messaging.set_transport_defaults(control_exchange=CONTROL_EXCHANGE)
        _guests_transport = messaging.get_rpc_transport(CONF, url=url,
                                                        allowed_remote_exmods=["trove.common.exception"])
    return _guests_transport


def open_guests_connection():
    """Return a connected kombu Connection to the guests' broker, with the transport's settings (TLS, heartbeats).

    Raises one of CONNECTION_ERRORS when the broker does not answer.
    """
    driver = get_guests_transport()._driver
    return impl_rabbit.Connection(driver.conf, guests_url(), driver_common.PURPOSE_LISTEN, retry=1).connection


def prepare_reports(connection, topic):
    """Make what the conductor needs to take reports: both exchanges and the queue for guests without their own.

    connection: of ``open_guests_connection``; topic: of the conductor. Returns a channel of it.
    """
    transport.never_answer(topic)
    channel = connection.channel()
    channel.auto_decode = False  # bodies are checked before anything decodes them
    kombu_entity.Exchange(GUESTS_EXCHANGE, "topic", durable=True, channel=channel).declare()
    shared = kombu_entity.Exchange(CONTROL_EXCHANGE, "topic", durable=False)
    kombu_entity.Queue(topic, shared, routing_key=topic, durable=False, channel=channel).declare()
    return channel


def cleanup():
    """Close the transports; the next use makes new ones (tests, and after a fork)."""
    global _transport, _guests_transport
    _client.cache_clear()
    for each in (_transport, _guests_transport):
        if each is not None:
            each.cleanup()
    _transport = _guests_transport = None


def version_cap(service):
    """The highest RPC version to send to ``service`` (taskmanager, guestagent or conductor); None for no cap."""
    level = CONF.upgrade_levels[service]
    if level in VERSION_ALIASES:
        return VERSION_ALIASES[level]
    return level if level and level.replace(".", "").isdigit() else None


def get_client(topic, service):
    """An RPC client for ``topic``, capped for ``service``; every call is prepared with the cap as its version."""
    exchange = CONTROL_EXCHANGE if service == "taskmanager" else guests_exchange()
    # A conductor is sent to by guests, whose own transport leads to their virtual host.
    transport = get_guests_transport() if service == "guestagent" else get_transport()
    # Without a number of retries a sender would wait for a dead broker for ever.
    return _client(transport, exchange, topic, version_cap(service), CONF.rpc_send_retries)


@functools.lru_cache(maxsize=16)
def _client(transport, exchange, topic, cap, retry):
    # Kept, because the library registers its options again for each, which makes oslo.config read all values anew.
    target = messaging.Target(exchange=exchange, topic=topic, version=cap or RPC_API_VERSION)
    return messaging.get_rpc_client(transport, target, version_cap=cap, serializer=ContextSerializer(), retry=retry)


class _Signed:
    """A context as the client sends it to a guest, with the proof of one command and its origin beside it."""

    def __init__(self, context, proof, origin):
        self.context = context
        self.proof = proof
        self.origin = origin

    def to_dict(self):
        return {**self.context.to_dict(), "trace_info": None, "origin": self.origin, "proof": self.proof}


def signed(context, key, method, args, origin=None, valid=None, next_key=None):
    """The context with which to send ``method`` (with ``args``) to a guest whose key is ``key``; good for one send.

    origin: of ``trove.common.origin``; valid: seconds in which the guest must have it, bus_command_validity if None;
    next_key: the key that the guest is being given, if it is. It holds one of both, and either proof lets it obey.
    """
    order = envelope.new_order(CONF.bus_command_validity if valid is None else valid)
    return _Signed(context, envelope.sign_command(key, method, args, order, next_key), origin)


class _Dispatcher(messaging.RPCDispatcher):
    """Hands messages to the endpoints. With a gate only commands that it admits; errors of ours are no surprises."""

    def __init__(self, endpoints, gate, from_guests, around):
        super().__init__(endpoints, ContextSerializer(from_guests), messaging.ExplicitRPCAccessPolicy)
        self.gate = gate
        self.around = around

    def _check(self, message):
        """Refuse a message that no method takes; in one line, where the library would log a traceback."""
        method, args = message.get("method"), message.get("args", {})
        found = [getattr(endpoint, method, None) for endpoint in self.endpoints]
        found = [each for each in found if getattr(each, "exposed", False)]
        problem = None
        if not found:
            problem = f"there is no method {method}"
        elif messaging.Target(version=message.get("version")).version != RPC_API_VERSION:
            problem = f"{method} is asked for in version {message.get('version')}, and only {RPC_API_VERSION} is known"
        else:
            try:
                inspect.signature(found[0]).bind(None, **args)
            except TypeError as error:
                problem = f"{method} does not take these arguments: {error}"
        if problem:
            security.report("message.malformed", problem)
            raise exception.BadRequest(f"The command was refused: {security.printable(problem)}.")

    def dispatch(self, incoming):
        accept = getattr(incoming, "accept", lambda: None)  # the bus of tests has nothing to acknowledge
        try:
            with contextlib.ExitStack() as stack:
                self._check(incoming.message)
                method = incoming.message["method"]
                if self.gate is not None:
                    self._admit(stack, incoming, method, accept)
                stack.enter_context(self.around(incoming.ctxt, method))
                return super().dispatch(incoming)
        except envelope.BadProof as error:
            raise messaging.ExpectedException() from error
        except exception.TroveError:
            # The caller gets it as it is; the library would log a traceback for an answer that is no fault.
            raise messaging.ExpectedException() from None
        finally:
            accept()

    def _admit(self, stack, incoming, method, accept):
        try:
            order = self.gate.admit(method, incoming.message.get("args", {}), incoming.ctxt.get("proof"))
            # Not at the end: a command may take longer than a broker waits for this.
            accept()
            stack.enter_context(self.gate.in_order(method, order))
        except envelope.Replayed:
            incoming.reply = _no_answer
            raise
        except envelope.BadProof as error:
            raise exception.Forbidden(f"The command was refused: {error}.") from error


def _no_answer(*_args, **_kwargs):
    """The caller of a command that came twice gets the answer to the first one."""


def _nothing_around(_context, _method):
    return contextlib.nullcontext()


def get_server(topic, server, endpoints, gate=None, from_guests=False, around=_nothing_around):
    """An RPC server (threads) that answers ``topic`` as ``server`` with the methods of ``endpoints``.

    gate: when given, only commands that it admits are obeyed (``guestagent.common.obeyed.Gate``); from_guests: whether
    the messages are those of guests: they never get an answer, and their word on who asks counts for nothing; around:
    gives, for the context (dict) and the method of a message, the context manager within which it is worked on.
    """
    if from_guests:
        transport.never_answer(topic)
    exchange = CONTROL_EXCHANGE if gate is None and not from_guests else guests_exchange()
    target = messaging.Target(exchange=exchange, topic=topic, server=server, version=RPC_API_VERSION)
    for endpoint in endpoints:
        if not hasattr(endpoint, "target"):
            endpoint.target = messaging.Target(version=RPC_API_VERSION)
    return messaging_server.RPCServer(get_transport(), target, _Dispatcher(endpoints, gate, from_guests, around),
                                      "threading")


def reply_key(instance_id, queue):
    """Return the routing key with which the guest of an instance answers to a reply queue of a service."""
    return f"reply.{instance_id}.{queue}"


def become_guest(instance_id):
    """Let this process, the agent of a guest, use exchanges and queues of the bus without making any.

    Whoever may declare an exchange or queue may also delete it, or make it without limits. While one is missing (the
    broker was wiped, and no service is back yet) the connection is retried like a lost one. A guest with an account of
    its own answers through the guests' exchange with a key that names the guest; the default exchange is closed to it.
    """
    global _own_account
    _as_guest.add(CONTROL_EXCHANGE)
    if has_own_accounts():
        _own_account = instance_id
        _as_guest.add(GUESTS_EXCHANGE)


# Exchanges that this process must not make.
_as_guest = set()


def _fit_library_to_guests():
    """Change how oslo.messaging's driver declares and answers, where services and guests with accounts meet."""
    declare_exchange, declare_queue = kombu_entity.Exchange.declare, kombu_entity.Queue.declare
    declare_fanout = impl_rabbit.Connection.declare_fanout_consumer

    def missing(kind, name, error):
        raise amqp_errors.RecoverableConnectionError(
            f"the {kind} {name} does not exist; a service of the control plane makes it") from error

    def exchange(self, nowait=False, passive=None, channel=None):
        if self.name == GUESTS_EXCHANGE:
            self.durable, self.auto_delete = True, False
        if self.name not in _as_guest:
            return declare_exchange(self, nowait=nowait, passive=passive, channel=channel)
        try:
            return declare_exchange(self, nowait=nowait, passive=True, channel=channel)
        except amqp_errors.NotFound as error:
            return missing("exchange", self.name, error)

    def queue(self, nowait=False, channel=None):
        if _own_account is None:
            return declare_queue(self, nowait=nowait, channel=channel)
        try:
            self.queue_declare(passive=True, channel=channel)
        except amqp_errors.NotFound as error:
            missing("queue", self.name, error)
        # The library would notice only later that it may not read, and then try for ever. What comes on this channel
        # goes back to the queue with its end.
        probe = (channel or self.channel).connection.channel()
        probe.basic_qos(0, 1, False)
        probe.basic_consume(self.name, callback=lambda _message: None)
        probe.close()
        return self.name

    def fanout(self, topic, callback):
        # Nobody sends to all agents of one guest: it is one.
        if not topic.startswith("guestagent.") or not has_own_accounts():
            declare_fanout(self, topic, callback)

    kombu_entity.Exchange.declare, kombu_entity.Queue.declare = exchange, queue
    impl_rabbit.Connection.declare_fanout_consumer = fanout


@contextlib.contextmanager
def answered_by(instance_id):
    """Let the guest of an instance answer calls of this process while the block runs.

    Outside of it the broker drops what a guest sends as an answer: nobody can fill a service's reply queue uncalled.
    Raises DeliveryFailure when the broker does not answer.
    """
    if not has_own_accounts() or guests_url().transport != "rabbit":
        yield
        return
    driver = get_guests_transport()._driver
    # To make the reply queue the library would wait for a dead broker for ever, for a connection to send it does not.
    with driver._get_connection(retry=CONF.rpc_send_retries):
        queue = driver._get_reply_q()
    # The argument makes the binding one of this call, whatever other calls of the same guest are under way.
    binding = {"queue": queue, "exchange": GUESTS_EXCHANGE, "routing_key": reply_key(instance_id, queue),
               "arguments": {"call": uuid.uuid4().hex}}

    def do(method):
        with driver._get_connection(retry=CONF.rpc_send_retries) as pooled, pooled.connection._connection_lock:
            connection = pooled.connection
            connection.ensure(lambda: getattr(connection.channel, method)(**binding), retry=CONF.rpc_send_retries)
    do("queue_bind")
    try:
        yield
    finally:
        try:
            do("queue_unbind")
        except DeliveryFailure as error:
            LOG.warning("The broker still takes answers of guest %s: %s", instance_id, error)


_fit_library_to_guests()

expose = messaging.expose
# The bus did not take a message. Named here so that nobody imports the library before its threads are chosen above.
DeliveryFailure = messaging.MessageDeliveryFailure
# How the start of a server ends when the broker knows the user not, or does not allow it what it needs.
REFUSALS = (messaging.MessageDeliveryFailure, amqp_errors.AccessRefused)
NO_SUCH_QUEUE = amqp_errors.NotFound
# A connection (``open_guests_connection``, ``try_account``) is lost or was not made: the broker does not answer, or
# refuses the log-in.
CONNECTION_ERRORS = (OSError, amqp_errors.AMQPError, kombu_errors.KombuError)


def try_account(transport_url, timeout, ssl_ca_file=None, ssl_cert_file=None, ssl_key_file=None):
    """Log in at the broker that a transport_url names, and out again.

    timeout: seconds; the files: as in [oslo_messaging_rabbit], with a CA file it is done with TLS and the broker is
    verified. Raises CONNECTION_ERRORS.
    """
    url = messaging.TransportURL.parse(CONF, transport_url)
    host = url.hosts[0]
    secure = {"ca_certs": ssl_ca_file, "certfile": ssl_cert_file, "keyfile": ssl_key_file,
              "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": host.hostname} if ssl_ca_file else False
    connection = kombu.Connection(hostname=host.hostname, port=host.port, userid=host.username, password=host.password,
                                  virtual_host=url.virtual_host, ssl=secure, connect_timeout=timeout, transport="amqp")
    with contextlib.closing(connection):
        connection.connect()


def declare_queue(topic, server):
    """Make the queue of an agent that is yet to start, so that a cast sent before it starts is kept.

    Only for guests that share an account; with accounts of their own the queues are made with the account.
    Raises DeliveryFailure when the broker does not answer.
    """
    # A listener waits for a dead broker for ever, a sender does not. Nobody reads this topic.
    get_client(f"{topic}.nobody", "guestagent").prepare().cast(TroveContext(overwrite=False), "knock")

    class Nobody:
        target = messaging.Target(version=RPC_API_VERSION)

    target = messaging.Target(exchange=guests_exchange(), topic=topic, server=server)
    listener = messaging_server.RPCServer(get_guests_transport(), target, _Dispatcher([Nobody()], None, False,
                                                                                      _nothing_around), "threading")
    listener.start()
    listener.stop()
    listener.wait()


class GuestErrors:
    """Context around one command to a guest: a late answer becomes GuestTimeout, every other failure GuestError.

    What the guest refused for a reason of the caller (NotFound, BadValue, not supported), or because it cannot do it
    now (ServiceUnavailable), stays as it is.
    """

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if not isinstance(error, Exception):
            return False
        if isinstance(error, exception.Refused):  # its code would be the guest's choice
            raise exception.GuestError(original=_said_by_guest(error)) from error
        if isinstance(error, exception.ServiceUnavailable) or (
                isinstance(error, exception.TroveError) and error.code < 500):
            if type(error) in vars(exception).values():
                return False
            # The library has made a subclass whose text ends with the guest's traceback, and is as long as it likes.
            raise type(error).__mro__[1](_said_by_guest(error)) from error
        if isinstance(error, messaging.MessagingTimeout):
            raise exception.GuestTimeout() from error
        if isinstance(error, DeliveryFailure):
            LOG.warning("A command to a guest was not sent: %s", error)
            # The library's words name the broker's address, which is no tenant's business.
            raise exception.GuestError(original="the message bus does not answer") from error
        LOG.warning("A command to a guest failed: %s", error, exc_info=LOG.logger.isEnabledFor(std_logging.DEBUG))
        raise exception.GuestError(original=_said_of(error)) from error


def _said_of(error):
    """Return what the user sees of an error of a guest that is none of ours."""
    if isinstance(error, messaging.RemoteError):
        kind, text = str(error.exc_type), _said_by_guest(error.value or "")
    else:
        # The library rebuilds exceptions of Python itself, with the guest's traceback in their text after a newline.
        kind, text = next((base.__name__ for base in type(error).__mro__ if base.__module__ in _KNOWN), ""), \
            _said_by_guest(error)
    number = _DRIVER.match(text)
    if number:  # an agent of an earlier release hands on what the driver of its database server raised
        return f"the database server reported the error {number[1]}. The log of the instance's agent has its words."
    if isinstance(getattr(builtins, kind, None), type):
        return f"an unexpected error occurred ({kind}). The log of the instance's agent says more."
    return text


def _said_by_guest(text):
    return security.printable(str(text).partition("\n")[0], _LONGEST_ERROR)
