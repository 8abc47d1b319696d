"""JSON schemas of request bodies: the shapes that several resources share, and the one function that checks a body.

Schemas of a resource live in ``<resource>/schema.py``. A schema says what shape a body has; what a value means is
checked by the resource.
"""
import jsonschema

from trove.common import exception

# Patterns are searched, and each takes time linear in the length: they also see values that are too long.
_ALPHANUMERIC = "[0-9A-Za-z]"
_PRINTABLE = r"\A[^\x00-\x1f\x7f]*\Z"

# 1..255 characters with at least one letter or digit, no control character.
text255 = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _PRINTABLE,
           "allOf": [{"pattern": _ALPHANUMERIC}]}
# The name of a database user: its length is limited by the datastore's own rules.
name = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"[^\W_]"}
# What a password may contain is checked by the datastore's own rules; a message never shows it.
password = {"type": "string", "minLength": 1, "maxLength": 255}
uuid = {"type": "string", "pattern": r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"}
# An id, or a URI that ends in it.
uuid_ref = {"type": "string", "maxLength": 1024,
            "pattern": r"^([^\s]*/)?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}/?\Z"}
size = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^[0-9]{1,40}\Z"}]}
# An id, or a URI that ends in it; openstacksdk sends an object with the id.
flavor_ref = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "minLength": 1, "maxLength": 1024}]}
host = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"\A[\w()\-.%:/]*\Z"}


def or_null(schema):
    """``schema`` or null: clients send null for what the user did not give."""
    if "type" in schema:  # the other keywords say nothing about null
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def wrapped(key, schema):
    """The schema of a body with one required top-level key."""
    return {"type": "object", "required": [key], "properties": {key: schema}}


def compiled(schema):
    """A validator of ``schema``, made once at import of a schema module."""
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def _leaves(error):
    """The telling parts of an error: of alternatives the one that came closest."""
    return [jsonschema.exceptions.best_match([error])] if error.context else [error]


def _describe(error):
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    value = repr(error.instance)
    message = error.message
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
