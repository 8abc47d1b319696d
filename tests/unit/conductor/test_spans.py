"""Parts of traces that guests tell: what is taken, where it is put, and what no guest can do with them."""
import copy

import pytest

from tests.unit.conductor.test_conductor import GUEST, send
from trove.common import origin, profile
from trove.common.context import TroveContext
from trove.conductor import spans

TRACE = {"base_id": "b-1", "parent_id": "p-1"}
PART = {"name": "guest", "detail": "prepare", "inside": None, "begun": 3.0, "ended": 1.0}
INNER = {"name": "command", "detail": "mkfs", "inside": 0, "begun": 2.5, "ended": 2.0, "error": "ProcessError"}


@pytest.fixture
def points(conf, db, monkeypatch):
    """What would be stored."""
    found = []

    class Store:
        put = found.append
    monkeypatch.setattr(profile, "_store", Store)
    spans._counts.clear()
    return found


def sealed(instance_id=GUEST, trace=TRACE):
    values = origin.seal(instance_id, TroveContext(request_id="req-1", trace_info=trace, overwrite=False), 60)
    return TroveContext(origin=values, overwrite=False)


def test_they_come_below_the_command_that_the_control_plane_sent(points):
    send("report_spans", spans=[PART, INNER], context=sealed())
    outer, _, inner, end = points
    assert (outer["base_id"], outer["parent_id"], outer["name"]) == ("b-1", "p-1", "guest-start")
    assert (inner["base_id"], inner["parent_id"], end["name"]) == ("b-1", outer["trace_id"], "command-stop")
    assert (inner["service"], inner["host"]) == ("guestagent", GUEST)
    assert inner["info"] == {"what": "mkfs", "instance": GUEST, "error": "ProcessError"}
    assert outer["timestamp"] < inner["timestamp"] < end["timestamp"]


@pytest.mark.parametrize("context", [
    lambda: TroveContext(overwrite=False), lambda: sealed("another"), lambda: sealed(trace=None),
    lambda: TroveContext(overwrite=False, trace_info=TRACE), lambda: TroveContext(overwrite=False, origin={
        "request_id": "req-1", "trace": TRACE, "until": 1e12, "seal": "0"})])
def test_a_guest_without_a_trace_of_its_own_gets_into_none(points, context):
    send("report_spans", spans=[PART], context=context())
    assert points == []


@pytest.mark.parametrize("change", [
    {"name": "x" * 101}, {"name": None}, {"detail": ["x"]}, {"detail": "a\nb"}, {"inside": 0}, {"inside": -1},
    {"inside": True}, {"begun": "1"}, {"begun": -1}, {"ended": float("inf")}, {"begun": 1e9}, {"error": 5}])
def test_what_is_not_as_agents_make_it_is_dropped(points, change):
    if change.get("ended") != float("inf"):  # JSON cannot carry that
        send("report_spans", spans=[{**PART, **change}], context=sealed())
        assert points == []
    with pytest.raises(ValueError):
        spans.check([{**PART, **change}])


@pytest.mark.parametrize("given", [None, {}, "text", [1], [PART] * 101])
def test_what_is_no_list_of_parts_is_dropped(points, given):
    send("report_spans", spans=given, context=sealed())
    assert points == []


def test_their_number_in_one_trace_is_bounded(points):
    for _ in range(12):
        send("report_spans", spans=[copy.copy(PART)] * 100, context=sealed())
    assert len(points) == 2 * spans.MOST_OF_A_TRACE
