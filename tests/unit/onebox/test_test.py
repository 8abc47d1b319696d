"""What tools/test runs for a stage."""
import pytest
from onebox import test


@pytest.mark.parametrize("stage", test.STAGES)
def test_only_the_quick_tests_are_measured(stage):
    assert test._commands(stage, with_coverage=False) == test.STAGES[stage]
    *commands, last = test._commands(stage, with_coverage=True)
    if stage == "quick":
        assert commands == [[*command, *test.MEASURE] for command in test.STAGES[stage]]
        assert last == test.REPORT
    else:
        assert [*commands, last] == test.STAGES[stage]
