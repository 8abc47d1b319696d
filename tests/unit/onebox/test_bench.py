"""The figures that tools/bench prints."""
from onebox import bench


def test_summary():
    """Of known numbers."""
    assert bench.summary(range(1, 101)) == {"p50": 50.5, "p99": 99, "max": 100}
    assert bench.summary([2]) == {"p50": 2, "p99": 2, "max": 2}


def test_the_table_has_the_conditions_and_every_cell():
    """Notes stand behind their row."""
    state = bench.conditions()
    shown = bench.text({"before": state, "after": state, "rows": [
        {"what": "a", "seconds": 1.5, "note": "quick"}, {"what": "longer", "seconds": None}]})
    assert shown.count("load ") == 2
    assert f"{state['cpus']} CPUs" in shown
    assert shown.splitlines()[-3:] == ["what    seconds", "a       1.5      quick", "longer"]
