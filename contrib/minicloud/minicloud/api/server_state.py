"""What a server's status is: pure functions over its record and what the host says of its guest."""

# Nova's numbers
NO_STATE, RUNNING, SHUT_DOWN, CRASHED = 0, 1, 4, 6

# While one of these is going on the guest's state on the host is in motion: the record alone tells the status.
TASK_STATUS = {
    "reboot_started": "REBOOT",
    "reboot_started_hard": "HARD_REBOOT",
    "resize_migrating": "RESIZE",
    "resize_reverting": "REVERT_RESIZE",
}

# action: (vm states in which it is legal); a running task refuses all but deletion.
ALLOWED = {
    "reboot": ("active", "stopped", "error"),
    "os-stop": ("active", "error"),
    "os-start": ("stopped",),
    "resize": ("active", "stopped"),
    "confirmResize": ("resized",),
    "revertResize": ("resized",),
    "migrate": ("active", "stopped"),
    "attach": ("active", "stopped", "resized"),
    "detach": ("active", "stopped", "resized"),
}


def vm_state(server, guest):
    """The vm_state with the host's truth put in.

    :param server: the record; its ``vm_state`` is what was last wanted: building, active, stopped, resized or error.
    :param guest: "running", "stopped", "crashed", or None when the host knows no such guest.
    """
    recorded = server["vm_state"]
    if server["task_state"] or recorded not in ("active", "stopped", "resized"):
        return recorded
    if guest is None:
        return "error"
    if recorded == "resized":
        return recorded
    return "active" if guest == "running" else "stopped"


def status(server, guest):
    """The status that users see: ACTIVE, BUILD, SHUTOFF, ERROR, VERIFY_RESIZE, or one of TASK_STATUS."""
    if (
        server["vm_state"] in ("active", "stopped", "resized", "error")
        and server["task_state"] in TASK_STATUS
    ):
        return TASK_STATUS[server["task_state"]]
    return {
        "building": "BUILD",
        "active": "ACTIVE",
        "stopped": "SHUTOFF",
        "resized": "VERIFY_RESIZE",
        "error": "ERROR",
    }[vm_state(server, guest)]


def power_state(guest):
    """Nova's power state for what the host says."""
    return {"running": RUNNING, "stopped": SHUT_DOWN, "crashed": CRASHED}.get(guest, NO_STATE)


def refusal(action, server, guest):
    """Why the action is not possible now, or None."""
    if server["task_state"]:
        return f"Cannot '{action}' instance {server['id']} while it is in task_state {server['task_state']}"
    state = vm_state(server, guest)
    if state not in ALLOWED[action]:
        return f"Cannot '{action}' instance {server['id']} while it is in vm_state {state}"
    return None
