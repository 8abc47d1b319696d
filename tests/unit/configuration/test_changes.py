"""Decisions about values of configuration groups, as tables (rest-api 3.5, rpc 9.8-9.10, 9a)."""
import pytest

from trove.common import exception
from trove.configuration import changes
from trove.configuration.changes import Rule

RULES = {rule.name: rule for rule in (
    Rule("max_connections", "integer", False, 1, 100), Rule("autocommit", "boolean", False),
    Rule("sql_mode", "string", False), Rule("port", "integer", True, None, None), Rule("odd", "list", False),
    Rule("long_query_time", "float", False, 0, 31536000))}


@pytest.mark.parametrize(("given", "checked"), [
    ({}, {}),
    ({"max_connections": 1}, {"max_connections": 1}),
    ({"max_connections": 100}, {"max_connections": 100}),
    ({"MAX_Connections": 5}, {"max_connections": 5}),
    ({"autocommit": False, "sql_mode": ""}, {"autocommit": False, "sql_mode": ""}),
    ({"port": -(2**70)}, {"port": -(2**70)}),
    ({"sql_mode": "x" * 128}, {"sql_mode": "x" * 128}),
    ({"sql_mode": 5}, {"sql_mode": "5"}), ({"sql_mode": True}, {"sql_mode": "ON"}),
    ({"max_connections": "5"}, {"max_connections": 5}), ({"port": "16M"}, {"port": 16 << 20}),
    ({"port": "-1"}, {"port": -1}), ({"port": "2k"}, {"port": 2048}),
    ({"autocommit": 1}, {"autocommit": True}), ({"autocommit": 0}, {"autocommit": False}),
    ({"autocommit": "ON"}, {"autocommit": True}), ({"autocommit": "off"}, {"autocommit": False}),
    ({"autocommit": "true"}, {"autocommit": True}), ({"autocommit": "0"}, {"autocommit": False}),
    ({"long_query_time": 0.5}, {"long_query_time": 0.5}), ({"long_query_time": "0.5"}, {"long_query_time": 0.5}),
    ({"long_query_time": 2}, {"long_query_time": 2.0}), ({"long_query_time": ".25"}, {"long_query_time": 0.25}),
])
def test_values_that_fit(given, checked):
    assert changes.check(given, RULES) == checked


@pytest.mark.parametrize(("given", "says"), [
    ({"nothing": 1}, "values.nothing: .* no such parameter"),
    ({"": 1}, "no such parameter"),
    ({"max_connections": 0}, "values.max_connections: must be at least 1"),
    ({"max_connections": 101}, "at most 100"),
    ({"max_connections": "five"}, "type integer: a whole number such as 100"),
    ({"max_connections": "1 "}, "type integer"),
    ({"max_connections": "0.5"}, "type integer"),
    ({"max_connections": 5.0}, "type integer"),
    ({"max_connections": True}, "type integer"),
    ({"max_connections": None}, "type integer"),
    ({"autocommit": 2}, "type boolean: true or false"),
    ({"autocommit": "yes"}, "type boolean"),
    ({"autocommit": None}, "type boolean"),
    ({"long_query_time": -0.1}, "at least 0"),
    ({"long_query_time": True}, "type float: a number such as 0.5"),
    ({"long_query_time": "nan"}, "type float"),
    ({"long_query_time": float("inf")}, "type float"),
    ({"long_query_time": 10**400}, "type float"),
    ({"long_query_time": "1s"}, "type float"),
    ({"sql_mode": ["a"]}, "type string"),
    ({"sql_mode": "x" * 129}, "at most 128 characters"),
    ({"sql_mode": "a\n[client]"}, "one line"),
    ({"port": 10**128}, "at most 128 characters"),
    ({"max_connections": 5, "MAX_CONNECTIONS": 6}, "given twice"),
])
def test_values_that_do_not(given, says):
    with pytest.raises(exception.UnprocessableEntity, match=says):
        changes.check(given, RULES)


def test_a_parameter_of_an_unknown_type_and_a_version_without_any():
    with pytest.raises(exception.BadRequest, match=r"values.odd: .* unknown type 'list'"):
        changes.check({"odd": 1}, RULES)
    with pytest.raises(exception.UnprocessableEntity, match="not supported"):
        changes.check({}, {})


@pytest.mark.parametrize(("value", "name"), [
    (True, "autocommit"), (False, "autocommit"), (7, "max_connections"), (-1, "port"), ("", "sql_mode"),
    ("true", "sql_mode"), ("12", "sql_mode"), (0.5, "long_query_time"), (31536000.0, "long_query_time")])
def test_stored_values_come_back_as_they_were(value, name):
    found = changes.from_text(changes.to_text(value), RULES[name])
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("old", "new", "gone"), [
    ({}, {}, []), ({"a": 1}, {"a": 2}, []), ({"a": 1, "b": 1}, {"b": 1, "c": 1}, ["a"]),
    ({"b": 1, "a": 1}, {}, ["a", "b"]),
])
def test_what_is_gone(old, new, gone):
    assert changes.removed(old, new) == gone


@pytest.mark.parametrize(("values", "gone", "needed"), [
    ({}, [], False), ({"max_connections": 1}, [], False), ({"max_connections": 1}, ["autocommit"], False),
    ({"port": 1}, [], True), ({"max_connections": 1, "port": 1}, [], True), ({}, ["port"], True),
    ({"max_connections": 1}, ["port"], True), ({}, ["not a parameter any more"], True), ({"gone": 1}, [], True),
])
def test_whether_a_restart_is_needed(values, gone, needed):
    assert changes.needs_restart(values, gone, RULES) is needed


@pytest.mark.parametrize(("values", "gone", "defaults", "told"), [
    ({}, [], {}, {}),
    ({"a": 1}, [], {"a": "9"}, {"a": 1}),
    ({"a": 1}, ["b", "c"], {"b": "16M"}, {"a": 1, "b": "16M", "c": None}),
    ({"a": 1}, ["a"], {"a": "9"}, {"a": 1}),
])
def test_what_the_server_is_told(values, gone, defaults, told):
    assert changes.dynamic(values, gone, defaults) == told
