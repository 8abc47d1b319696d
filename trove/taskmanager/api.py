"""RPC client of the task manager, used by the API."""
from oslo_log import log as logging

from trove import rpc
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)


class API:
    """Sends the task manager's only message."""

    def __init__(self, context):
        self.context = context

    def wake(self, operation_id):
        """Let the task manager begin an operation at once, whose row is committed.

        A cast: if it is lost, the task manager's sweep finds the operation.
        """
        try:
            rpc.get_client(CONF.taskmanager_queue, "taskmanager").prepare().cast(
                self.context, "wake", operation_id=operation_id)
        except Exception as error:  # noqa: BLE001 - the bus may be down; the sweep finds the operation
            LOG.warning("Could not wake the task manager for operation %s: %s", operation_id, error)
