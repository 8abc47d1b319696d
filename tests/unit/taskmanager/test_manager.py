"""The task manager's door: a wake-up for what cannot be the id of an operation wakes nobody."""
import pytest

from trove.common import security
from trove.taskmanager import manager

ID = "0a0a0a0a-0000-4000-8000-00000000000a"


class Runner:
    """Stands for the runner."""

    def __init__(self):
        self.woken = []

    def wake(self, operation_id):
        self.woken.append(operation_id)


@pytest.mark.parametrize("wrong", [None, 5, {}, [ID], "", "x", ID + "\n", ID.upper() + "0", "../" + ID])
def test_what_is_no_id_wakes_nobody(monkeypatch, wrong):
    events, runner = [], Runner()
    monkeypatch.setattr(security, "_sinks", [events.append])
    door = manager.Manager(runner)
    door.wake(None, wrong)
    assert (runner.woken, [event.name for event in events]) == ([], ["message.malformed"])
    door.wake(None, ID)
    assert runner.woken == [ID]
