"""The agent's only wait loop: what it returns, how often it looks, and how it gives up."""
from types import SimpleNamespace

import pytest

from trove.common import exception
from trove.guestagent.common import waiting
from trove.guestagent.common.waiting import wait_until


@pytest.fixture
def clock(monkeypatch):
    """A clock that only pauses move; ``pauses`` are those that were made."""
    clock = SimpleNamespace(now=100.0, pauses=[])

    def sleep(seconds):
        clock.pauses.append(round(seconds, 3))
        clock.now += seconds

    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    return clock


def test_what_the_predicate_gives_is_returned_at_once(clock):
    assert wait_until(lambda: "here", "It") == "here"
    assert clock.pauses == []


def test_pauses_grow_up_to_the_longest(clock):
    looks = iter([None, 0, "", [], False, "here"])
    assert wait_until(lambda: next(looks), "It", seconds=100, pause=1, longest=2) == "here"
    assert clock.pauses == [1, 1.5, 2, 2, 2]


def test_pauses_stay_as_they_are_without_a_longest(clock):
    looks = iter([None, None, None, "here"])
    wait_until(lambda: next(looks), "It", seconds=100, pause=1)
    assert clock.pauses == [1, 1, 1]


def test_the_last_look_comes_at_the_deadline(clock, conf):
    conf.set_override("num_tries", 3)
    looks = []
    with pytest.raises(exception.PollTimeOut, match=r"The device did not happen within 3 s \(option num_tries\)"):
        wait_until(lambda: looks.append(clock.now), "The device", option="num_tries", pause=2)
    assert looks == [100, 102, 103]


def test_without_any_time_there_is_one_look(clock):
    looks = []
    with pytest.raises(exception.PollTimeOut, match="state_change_wait_time"):
        wait_until(lambda: looks.append(1), "It", seconds=0)
    assert looks == [1]


def test_the_event_is_named_when_the_wait_has_ended(clock):
    seen = []
    with pytest.raises(exception.PollTimeOut, match="The end of 2 things"):
        wait_until(lambda: seen.append(1), lambda: f"The end of {len(seen)} things", seconds=1, pause=1)


def test_errors_of_the_predicate_come_through(clock):
    with pytest.raises(OSError, match="gone"):
        wait_until(lambda: (_ for _ in ()).throw(OSError("gone")), "It")
