"""RPC client of the task manager, used by the API. Every method is a cast: a wake-up for an operation that is already
committed. If the cast is lost, the task manager's sweep finds the operation. Arguments live in the operation.
"""
from oslo_log import log as logging

from trove import rpc
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)


class API:
    """Sends the task manager's messages; the methods are in the order of its manager's."""

    def __init__(self, context):
        self.context = context

    def _cast(self, method, **kwargs):
        try:
            client = rpc.get_client(CONF.taskmanager_queue, "taskmanager")
            client.prepare().cast(self.context, method, **kwargs)
        except Exception as error:  # noqa: BLE001 - the bus may be down; the sweep finds the operation
            LOG.warning("Could not wake the task manager for %s %s: %s", method, kwargs, error)

    def create_instance(self, instance_id, operation_id):
        """Build an instance."""
        self._cast("create_instance", instance_id=instance_id, operation_id=operation_id)

    def delete_instance(self, instance_id, operation_id):
        """Delete an instance and all that belongs to it."""
        self._cast("delete_instance", instance_id=instance_id, operation_id=operation_id)

    def update_overrides(self, instance_id, operation_id):
        """Bring the server of an instance to the values of its configuration group."""
        self._cast("update_overrides", instance_id=instance_id, operation_id=operation_id)

    def restart(self, instance_id, operation_id):
        """Restart the database server of an instance."""
        self._cast("restart", instance_id=instance_id, operation_id=operation_id)

    def reboot(self, instance_id, operation_id):
        """Reboot the server of an instance."""
        self._cast("reboot", instance_id=instance_id, operation_id=operation_id)

    def stop(self, instance_id, operation_id):
        """Stop the database server of an instance."""
        self._cast("stop", instance_id=instance_id, operation_id=operation_id)

    def update_access(self, instance_id, operation_id):
        """Let other networks connect to an instance."""
        self._cast("update_access", instance_id=instance_id, operation_id=operation_id)

    def administer(self, instance_id, operation_id):
        """Change databases or users of an instance."""
        self._cast("administer", instance_id=instance_id, operation_id=operation_id)

    def resize_flavor(self, instance_id, operation_id):
        """Give an instance another flavor."""
        self._cast("resize_flavor", instance_id=instance_id, operation_id=operation_id)

    def resize_volume(self, instance_id, operation_id):
        """Let the data volume of an instance grow."""
        self._cast("resize_volume", instance_id=instance_id, operation_id=operation_id)

    def migrate(self, instance_id, operation_id):
        """Bring the server of an instance to another host."""
        self._cast("migrate", instance_id=instance_id, operation_id=operation_id)

    def create_backup(self, instance_id, backup_id, operation_id):
        """Take a backup of an instance."""
        self._cast("create_backup", instance_id=instance_id, backup_id=backup_id, operation_id=operation_id)

    def delete_backup(self, backup_id, operation_id):
        """Delete a backup and its increments."""
        self._cast("delete_backup", backup_id=backup_id, operation_id=operation_id)

    def detach_replica(self, instance_id, operation_id):
        """Make an instance of its own of a replica."""
        self._cast("detach_replica", instance_id=instance_id, operation_id=operation_id)

    def promote_to_replica_source(self, instance_id, operation_id):
        """Let a replica and its source change places."""
        self._cast("promote_to_replica_source", instance_id=instance_id, operation_id=operation_id)

    def eject_replica_source(self, instance_id, operation_id):
        """Let a replica take the place of a dead source."""
        self._cast("eject_replica_source", instance_id=instance_id, operation_id=operation_id)
