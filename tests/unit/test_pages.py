"""Examples on pages are found, compared without what differs each time, and written anew."""
import pytest

from tests import pages

PAGE = """Title
=====

Text::

    $ make \\
        this
    made 10.0.0.1

    $ look

More text, then::

    $ look twice
    +----+
    | id |
    +----+

End with a ``$ sign``.
"""


def test_examples_have_command_output_and_block():
    first, second, third = pages.examples(PAGE)
    assert (first.command, first.output) == ("make this", "made 10.0.0.1")
    assert (second.command, second.output) == ("look", "")
    assert third.output == "+----+\n| id |\n+----+"
    assert first.block == second.block != third.block


def test_a_prompt_without_an_indent_is_a_mistake():
    with pytest.raises(ValueError, match="line 1: an example is indented"):
        pages.examples("$ look\n")


def test_outputs_are_written_into_the_page():
    again = pages.rewritten(PAGE, ["made 10.0.0.1", "", "+----+\n| id |\n+----+\n"])
    assert again == PAGE
    other = pages.rewritten(PAGE, ["", "seen\n\n  twice \n", "+"])
    assert "        this\n\n    $ look\n    seen\n\n      twice\n\nMore" in other
    assert other.endswith("    +\n\nEnd with a ``$ sign``.\n")


@pytest.mark.parametrize(("one", "other", "same"), [
    ("| id | 58526c0f-70da-4c97-b814-3f89fc06fcde |", "| id | 00000000-0000-4000-8000-000000000000 |", True),
    ("ip: 10.1.2.3", "ip: 10.120.230.34", True),
    ("| a  | 10.1.2.3   |\n+----+---+", "| a  | 10.1.2.30   |\n+----+-------+", True),
    ("at 2026-11-20T23:34:52", "at 2027-01-01 00:00:00", True),
    ("'seconds': 0.022,", "'seconds': 12,", True),
    ("| volume_used | 0.04 |", "| volume_used | 0.1 |", True),
    ("| password | CTeigAMMypiNqduHXMMQHXMtvgtna |", "| password | XTeigAMMypiNqduHXMMQHXMtvgtna |", True),
    ("| size | 0.04 |", "| size | 0.1 |", True),
    ("| size | 1 |", "| size | 2 |", False),
    ("| status | ACTIVE |", "| status | ERROR |", False),
    ("| version | 10.11 |", "| version | 10.6 |", False),
    ("| max_connections | 55 |", "| max_connections | 56 |", False),
    ("(HTTP 400)", "(HTTP 422)", False),
])
def test_only_what_differs_each_time_is_masked(one, other, same):
    assert (pages.masked(one) == pages.masked(other)) is same
