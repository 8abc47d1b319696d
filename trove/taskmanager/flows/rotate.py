"""Replace the secrets of a guest that runs: its key, its broker account and its certificate, and the certificate of its
database server. No database is restarted.

The old secrets stay valid until the guest was heard with the new ones. A rotation that fails leaves both; the next one
gives out the same again and goes on from there.
"""
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import bus, secrets


def done(_session, _work):
    """Nothing of the instance changes."""


def failed(_session, _work, _step, _error, _message):
    """Leave both generations valid: the guest may have either. The operation keeps the error."""
    return False


FLOW = Flow("guest.rotate", done=done, failed=failed, steps=(
    Step("make", secrets.make, "guest_bus_time_out", InstanceTasks.NONE),
    Step("deliver", secrets.deliver, "guest_rotation_time_out", InstanceTasks.NONE),
    Step("heard", secrets.wait_until_heard, "guest_rotation_time_out", InstanceTasks.NONE),
    Step("old_accounts", bus.delete_old_accounts, "guest_bus_time_out", InstanceTasks.NONE),
    Step("server_certificate", secrets.certify_server, "guest_rotation_time_out", InstanceTasks.NONE),
))
