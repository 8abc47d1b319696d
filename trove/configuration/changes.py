"""What a change of a configuration group means: pure decisions over plain values.

Called by the actions of groups and instances (what is stored, whether a restart is needed) and by the flow that brings
it to a guest (what is set there and what goes back to its default). No I/O.
"""
import dataclasses

from trove.common import exception

# Widths of the columns that hold a parameter.
LONGEST_VALUE = 128
_TYPES = {"boolean": bool, "integer": int, "string": str}


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a parameter of a datastore version may be. type: boolean, integer or string; smallest, largest: or None."""

    name: str
    type: str
    restart_required: bool
    smallest: int | None = None
    largest: int | None = None


def check(values, rules):
    """The values with the parameters' own spelling of their names, all of them checked.

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
        _check_value(rule, value)
        checked[rule.name] = value
    return checked


def _check_value(rule, value):
    kind = _TYPES.get(rule.type)
    if kind is None:
        raise exception.BadRequest(f"values.{rule.name}: the parameter has the unknown type '{rule.type}'.")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise exception.UnprocessableEntity(f"values.{rule.name}: must be of the type {rule.type}.")
    if rule.type == "integer":
        if rule.smallest is not None and value < rule.smallest:
            raise exception.UnprocessableEntity(f"values.{rule.name}: must be at least {rule.smallest}.")
        if rule.largest is not None and value > rule.largest:
            raise exception.UnprocessableEntity(f"values.{rule.name}: must be at most {rule.largest}.")
    if len(to_text(value)) > LONGEST_VALUE:
        raise exception.UnprocessableEntity(f"values.{rule.name}: must have at most {LONGEST_VALUE} characters.")
    if rule.type == "string" and any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise exception.UnprocessableEntity(f"values.{rule.name}: must be one line of text.")


def to_text(value):
    """A value as it is stored."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def from_text(text, rule):
    """A stored value with the type of its parameter; rule: Rule, or None for one that is gone."""
    kind = rule.type if rule else "string"
    if kind == "boolean":
        return text.lower() in ("true", "1")
    return int(text) if kind == "integer" else text


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
    """What a running server is to be told: every value, and for what is gone its default.

    defaults: {name: text} of the configuration file; what it does not name goes back to the server's own: None.
    """
    return {**{name: defaults.get(name) for name in gone if name not in values}, **values}
