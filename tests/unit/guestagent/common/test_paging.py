"""Pages of names as a table."""
import pytest

from trove.guestagent.common.paging import page

NAMES = ["b", "a", "d", "C", "é"]


@pytest.mark.parametrize(("limit", "marker", "include", "expected"), [
    (None, None, False, (["C", "a", "b", "d", "é"], None)),
    (2, None, False, (["C", "a"], "a")), (2, "a", False, (["b", "d"], "d")), (2, "d", False, (["é"], None)),
    (5, None, False, (["C", "a", "b", "d", "é"], None)), (1, "a", True, (["a"], "a")),
    (1, "é", False, ([], None)), (2, "aa", False, (["b", "d"], "d")), (2, "aa", True, (["b", "d"], "d")),
    ("2", None, False, (["C", "a"], "a")),
])
def test_pages(limit, marker, include, expected):
    assert page(NAMES, limit, marker, include) == expected


def test_following_the_markers_shows_everything_once():
    seen, marker = [], None
    while True:
        names, marker = page(NAMES, 2, marker)
        seen += names
        if marker is None:
            break
    assert seen == sorted(NAMES)


def test_nothing_is_an_empty_page():
    assert page([]) == ([], None)
