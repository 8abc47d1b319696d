"""Engines that could not be run: tools/test names each with its reason, and fails if they were demanded."""
import sys

import pytest
from onebox import test as tool

from tests import engines

LINE = "SKIPPED [12] tests/contract/conftest.py:40: engine not run: mysql:9.7: The guest system cannot be built"


def test_the_tool_and_the_tests_mean_the_same_words():
    assert tool.NOT_RUN == engines.NOT_RUN


@pytest.mark.parametrize(("arguments", "status", "word"), [([], 0, "absent"), (["--require-engines"], 1, "FAILED")])
def test_an_engine_that_was_not_run_is_named(monkeypatch, capsys, arguments, status, word):
    """From what the tests print; the option is not one of pytest's."""
    monkeypatch.setattr(tool, "STAGES", {"quick": [[sys.executable, "-c", f"print({LINE!r}); print('3 skipped')"]]})
    monkeypatch.setattr(tool, "PYTEST", ["pytest"])
    monkeypatch.setattr(sys, "argv", ["tools/test", "quick", *arguments])
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("TROVE_STATE", "/nowhere")
    assert tool.main() == status
    closing = capsys.readouterr().out.split("3 skipped\n", 1)[1]
    assert [line for line in closing.splitlines() if "mysql:9.7" in line] == [
        f"{word}  mysql:9.7        The guest system cannot be built"]


def test_an_engine_whose_programs_are_absent_is_skipped_with_its_reason():
    class Absent:
        """An engine of which nothing can be had."""

        def programs(self):
            raise RuntimeError("stone is not installed;\n it is in no package")

        def __str__(self):
            return "stone:7"

    with pytest.raises(pytest.skip.Exception, match="^engine not run: stone:7: stone is not installed; it is in"), \
            engines.running(Absent()):
        raise AssertionError("the test ran")
