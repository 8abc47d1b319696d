"""What users see of the facts that a guest reports, as a table."""
import re

import pytest

from trove.common.instance import ServiceStatuses
from trove.instance import health

WELL = {"running": True, "lag": 0, "error": None}
STOPPED = {"running": False, "lag": None, "error": None}
BROKEN = {"running": False, "lag": None, "error": "Error 1062: Duplicate entry."}
GOOD = {"access": True, "volume_full": False, "binary_log": "on", "follows": False}
FOLLOWS = {**GOOD, "follows": True}
CURES = {
    "access": "no access to the database server.*restart the instance",
    "volume": "volume is full.*Resize the volume",
    "saves": "cannot save its data.*restart of the instance",
    "binary_log": "switched off its binary log.*restart the instance",
    "archive": "goes on by itself|Take a backup",
    "clock": "clock of the guest is",
    "replication": "START REPLICA|create a new",
}


@pytest.mark.parametrize(("word", "facts", "replication", "is_replica", "health_word", "kinds"), [
    ("ACTIVE", {}, None, False, "HEALTHY", []),
    ("ACTIVE", GOOD, None, False, "HEALTHY", []),
    ("ACTIVE", {**GOOD, "binary_log": "off"}, None, False, "HEALTHY", []),
    ("ACTIVE", {**GOOD, "access": False}, None, False, "ACTIVE", ["access"]),
    ("ACTIVE", {**GOOD, "volume_full": True}, None, False, "ACTIVE", ["volume"]),
    ("ACTIVE", {**GOOD, "saves": True}, None, False, "HEALTHY", []),
    ("ACTIVE", {**GOOD, "volume_full": True, "saves": False}, None, False, "ACTIVE", ["volume", "saves"]),
    ("ACTIVE", {**GOOD, "binary_log": "failed"}, None, False, "ACTIVE", ["binary_log"]),
    ("ACTIVE", {**GOOD, "archive": "on"}, None, False, "HEALTHY", []),
    ("ACTIVE", {**GOOD, "archive": "late"}, None, False, "ACTIVE", ["archive"]),
    ("SHUTDOWN", {**GOOD, "archive": "late"}, None, False, "ACTIVE", []),
    ("ACTIVE", {**GOOD, "clock": -500}, None, False, "ACTIVE", ["clock"]),
    ("ACTIVE", FOLLOWS, WELL, True, "HEALTHY", []),
    ("ACTIVE", FOLLOWS, STOPPED, True, "ACTIVE", ["replication"]),
    ("ACTIVE", FOLLOWS, BROKEN, True, "ACTIVE", ["replication"]),
    ("ACTIVE", GOOD, None, True, "ACTIVE", ["replication"]),
    ("ACTIVE", {}, None, True, "HEALTHY", []),  # an agent that does not tell
    ("ACTIVE", FOLLOWS, STOPPED, False, "HEALTHY", []),  # the tenant's own replication
    ("ACTIVE", {"access": False, "volume_full": True, "clock": 130, "follows": False}, None, True, "ACTIVE",
     ["access", "volume", "replication", "clock"]),
    ("BACKUP", {"volume_full": True}, None, False, "ACTIVE", ["volume"]),
    ("RESTART_REQUIRED", FOLLOWS, STOPPED, True, "ACTIVE", ["replication"]),
    ("PROMOTE", FOLLOWS, STOPPED, True, "ACTIVE", []),
    ("REBOOT", {"access": False}, None, False, "ACTIVE", []),
    ("BUILD", {"clock": 130}, None, False, "ACTIVE", ["clock"]),
])
def test_the_health_word_and_the_fault(word, facts, replication, is_replica, health_word, kinds):
    found = health.verdict(word, ServiceStatuses.RUNNING, False, {**facts, "since": dict.fromkeys(kinds, 7)},
                           replication, is_replica)
    assert found.operating_status == health_word
    assert found.since == (7 if kinds else None)
    sentences = list(health.problems(facts, replication, is_replica).items())
    if kinds:
        assert [kind for kind, _ in sentences] == kinds
        assert found.fault == " ".join(sentence for _, sentence in sentences)
    else:
        assert found.fault is None


@pytest.mark.parametrize(("facts", "replication", "kind"), [
    ({"access": False}, None, "access"), ({"volume_full": True}, None, "volume"),
    ({"saves": False}, None, "saves"), ({"binary_log": "failed"}, None, "binary_log"),
    ({"archive": "late"}, None, "archive"),
    ({"archive": "no_room"}, None, "archive"), ({"archive": "gap"}, None, "archive"),
    ({"clock": 1}, None, "clock"), ({}, STOPPED, "replication"),
    ({}, BROKEN, "replication"), ({"follows": False}, None, "replication")])
def test_each_problem_has_its_cure(facts, replication, kind):
    [(found, sentence)] = health.problems(facts, replication, is_replica=True).items()
    assert found == kind
    assert re.search(CURES[kind], sentence)


def test_the_cause_is_told():
    assert health.problems({}, BROKEN, is_replica=True)["replication"].startswith(
        "Replication has stopped: Error 1062: Duplicate entry. Remove")


def test_facts_of_a_silent_guest_are_old():
    found = health.verdict("ERROR", ServiceStatuses.RUNNING, True, {"access": False}, None, False)
    assert found.fault is None


@pytest.mark.parametrize(("before", "news", "clock", "after"), [
    ({}, {"access": True}, 0, {"access": True, "since": {}}),
    ({}, {"access": False}, 0, {"access": False, "since": {"access": 100}}),
    ({"access": False, "since": {"access": 50}}, {"access": False}, 0, {"access": False, "since": {"access": 50}}),
    ({"access": False, "since": {"access": 50}}, {}, 0, {"access": False, "since": {"access": 50}}),
    ({"access": False, "since": {"access": 50}}, {"access": True}, 0, {"access": True, "since": {}}),
    ({"clock": 130, "since": {"clock": 50}}, {}, 0, {"since": {}}),
    ({}, {}, -500, {"clock": -500, "since": {"clock": 100}}),
])
def test_facts_are_kept_with_the_time_at_which_a_problem_began(before, news, clock, after):
    assert health.merged(before, news, None, clock, 100.5) == after


def test_a_replication_that_goes_on_again_is_no_problem_any_more():
    stopped = health.merged({}, {"follows": True}, STOPPED, 0, 100)
    assert stopped["since"] == {"replication": 100}
    assert health.merged(stopped, {"follows": True}, STOPPED, 0, 200)["since"] == {"replication": 100}
    assert health.merged(stopped, {"follows": True}, WELL, 0, 300)["since"] == {}
