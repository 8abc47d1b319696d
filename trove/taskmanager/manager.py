"""The task manager's door on the bus. A message is only a wake-up: what is to be done lies in the operation."""
import re

from trove import rpc
from trove.common import security

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Manager:
    """The RPC methods of the task manager."""

    def __init__(self, runner):
        self._runner = runner

    @rpc.expose
    def wake(self, context, operation_id):
        """Begin an operation at once, which the sweep would find later."""
        # Messages here carry no proof: a guest can reach every queue at the broker by its name.
        if isinstance(operation_id, str) and _ID.fullmatch(operation_id):
            self._runner.wake(operation_id)
        else:
            security.report("message.malformed", f"{security.printable(operation_id, 64)} is no id of an operation")
