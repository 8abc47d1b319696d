"""Guests that boot take turns: the earlier ones come first, and all are alike afterwards."""
import pytest

from minicloud.host import turns
from minicloud.host.turns import Turns


@pytest.fixture
def weights():
    return {}


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: now[0])
    return now


def test_the_earlier_come_first(weights, clock):
    order = Turns(weights.__setitem__)
    for number in range(30):
        order.started(f"guest-{number}")
    given = list(weights.values())
    assert given[0] == 1024
    assert given == sorted(given, reverse=True)
    assert given[5] < given[4] < given[3] < given[2] < given[1] < given[0]
    assert given[-1] == 2


def test_they_are_alike_once_they_have_booted(weights, clock):
    order = Turns(weights.__setitem__)
    order.started("first")
    order.started("second")
    clock[0] += turns.BOOT_SECONDS
    order.booted("second")
    assert weights == {"first": 1024, "second": 1024}
    order.started("third")
    assert weights["third"] == 1024


def test_one_that_was_started_again_is_young(weights, clock):
    order = Turns(weights.__setitem__)
    order.started("first")
    order.started("second")
    clock[0] += turns.BOOT_SECONDS - 1
    order.started("second")
    clock[0] += 1
    order.booted("second")
    assert weights["second"] < 1024
