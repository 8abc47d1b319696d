"""The message bus: one transport per process, clients with version caps, servers, and the context across the wire.

Used by the ``api`` modules (clients) and by ``trove.cmd`` (servers). No method of any service is named here.
"""
import logging as std_logging

from oslo_service import backend as oslo_service_backend

# Chosen before oslo.messaging is imported: it would otherwise pull in eventlet, which no process of ours uses.
oslo_service_backend.init_backend(oslo_service_backend.BackendType.THREADING)

import oslo_messaging as messaging  # noqa: E402
from oslo_log import log as logging  # noqa: E402

from trove.common import exception  # noqa: E402
from trove.common.cfg import CONF  # noqa: E402
from trove.common.context import TroveContext  # noqa: E402

LOG = logging.getLogger(__name__)

CONTROL_EXCHANGE = "trove"
RPC_API_VERSION = "1.0"
# Release names that [upgrade_levels] understands; another text is taken as a version number.
VERSION_ALIASES = {"icehouse": "1.0", "juno": "1.0", "kilo": "1.0", "liberty": "1.0", "mitaka": "1.0"}

_transport = None


class ContextSerializer(messaging.NoOpSerializer):
    """Carries a TroveContext as a dict."""

    def serialize_context(self, ctxt):
        return ctxt.to_dict()

    def deserialize_context(self, ctxt):
        return TroveContext.from_dict(ctxt)


def broker_passwords():
    """The passwords of the brokers in ``transport_url``; [""] when it names none, [] for the transport of tests."""
    url = messaging.TransportURL.parse(CONF)
    if url.transport != "rabbit":
        return []
    return [host.password or "" for host in url.hosts] or [""]


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
    return messaging.get_rpc_client(get_transport(), target, version_cap=cap, serializer=ContextSerializer())


def get_server(topic, server, endpoints):
    """An RPC server (threads) that answers ``topic`` as ``server`` with the methods of ``endpoints``."""
    target = messaging.Target(topic=topic, server=server, version=RPC_API_VERSION)
    for endpoint in endpoints:
        if not hasattr(endpoint, "target"):
            endpoint.target = messaging.Target(version=RPC_API_VERSION)
    return messaging.get_rpc_server(get_transport(), target, endpoints, executor="threading",
                                    serializer=ContextSerializer(), access_policy=messaging.ExplicitRPCAccessPolicy)


expose = messaging.expose


def declare_queue(topic, server):
    """Make the queue of a server that is yet to start, so that a cast sent before it starts is kept."""
    class Nobody:
        target = messaging.Target(version=RPC_API_VERSION)

    listener = get_server(topic, server, [Nobody()])
    listener.start()
    listener.stop()
    listener.wait()


class GuestErrors:
    """Context manager that turns the bus's errors into GuestTimeout and GuestError (timeouts first)."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None or isinstance(error, exception.TroveError):
            return False
        if isinstance(error, messaging.MessagingTimeout):
            raise exception.GuestTimeout() from error
        if isinstance(error, (messaging.RemoteError, messaging.MessagingException)):
            LOG.warning("A guest call failed: %s", error,
                        exc_info=LOG.logger.isEnabledFor(std_logging.DEBUG))
            raise exception.GuestError(original=getattr(error, "value", None) or str(error)) from error
        return False
