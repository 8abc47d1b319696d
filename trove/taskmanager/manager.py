"""The task manager's door on the bus. A message is only a wake-up: what is to be done lies in the operation."""
import re

from trove import rpc
from trove.common import security

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Manager:
    """The RPC methods of the task manager, one for each operation that has a flow."""

    def __init__(self, runner):
        self._runner = runner

    def _wake(self, operation_id):
        # Messages here carry no proof: a guest can reach every queue at the broker by its name.
        if isinstance(operation_id, str) and _ID.fullmatch(operation_id):
            self._runner.wake(operation_id)
        else:
            security.report("message.malformed", f"{security.printable(operation_id, 64)} is no id of an operation")

    @rpc.expose
    def create_instance(self, context, instance_id, operation_id):
        """Build an instance."""
        self._wake(operation_id)

    @rpc.expose
    def delete_instance(self, context, instance_id, operation_id):
        """Delete an instance and all that belongs to it."""
        self._wake(operation_id)

    @rpc.expose
    def update_overrides(self, context, instance_id, operation_id):
        """Bring the server of an instance to the values of its configuration group."""
        self._wake(operation_id)

    @rpc.expose
    def restart(self, context, instance_id, operation_id):
        """Restart the database server of an instance."""
        self._wake(operation_id)

    @rpc.expose
    def reboot(self, context, instance_id, operation_id):
        """Reboot the server of an instance."""
        self._wake(operation_id)

    @rpc.expose
    def stop(self, context, instance_id, operation_id):
        """Stop the database server of an instance."""
        self._wake(operation_id)

    @rpc.expose
    def update_access(self, context, instance_id, operation_id):
        """Let other networks connect to an instance."""
        self._wake(operation_id)

    @rpc.expose
    def administer(self, context, instance_id, operation_id):
        """Change databases or users of an instance."""
        self._wake(operation_id)

    @rpc.expose
    def resize_flavor(self, context, instance_id, operation_id):
        """Give an instance another flavor."""
        self._wake(operation_id)

    @rpc.expose
    def resize_volume(self, context, instance_id, operation_id):
        """Let the data volume of an instance grow."""
        self._wake(operation_id)

    @rpc.expose
    def migrate(self, context, instance_id, operation_id):
        """Bring the server of an instance to another host."""
        self._wake(operation_id)

    @rpc.expose
    def create_backup(self, context, instance_id, backup_id, operation_id):
        """Take a backup of an instance."""
        self._wake(operation_id)

    @rpc.expose
    def delete_backup(self, context, backup_id, operation_id):
        """Delete a backup and its increments."""
        self._wake(operation_id)

    @rpc.expose
    def detach_replica(self, context, instance_id, operation_id):
        """Make an instance of its own of a replica."""
        self._wake(operation_id)

    @rpc.expose
    def promote_to_replica_source(self, context, instance_id, operation_id):
        """Let a replica and its source change places."""
        self._wake(operation_id)

    @rpc.expose
    def eject_replica_source(self, context, instance_id, operation_id):
        """Let a replica take the place of a dead source."""
        self._wake(operation_id)
