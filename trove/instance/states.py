"""The one table of what users see and what may be done when: pure functions over plain values.

Called by views, by the checks of actions and by the tool that draws the picture. No I/O. What it must say is fixed by
the documents (states 1 and 6).
"""
from trove.common.instance import ServiceStatuses
from trove.instance.tasks import InstanceTasks

WORDS = ("BUILD", "ACTIVE", "BLOCKED", "BACKUP", "REBOOT", "RESIZE", "RESTART_REQUIRED", "PROMOTE", "EJECT",
         "DETACH", "LOGGING", "SHUTDOWN", "FAILED", "ERROR")

# In these words a command would meet a database that is being stopped, started or built.
BUSY = frozenset(("BUILD", "REBOOT", "RESIZE", "PROMOTE", "EJECT"))

# Task actions that are shown as a word of their own, whatever server and service say.
_TASK_WORDS = {
    "REBOOTING": "REBOOT", "RESIZING": "RESIZE", "RESTART_REQUIRED": "RESTART_REQUIRED", "PROMOTING": "PROMOTE",
    "EJECTING": "EJECT", "LOGGING": "LOGGING", "DETACHING": "DETACH",
}
_SERVER_WORDS = {"BUILD": "BUILD", "ERROR": "ERROR", "REBOOT": "REBOOT", "RESIZE": "RESIZE",
                 "VERIFY_RESIZE": "RESIZE"}


def api_status(task, server_status, service_status, backing_up=False, silent=False):
    """The status word of an instance; the first rule that matches wins.

    task: InstanceTask; server_status: Nova's word in upper case, "SHUTDOWN" for a server Nova does not know, or None
    while there is none; service_status: ServiceStatus; backing_up: whether a backup of it is running; silent: whether
    the guest has not reported for longer than agent_heartbeat_expiry: it is then never shown as ACTIVE.
    """
    if task.is_error:
        return "ERROR"
    if task.action == "BUILDING":
        if service_status == ServiceStatuses.FAILED:
            return "FAILED"
        return "ERROR" if server_status == "ERROR" else "BUILD"
    if task.action in _TASK_WORDS:
        return _TASK_WORDS[task.action]
    if task == InstanceTasks.DELETING:
        return "SHUTDOWN" if server_status in (None, "ACTIVE", "SHUTDOWN", "SHUTOFF", "DELETED") else "ERROR"
    if server_status in _SERVER_WORDS:
        return _SERVER_WORDS[server_status]
    if backing_up:
        return "BACKUP"
    if service_status == ServiceStatuses.PAUSED:
        return "REBOOT"
    if service_status == ServiceStatuses.NEW:
        return "BUILD"
    if service_status.api_status == "ACTIVE" and (silent or server_status in ("SHUTOFF", "SHUTDOWN")):
        return "SHUTDOWN" if server_status in ("SHUTOFF", "SHUTDOWN") else "ERROR"
    return service_status.api_status


def operating_status(word, service_status):
    """The health word of newer clients: HEALTHY when the instance is ACTIVE, else what the service says."""
    if word == "ACTIVE":
        return "HEALTHY"
    return "" if service_status == ServiceStatuses.NEW else service_status.api_status


# Tasks from which each action may start. Deleting is legal in all others: it cancels what runs.
_IDLE = frozenset((InstanceTasks.NONE, InstanceTasks.RESTART_REQUIRED))
ALLOWED_TASKS = {
    "restart": _IDLE, "resize_flavor": _IDLE, "resize_volume": _IDLE, "migrate": _IDLE, "reboot": _IDLE,
    "backup": _IDLE, "replicate": _IDLE, "detach_replica": _IDLE, "promote": _IDLE, "eject": _IDLE,
    "attach_configuration": frozenset((InstanceTasks.NONE,)),
    # A failover that lost one of its instances in the middle would leave no server that may be written to.
    "delete": frozenset(InstanceTasks.all()) - {InstanceTasks.PROMOTING, InstanceTasks.EJECTING},
}


def refusal(action, task, server_status, service_status, backing_up=False):
    """Why ``action`` is not allowed now, as a sentence that names the offending word; None if it is allowed."""
    if action == "delete":
        return None
    dead = action == "eject"  # of what cannot be worked on any more
    if server_status not in (None, "ACTIVE") and not dead:
        return f"the status of its server is {server_status}"
    if task not in ALLOWED_TASKS[action]:
        return f"its task is {task.action} ({task.description})"
    if not service_status.action_is_allowed and not dead:
        return f"its database is {service_status.description}"
    if backing_up:
        return "a backup of it is running (BACKUP)"
    return None
