"""JSON schemas of requests and answers: shapes that several resources share, and the contract of a controller's method.

Schemas of what a resource takes live in ``<resource>/schema.py``, of what it answers beside the views that make it,
in ``<resource>/views.py``. A schema says what shape a body has; what a value means is checked by the resource.
"""
from typing import NamedTuple

import jsonschema

from trove.common import exception

# Patterns are searched, and each takes time linear in the length: they also see values that are too long.
_ALPHANUMERIC = "[0-9A-Za-z]"
_PRINTABLE = r"\A[^\x00-\x1f\x7f]*\Z"

# 1..255 characters with at least one letter or digit, no control character.
text255 = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _PRINTABLE,
           "allOf": [{"pattern": _ALPHANUMERIC}]}
# 1..255 characters, no control character; what else a name may have is checked by the datastore's own rules.
printable = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _PRINTABLE}
# The name of a database user: its length is limited by the datastore's own rules.
name = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"[^\W_]"}
# What a password may contain is checked by the datastore's own rules; a message never shows it.
password = {"type": "string", "minLength": 1, "maxLength": 255}
uuid = {"type": "string", "pattern": r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"}
# An id, or a URI that ends in it.
uuid_ref = {"type": "string", "maxLength": 1024,
            "pattern": r"^([^\s]*/)?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}/?\Z"}
# The id of a network, subnet or port of the cloud; null and an empty text stand for an absent one.
cloud_id = {"anyOf": [uuid, {"enum": ["", None]}]}
size = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^[0-9]{1,40}\Z"}]}
# An id, or a URI that ends in it; openstacksdk sends an object with the id.
flavor_ref = {"anyOf": [{"type": "integer", "minimum": 0}, {
    "type": "string", "minLength": 1, "maxLength": 1024,
    "pattern": r"\A([^\x00-\x20\x7f]*/)?[A-Za-z0-9_. -]{1,255}/?\Z"}]}
host = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"\A[\w()\-.%:/]*\Z"}
# Clients turn booleans into numbers.
flag = {"anyOf": [{"type": "boolean"}, {"enum": [0, 1]}]}

# What answers contain. A time is UTC, without a zone.
timestamp = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\Z"}
string = {"type": "string"}
integer = {"type": "integer"}
number = {"type": "number"}
boolean = {"type": "boolean"}
links = {"type": "array", "items": {
    "type": "object", "required": ["rel", "href"], "additionalProperties": False,
    "properties": {"rel": {"enum": ["self", "bookmark", "next"]}, "href": {"type": "string"}}}}
# Query parameters of lists that come in pages.
PAGE = {"limit": {"type": "integer", "minimum": 1, "description": "Most items of the page."},
        "marker": {**string, "description": "Id of the last item of the page before, as the link 'next' has it; for "
                                            "users and databases the name. The item may be deleted by then."}}


def or_null(schema):
    """``schema`` or null: clients send null for what the user did not give."""
    if "type" in schema and "title" not in schema:  # the other keywords say nothing about null
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def wrapped(key, schema):
    """The schema of a body with one required top-level key."""
    return {"type": "object", "required": [key], "properties": {key: schema}}


def array(items):
    """The schema of a list."""
    return {"type": "array", "items": items}


def view(title, required, optional=None):
    """The schema of an object in answers, which has the properties named here and no others.

    title: its name in the API's document; required, optional: {property: schema}.
    """
    return {"title": title, "type": "object", "required": sorted(required), "additionalProperties": False,
            "properties": {**(optional or {}), **required}}


def answer(key, schema):
    """The schema of an answer with one top-level key."""
    return {**wrapped(key, schema), "additionalProperties": False}


def page(key, items):
    """The schema of an answer that is one page of a list: the items, and ``links`` when more follows."""
    return {"type": "object", "required": [key], "additionalProperties": False,
            "properties": {key: array(items), "links": links}}


def _closed(schema):
    """The same schema in which each object that says what it has takes nothing else."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: {name: _closed(each) for name, each in value.items()} if key == "properties" else
              value if key in ("enum", "const", "required") else _closed(value) for key, value in schema.items()}
    if "properties" in result:
        result.setdefault("additionalProperties", False)
    return result


def compiled(schema):
    """Return a validator of the schema of a body, made once at import of a schema module.

    An object with ``properties`` takes no other keys: what a body names has an effect or is refused by its name.
    """
    schema = _closed(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


class Contract(NamedTuple):
    """What a controller's method takes and answers: the frame obeys it, and the API's document is made of it.

    body: validator of the request's body (``compiled``), checked before the method is called, None for no body;
    query: {parameter: schema}; answer: schema of the answer's body, None for an empty one; status: of that answer,
    None when there never is one; errors: codes that the method answers beyond those that every route may; waits:
    whether it waits for operations that it begins, and says in headers which these are (``operation.answer``).
    """

    body: jsonschema.protocols.Validator | None = None
    query: dict = {}  # noqa: RUF012 - never changed
    answer: dict | None = None
    status: int | None = 200
    errors: tuple[int, ...] = ()
    waits: bool = False


def contract(**terms):
    """Decorator of a controller's method: its Contract, by keywords."""
    def note(method):
        method.contract = Contract(**terms)
        return method
    return note


def _leaves(error):
    """The telling parts of an error: of alternatives the one that came closest."""
    return [jsonschema.exceptions.best_match([error])] if error.context else [error]


def _describe(error):
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    value = repr(error.instance)
    message = error.message
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = ", ".join(sorted(error.schema["properties"]))
        unknown = ", ".join(repr(key) for key in error.instance if key not in error.schema["properties"])
        message = f"{unknown[:200]} is not known here; known are {known}"
    if isinstance(error.instance, (dict, list)) or len(value) > 200 or "password" in path:
        message = message.replace(value, "the value")  # it may be long or a secret
    return f"{path.lstrip('.') or 'body'}: {message}"


def check(validator, body):
    """Refuse a body that does not fit. Raises ValidationError listing path and reason of each bad element."""
    errors = [leaf for error in validator.iter_errors(body) for leaf in _leaves(error)]
    if errors:
        reasons = sorted({_describe(error) for error in errors})
        raise exception.ValidationError("Validation error: " + "; ".join(reasons))


def last_segment(ref):
    """The id out of an id or a URI that ends in it."""
    return str(ref).rstrip("/").rpartition("/")[2]


def one_of(given, key, other, path):
    """Return what an object of a body says under one of two keys that mean the same; None when it says nothing.

    path: the path of the object, for the error. Raises BadValue when the two keys say different things.
    """
    first, second = given.get(key), given.get(other)
    if first is not None and second is not None and first != second:
        raise exception.BadValue(field=f"{path}.{other}", reason=f"{key} says something else; leave one of them out.")
    return second if first is None else first
