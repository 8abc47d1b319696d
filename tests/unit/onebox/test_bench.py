"""The figures that tools/bench prints."""
import pytest
from onebox import bench, bench_fleet
from onebox.settings import SetupError


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


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "long"])
def test_minutes_that_measure_nothing_are_refused(minutes, monkeypatch, capsys):
    """With a sentence, before anything is started."""
    monkeypatch.setattr("sys.argv", ["tools/bench", "fleet", f"--minutes={minutes}"])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 2
    assert "is not a number above 0" in capsys.readouterr().err


def test_a_state_directory_of_somebody_else_is_a_sentence(tmp_path, monkeypatch, capsys):
    """And no traceback."""
    (tmp_path / "thesis.txt").write_text("mine")
    monkeypatch.setenv("TROVE_STATE", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["tools/bench", "memory"])
    assert bench.main() == 1
    assert "TROVE_STATE" in capsys.readouterr().err


@pytest.mark.parametrize(("values", "growth"), [
    ([100] * 8, 0.0), ([50, 60, 100, 100, 105, 108, 110, 110], 0.1), ([100], 0.0), ([200, 100, 100, 90], -0.1)])
def test_growth_of_memory_leaves_out_the_beginning(values, growth):
    """A process that fills its caches first does not leak."""
    watch = bench_fleet.Watch(None)
    watch.memory["trove-api"] = values
    assert watch.growth("trove-api") == pytest.approx(growth)


def test_more_agents_than_files_is_a_sentence(monkeypatch):
    """It names both numbers and the options."""
    monkeypatch.setattr(bench_fleet.resource, "getrlimit", lambda _kind: (1024, 4096))

    def refuse(_kind, limits):
        if limits[1] > 4096:
            raise ValueError("not allowed to raise maximum limit")
    monkeypatch.setattr(bench_fleet.resource, "setrlimit", refuse)
    with pytest.raises(SetupError) as caught:
        bench_fleet._allow_files(10000)
    assert "24096" in str(caught.value) and "4096" in str(caught.value) and "--agents" in str(caught.value)
