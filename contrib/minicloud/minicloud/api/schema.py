"""Strict checks of request bodies by JSON schema, and the few shapes that several facades share."""

import functools
import json

from minicloud.api.web import Fault

NAME = {"type": "string", "minLength": 1, "maxLength": 255}
TEXT = {"type": ["string", "null"], "maxLength": 255}
ID = {"type": "string", "minLength": 1, "maxLength": 255}
BOOLEAN = {
    "type": ["boolean", "string"],
    "enum": [True, False, "True", "False", "true", "false", "1", "0", "yes", "no", "on", "off"],
}
COUNT = {"type": ["integer", "string"], "pattern": "^[0-9]+$", "minimum": 0}
METADATA = {
    "type": "object",
    "maxProperties": 128,
    "additionalProperties": {"type": "string", "maxLength": 255},
}


def fields(required=(), extra=False, **properties):
    """The schema of an object that has these members and no others (unless ``extra``)."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": extra,
    }


def is_true(value):
    """A BOOLEAN of a body as bool."""
    return value is True or str(value).lower() in ("true", "1", "yes", "on")


@functools.lru_cache(maxsize=256)
def _validator(schema):
    import jsonschema  # a tenth of a second that importing the package does not pay

    return jsonschema.Draft202012Validator(json.loads(schema))


def check(body, schema):
    """:raises Fault: 400 naming the member and what is wrong with it."""
    errors = sorted(
        _validator(json.dumps(schema)).iter_errors(body), key=lambda error: list(map(str, error.path))
    )
    if not errors:
        return
    error = errors[0]
    where = "/".join(str(part) for part in error.path)
    what = error.message if len(error.message) < 400 else error.message[:400] + "..."
    if where:
        raise Fault(
            400, f"Invalid input for field/attribute {where}. Value: {str(error.instance)[:200]}. {what}"
        )
    raise Fault(400, f"Invalid input: {what}")


def body_of(request, wrapper, schema):
    """The member ``wrapper`` of the request's body, checked. :raises Fault: 400"""
    body = request.body
    check(body, fields((wrapper,), **{wrapper: schema}))
    return body[wrapper]
