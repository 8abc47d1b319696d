"""How often a task manager looks at the channels of all guests."""
import pytest

from trove.taskmanager import bus_audit


@pytest.mark.parametrize(("took", "pause"), [(0.0, 5.0), (0.2, 5.0), (1.0, 20.0), (9.0, 60.0)])
def test_a_look_that_takes_long_is_made_less_often(conf, monkeypatch, took, pause):
    """At most a twentieth of the time, and at least every 12 intervals."""
    clock = iter((100.0, 100.0 + took))
    monkeypatch.setattr(bus_audit.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(bus_audit, "watch", list)
    watch = bus_audit.Watch()
    assert watch.pause() == 5.0
    watch.look()
    assert watch.pause() == pytest.approx(pause)
