"""Decide how a change of a configuration group is carried out. Pure functions over plain values.

Called by the actions of groups and instances (what is stored, whether a restart is needed) and by the flow that brings
it to a guest (what is set there and what goes back to its default). No I/O.
"""
import dataclasses
import math
import re

from trove.common import exception

# Widths of the columns that hold a parameter.
LONGEST_VALUE = 128
# Type of a parameter -> how a refusal says what is right.
_RIGHT = {"boolean": 'true or false; 1, 0, "ON" and "OFF" are taken too',
          "integer": 'a whole number such as 100; "100" and sizes such as "64M" are taken too',
          "float": 'a number such as 0.5; "0.5" is taken too', "string": "a text, a number, true or false"}
_BOOLEANS = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
# As in option files.
_SIZE = re.compile(r"([+-]?[0-9]{1,40})([kmgtpe]?)", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Rule:
    """The type and bounds of one parameter of a datastore version.

    type: boolean, integer, float or string; smallest, largest: whole numbers or None.
    """

    name: str
    type: str
    restart_required: bool
    smallest: int | None = None
    largest: int | None = None


def check(values, rules):
    """The values with the types of their parameters and the parameters' own spelling of their names, all checked.

    values: {name: value} as a client sent them; rules: {name: Rule}. Names are compared without case.
    Raises UnprocessableEntity naming the parameter and what would be right, BadRequest for a rule of an unknown type.
    """
    if not rules:
        raise exception.UnprocessableEntity("Configuration groups are not supported for this datastore version: it "
                                            "has no parameters.")
    known = {name.lower(): rule for name, rule in rules.items()}
    checked = {}
    for name, value in values.items():
        rule = known.get(name.lower())
        if rule is None:
            raise exception.UnprocessableEntity(f"values.{name}: this datastore version has no such parameter.")
        if rule.name in checked:
            raise exception.UnprocessableEntity(f"values.{name}: the parameter {rule.name} is given twice.")
        checked[rule.name] = _checked_value(rule, value)
    return checked


def _checked_value(rule, value):
    if rule.type not in _RIGHT:
        raise exception.BadRequest(f"values.{rule.name}: the parameter has the unknown type '{rule.type}'.")
    typed = _READERS[rule.type](value)
    if typed is None:
        raise exception.UnprocessableEntity(f"values.{rule.name}: must be of the type {rule.type}: "
                                            f"{_RIGHT[rule.type]}.")
    if rule.type in ("integer", "float"):
        if rule.smallest is not None and typed < rule.smallest:
            raise exception.UnprocessableEntity(f"values.{rule.name}: must be at least {rule.smallest}.")
        if rule.largest is not None and typed > rule.largest:
            raise exception.UnprocessableEntity(f"values.{rule.name}: must be at most {rule.largest}.")
    if len(to_text(typed)) > LONGEST_VALUE:
        raise exception.UnprocessableEntity(f"values.{rule.name}: must have at most {LONGEST_VALUE} characters.")
    if rule.type == "string" and any(ord(character) < 32 or ord(character) == 127 for character in typed):
        raise exception.UnprocessableEntity(f"values.{rule.name}: must be one line of text.")
    return typed


# A value as a client sent it with the type of its parameter, None if it cannot have that.

def _boolean(value):
    return _BOOLEANS.get(str(value).lower()) if isinstance(value, (bool, int, str)) else None


def _integer(value):
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        return int(found[1]) << 10 * " kmgtpe".index(found[2].lower() or " ")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _float(value):
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _string(value):
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return str(value) if isinstance(value, (str, int, float)) else None


_READERS = {"boolean": _boolean, "integer": _integer, "float": _float, "string": _string}


def to_text(value):
    """A value as it is stored."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def from_text(text, rule):
    """A stored value with the type of its parameter; rule: Rule, or None for one that is gone."""
    kind = rule.type if rule else "string"
    if kind == "boolean":
        return text.lower() in ("true", "1")
    return {"integer": int, "float": float}.get(kind, str)(text)


def removed(old, new):
    """The names that ``new`` has no more, sorted."""
    return sorted(set(old) - set(new))


def needs_restart(values, gone, rules):
    """Whether a server has to be restarted for these values, or to lose those that are gone.

    values: {name: value}; gone: names; rules: {name: Rule}. One parameter that needs it is enough, for then nothing is
    set dynamically; a parameter that the version does not have any more counts as one.
    """
    return any(name not in rules or rules[name].restart_required for name in {*values, *gone})


def dynamic(values, gone, defaults):
    """Return the settings to apply to the running server: each value of the group, and the default of each removed one.

    values: {name: value}; gone: removed names; defaults: {name: text} of the configuration file. A removed setting that
    the file does not name becomes None, which stands for the server's own default.
    """
    return {**{name: defaults.get(name) for name in gone if name not in values}, **values}
