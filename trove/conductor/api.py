"""RPC client of the conductor, used by the guest agent: casts that report and are signed with the guest's own key."""
import time

from trove import rpc
from trove.common import delivery, envelope
from trove.common.cfg import CONF


class API:
    """The conductor's methods. Each raises oslo.messaging's MessageDeliveryFailure when the bus does not take it."""

    def __init__(self, context):
        self.context = context

    def _cast(self, method, sent, options=None, **args):
        sent = time.time() if sent is None else sent
        args = delivery.clean(args)  # names of files and words of programs may be anything
        proof = envelope.sign(CONF.guest_key, method, args, sent)
        # A guest with an account of its own has a queue of its own as well, of which the conductor reads in turn.
        topic = f"{CONF.conductor_queue}.{CONF.guest_id}" if rpc.has_own_accounts() else CONF.conductor_queue
        client = rpc.get_client(topic, "conductor")
        # One retry heals a connection that the broker closed. A report that cannot be sent now is made again later.
        client.prepare(retry=1, transport_options=options).cast(self.context, method, sent=sent, proof=proof, **args)

    def heartbeat(self, instance_id, payload, sent=None, kept=True):
        """Report the service status. payload: {"service_status": text, "agent_version": text}; an empty one is only a
        sign of life. sent: seconds since the epoch (float), now if None; older ones than the newest are dropped.
        kept: False for a report that is made again at the next interval: it need not outlast a restart of the broker.
        """
        self._cast("heartbeat", sent, None if kept else rpc.NOT_KEPT, instance_id=instance_id, payload=payload)

    def report_spans(self, instance_id, spans, sent=None):
        """Report what a traced command did. spans: as ``guestagent.common.spans`` keeps them."""
        self._cast("report_spans", sent, instance_id=instance_id, spans=spans)

    def report_root(self, instance_id, user=None, sent=None):
        """Report that root was enabled. user: who asked for it."""
        self._cast("report_root", sent, instance_id=instance_id, user=user)

    def update_backup(self, instance_id, backup_id, sent=None, **fields):
        """Report on a backup. fields: state, size (GB), segments, uploaded (bytes), checksum; note: why it failed."""
        self._cast("update_backup", sent, instance_id=instance_id, backup_id=backup_id, **fields)
