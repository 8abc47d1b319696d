"""The notification bus: which drivers send, and sending one notification; used by the outbox and its sender only."""
from trove import rpc
from trove.common.cfg import CONF
from trove.common.context import TroveContext

# The library registers them only when a notifier is made; whether anybody wants notifications is asked before.
CONF.register_opts(rpc.messaging.notify.notifier._notifier_opts, group="oslo_messaging_notifications")

_sender = None


def drivers():
    """The names of the drivers that send notifications; [] when nobody wants any."""
    return CONF.oslo_messaging_notifications.driver or CONF.notification_driver


class _Sender:
    """A notifier that tells when the bus did not take a message: the library's only logs that."""

    def __init__(self):
        rpc.messaging.set_transport_defaults(control_exchange=rpc.CONTROL_EXCHANGE)
        CONF.set_default("driver", drivers(), group="oslo_messaging_notifications")
        transport = rpc.messaging.get_notification_transport(CONF)
        self._send = transport._send_notification
        transport._send_notification = self._remember_failure
        self._failure = None
        self.notifier = rpc.messaging.Notifier(transport, serializer=rpc.ContextSerializer(),
                                               retry=CONF.rpc_send_retries)

    def _remember_failure(self, *args, **kwargs):
        try:
            self._send(*args, **kwargs)
        except Exception as error:  # a first connection fails with the errors of kombu
            self._failure = error
            raise

    def notify(self, publisher, event_type, payload):
        self._failure = None
        context = TroveContext(request_id=payload.get("request_id"), project_id=payload.get("tenant_id"),
                               overwrite=False)
        self.notifier.prepare(publisher_id=publisher).info(context, event_type, payload)
        if self._failure is not None:
            raise rpc.DeliveryFailure(str(self._failure)) from self._failure


def notify(publisher, event_type, payload):
    """Send a notification (level INFO); for one thread of a process. Raises rpc.DeliveryFailure."""
    global _sender
    if _sender is None:
        _sender = _Sender()
    _sender.notify(publisher, event_type, payload)


def cleanup():
    """Close the transport; the next use makes a new one."""
    global _sender
    if _sender is not None:
        _sender.notifier.transport.cleanup()
        _sender = None
