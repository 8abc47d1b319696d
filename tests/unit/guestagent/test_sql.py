"""Names in SQL: what is quoted comes back as it was, and values never become part of a statement."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove.guestagent.datastore.mysql_common import sql


@pytest.mark.parametrize(("name", "quoted"), [("a", "`a`"), ("a`b", "`a``b`"), ("`", "````"), ("a%s", "`a%s`")])
def test_quoting(name, quoted):
    assert sql.quote(name) == quoted


@pytest.mark.parametrize(("name", "pattern"), [
    ("ab", "ab"), ("a_b", "a\\_b"), ("100%", "100\\%"), ("a\\b", "a\\\\b"), ("\\_", "\\\\\\_"),
])
def test_patterns(name, pattern):
    assert sql.as_pattern(name) == pattern
    assert sql.from_pattern(pattern) == name


@given(st.text())
def test_a_pattern_means_its_name(name):
    assert sql.from_pattern(sql.as_pattern(name)) == name


@pytest.mark.parametrize(("pattern", "name"), [("my_db", "my_db"), ("a\\", "a\\")])
def test_patterns_that_others_made(pattern, name):
    assert sql.from_pattern(pattern) == name


class Cursor:
    """Remembers what the driver was given."""

    def execute(self, statement, values):
        self.given = statement, values

    def fetchall(self):
        return ()


def test_values_are_parameters_and_names_are_quoted(conf):
    cursor = Cursor()
    sql.Session(cursor).execute("GRANT ALL ON {}.* TO %s", ["x'; DROP"], ["100%`{}"])
    assert cursor.given == ("GRANT ALL ON `100%%``{}`.* TO %s", ("x'; DROP",))
