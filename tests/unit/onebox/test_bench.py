"""The figures that tools/bench prints."""
import pytest
from onebox import bench


def test_summary():
    """Of known numbers."""
    assert bench.summary(range(1, 101)) == {"p50": 50.5, "p99": 99, "max": 100}
    assert bench.summary([1, 4]) == {"p50": 2.5, "p99": 4, "max": 4}
    assert bench.summary([2]) == {"p50": 2, "p99": 2, "max": 2}


def test_the_table_has_the_conditions_and_every_cell():
    """Notes stand behind their row."""
    state = bench.conditions()
    shown = bench.text({"before": state, "after": state, "rows": [
        {"what": "a", "seconds": 1.5, "note": "quick"}, {"what": "longer", "seconds": None}]})
    assert shown.count("load ") == 2
    assert f"{state['cpus']} CPUs" in shown
    assert shown.splitlines()[-3:] == ["what    seconds", "a       1.5      quick", "longer"]


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_count_that_measures_nothing_is_refused(count, monkeypatch, capsys):
    """With a sentence, before anything is started."""
    monkeypatch.setattr("sys.argv", ["tools/bench", "create", "--count", count])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 2
    assert "is not a number from 1 on" in capsys.readouterr().err


def test_a_state_directory_of_somebody_else_is_a_sentence(tmp_path, monkeypatch, capsys):
    """And no traceback."""
    (tmp_path / "thesis.txt").write_text("mine")
    monkeypatch.setenv("TROVE_STATE", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["tools/bench", "memory"])
    assert bench.main() == 1
    assert "TROVE_STATE" in capsys.readouterr().err
