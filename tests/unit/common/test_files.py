"""The forms of configuration files: what is written is read again, and nothing breaks out of its line."""
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trove.common import exception
from trove.common.files.directives import Directives
from trove.common.files.ini import Ini
from trove.common.files.pairs import Pairs
from trove.conf.datastores import CARDS

# The functions are pure: only a busy machine makes an example slow.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FORMATS = {"ini": Ini("server"), "pairs": Pairs(), "directives": Directives(repeated=("save",))}
NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,12}", fullmatch=True)
ANY = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=32), max_size=30)
# An option file keeps no blanks around a value.
TEXTS = {"ini": ANY.map(str.strip), "pairs": ANY, "directives": ANY}


@pytest.mark.parametrize("name", FORMATS)
@patient
@given(data=st.data())
def test_what_is_written_is_read_again(name, data):
    values = data.draw(st.dictionaries(NAMES, TEXTS[name] | st.integers() | st.booleans(), max_size=5))
    read = FORMATS[name].parse(FORMATS[name].render(values))
    assert read == {key: FORMATS[name].text(value) for key, value in values.items()}


@pytest.mark.parametrize("name", FORMATS)
@patient
@given(text=st.text(max_size=200))
def test_any_text_can_be_read(name, text):
    assert isinstance(FORMATS[name].parse(text), dict)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("key", "value"), [("a b", 1), ("a\n[x]", 1), ("", 1), ("-a", 1), ("a'b", 1), ("a", "1\n[c]"),
                                            ("a", "1\r2"), ("a", "\x00"), ("a", "1\tb")])
def test_what_would_break_out_of_its_line_is_refused(name, key, value):
    with pytest.raises(exception.BadValue):
        FORMATS[name].render({key: value})


@pytest.mark.parametrize(("name", "values", "text"), [
    ("ini", {"b": True, "a": "16M"}, "[server]\na = 16M\nb = 1\n"), ("ini", {}, "[server]\n"),
    ("pairs", {"b": "it's", "a": 5}, "a = '5'\nb = 'it''s'\n"), ("pairs", {"a": "\\"}, "a = '\\\\'\n"),
    ("directives", {"maxmemory": "64mb", "save": "900 1"}, 'maxmemory 64mb\nsave "900 1"\n'),
    ("directives", {"a": ""}, 'a ""\n'),
])
def test_how_it_is_written(name, values, text):
    assert FORMATS[name].render(values) == text


@pytest.mark.parametrize(("name", "text", "values"), [
    ("ini", "a = 0\n[other]\na = 1\n[server]\n# c\n;c\n!include x\na=2\nskip\n b = x = y \na = 3\n[z]\na = 4\n",
     {"a": "3", "skip": "1", "b": "x = y"}),
    ("pairs", "# c\na = 1  # one\nb 'x # y'\nc='it\\'s' \nd = 'a''b'\nbroken = 'x\na = 128MB\n",
     {"a": "128MB", "b": "x # y", "c": "it's", "d": "a'b"}),
    ("directives", "# c\nSave 900 1\nsave 300 10\nbind 127.0.0.1 ::1\nx \"a \\\" b\"\ny 'it\\'s' z\nlist\nx 2\n",
     {"save": "900 1 300 10", "bind": "127.0.0.1 ::1", "x": "2", "y": "it's z", "list": ""}),
])
def test_what_people_write_is_read(name, text, values):
    assert FORMATS[name].parse(text) == values


@pytest.mark.parametrize(("written", "variable"), [
    ("max_connections", "max_connections"), ("Max-Connections", "max_connections"), ("loose_mysqlx", "mysqlx"),
    ("loose-mysqlx", "mysqlx")])
@pytest.mark.parametrize("manager", ["mysql", "mariadb", "percona"])
def test_the_mysql_family_calls_its_variables(manager, written, variable):
    assert CARDS[manager].TRAITS.file_format.variable(written) == variable
