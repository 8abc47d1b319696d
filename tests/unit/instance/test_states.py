"""The table of status words and refusals, row by row."""
import itertools

import pytest

from trove.common.instance import ServiceStatuses as Service
from trove.instance import states
from trove.instance.tasks import InstanceTasks as Task

# task, server, service, backing up, silent -> word
TABLE = [
    (Task.BUILDING_ERROR_VOLUME, None, Service.NEW, False, False, "ERROR"),
    (Task.BUILDING_ERROR_TIMEOUT_GA, "ACTIVE", Service.RUNNING, False, False, "ERROR"),
    (Task.BUILDING, "ERROR", Service.NEW, False, False, "ERROR"),
    (Task.BUILDING, None, Service.NEW, False, False, "BUILD"),
    (Task.BUILDING, "ACTIVE", Service.RUNNING, False, False, "BUILD"),
    (Task.BUILDING, "ACTIVE", Service.FAILED, False, False, "FAILED"),
    (Task.REBOOTING, "ACTIVE", Service.SHUTDOWN, False, False, "REBOOT"),
    (Task.RESIZING, "VERIFY_RESIZE", Service.RUNNING, False, False, "RESIZE"),
    (Task.RESTART_REQUIRED, "ACTIVE", Service.RUNNING, False, True, "RESTART_REQUIRED"),
    (Task.PROMOTING, "ACTIVE", Service.RUNNING, False, False, "PROMOTE"),
    (Task.EJECTING, "ACTIVE", Service.RUNNING, False, False, "EJECT"),
    (Task.LOGGING, "ACTIVE", Service.RUNNING, False, False, "LOGGING"),
    (Task.NONE, "BUILD", Service.RUNNING, False, False, "BUILD"),
    (Task.NONE, "ERROR", Service.RUNNING, False, False, "ERROR"),
    (Task.NONE, "REBOOT", Service.RUNNING, False, False, "REBOOT"),
    (Task.NONE, "VERIFY_RESIZE", Service.RUNNING, False, False, "RESIZE"),
    (Task.NONE, "ACTIVE", Service.RUNNING, True, False, "BACKUP"),
    (Task.DELETING, "ACTIVE", Service.RUNNING, False, False, "SHUTDOWN"),
    (Task.DELETING, None, Service.NEW, False, False, "SHUTDOWN"),
    (Task.DELETING, "PAUSED", Service.RUNNING, False, False, "ERROR"),
    (Task.NONE, "ACTIVE", Service.PAUSED, False, False, "REBOOT"),
    (Task.NONE, "ACTIVE", Service.NEW, False, False, "BUILD"),
    (Task.NONE, "ACTIVE", Service.RUNNING, False, False, "ACTIVE"),
    (Task.NONE, "ACTIVE", Service.BLOCKED, False, False, "BLOCKED"),
    (Task.NONE, "ACTIVE", Service.CRASHED, False, False, "SHUTDOWN"),
    (Task.NONE, "ACTIVE", Service.UNKNOWN, False, False, "ERROR"),
    (Task.NONE, "ACTIVE", Service.INSTANCE_READY, False, False, "BUILD"),
    # A guest that has not reported for too long, or whose server is off, is never shown as freshly ACTIVE.
    (Task.NONE, "ACTIVE", Service.RUNNING, False, True, "ERROR"),
    (Task.NONE, "SHUTOFF", Service.RUNNING, False, True, "SHUTDOWN"),
    (Task.NONE, "SHUTDOWN", Service.RUNNING, False, False, "SHUTDOWN"),
]


@pytest.mark.parametrize("task, server, service, backing_up, silent, word", TABLE)
def test_word(task, server, service, backing_up, silent, word):
    assert states.api_status(task, server, service, backing_up, silent) == word


def test_every_combination_has_a_known_word():
    servers = (None, "ACTIVE", "BUILD", "ERROR", "REBOOT", "RESIZE", "VERIFY_RESIZE", "SHUTOFF", "SHUTDOWN", "PAUSED")
    known = {*states.WORDS, "DELETED"}
    for task, server, service, backing_up, silent in itertools.product(
            Task.all(), servers, Service.all(), (False, True), (False, True)):
        assert states.api_status(task, server, service, backing_up, silent) in known


def test_a_silent_guest_is_never_active():
    for task, service in itertools.product(Task.all(), Service.all()):
        assert states.api_status(task, "ACTIVE", service, silent=True) != "ACTIVE"


@pytest.mark.parametrize("word, service, expected", [
    ("ACTIVE", Service.RUNNING, "HEALTHY"), ("BUILD", Service.NEW, ""), ("SHUTDOWN", Service.SHUTDOWN, "SHUTDOWN"),
])
def test_operating_status(word, service, expected):
    assert states.operating_status(word, service) == expected


@pytest.mark.parametrize("action, task, server, service, backing_up, offending", [
    ("restart", Task.NONE, "ACTIVE", Service.RUNNING, False, None),
    ("restart", Task.RESTART_REQUIRED, "ACTIVE", Service.RUNNING, False, None),
    ("restart", Task.NONE, "ACTIVE", Service.SHUTDOWN, False, None),
    ("restart", Task.BUILDING, "ACTIVE", Service.RUNNING, False, "BUILDING"),
    ("restart", Task.NONE, "SHUTOFF", Service.RUNNING, False, "SHUTOFF"),
    ("restart", Task.NONE, "ACTIVE", Service.NEW, False, "new"),
    ("restart", Task.NONE, "ACTIVE", Service.RUNNING, True, "BACKUP"),
    ("attach_configuration", Task.RESTART_REQUIRED, "ACTIVE", Service.RUNNING, False, "RESTART_REQUIRED"),
])
def test_refusal_names_the_offending_word(action, task, server, service, backing_up, offending):
    sentence = states.refusal(action, task, server, service, backing_up)
    assert sentence is None if offending is None else offending in sentence


def test_delete_is_legal_in_every_state():
    for task, service in itertools.product(Task.all(), Service.all()):
        assert states.refusal("delete", task, "ERROR", service, backing_up=True) is None


def test_codes_and_texts_occur_once():
    for things, text in ((Task.all(), "description"), (Service.all(), "description")):
        assert len({thing.code for thing in things}) == len(things)
        assert len({getattr(thing, text) for thing in things}) == len(things)
    for task in Task.all():
        assert Task.from_code(task.code) is task
    for status in Service.all():
        assert Service.from_code(status.code) is status
        assert Service.from_description(status.description) is status
