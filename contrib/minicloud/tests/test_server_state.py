"""What a server's status is, as tables."""

import pytest

from minicloud.api import server_state


def record(vm_state, task_state=None):
    return {"id": "s", "vm_state": vm_state, "task_state": task_state}


@pytest.mark.parametrize(
    "vm_state, task_state, guest, status",
    [
        ("building", "spawning", None, "BUILD"),
        ("building", "spawning", "running", "BUILD"),
        ("building", "deleting", None, "BUILD"),
        ("active", None, "running", "ACTIVE"),
        ("active", None, "stopped", "SHUTOFF"),
        ("active", None, "crashed", "SHUTOFF"),
        ("active", None, None, "ERROR"),
        ("stopped", None, "stopped", "SHUTOFF"),
        ("stopped", None, "running", "ACTIVE"),
        ("active", "reboot_started", "stopped", "REBOOT"),
        ("active", "reboot_started_hard", "running", "HARD_REBOOT"),
        ("active", "powering-off", "stopped", "ACTIVE"),
        ("stopped", "powering-on", "running", "SHUTOFF"),
        ("active", "resize_migrating", "running", "RESIZE"),
        ("resized", None, "running", "VERIFY_RESIZE"),
        ("resized", None, "stopped", "VERIFY_RESIZE"),
        ("resized", "resize_reverting", "running", "REVERT_RESIZE"),
        ("error", None, "running", "ERROR"),
        ("error", "deleting", None, "ERROR"),
        ("active", "deleting", None, "ACTIVE"),
    ],
)
def test_status(vm_state, task_state, guest, status):
    assert server_state.status(record(vm_state, task_state), guest) == status


@pytest.mark.parametrize(
    "action, vm_state, task_state, guest, possible",
    [
        ("reboot", "active", None, "running", True),
        ("reboot", "active", None, "crashed", True),
        ("reboot", "active", "deleting", "running", False),
        ("reboot", "building", None, None, False),
        ("os-start", "active", None, "running", False),
        ("os-start", "active", None, "crashed", True),
        ("os-stop", "stopped", None, "stopped", False),
        ("resize", "resized", None, "running", False),
        ("confirmResize", "resized", None, "running", True),
        ("revertResize", "active", None, "running", False),
        ("attach", "active", None, "running", True),
        ("attach", "building", "spawning", None, False),
    ],
)
def test_actions(action, vm_state, task_state, guest, possible):
    assert (server_state.refusal(action, record(vm_state, task_state), guest) is None) == possible


@pytest.mark.parametrize("guest, number", [("running", 1), ("stopped", 4), ("crashed", 6), (None, 0)])
def test_power_state(guest, number):
    assert server_state.power_state(guest) == number
