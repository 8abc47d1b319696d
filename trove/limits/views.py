"""Limits as clients see them (rest-api 3.3)."""
from trove.common import apischema

_integer, _string = apischema.integer, apischema.string
LIST = apischema.answer("limits", {
    "type": "array",
    "prefixItems": [{"type": "object", "required": ["verb"], "properties": {"verb": {"const": "ABSOLUTE"}},
                     "additionalProperties": _integer}],
    "items": apischema.view("RateLimit", {
        "verb": _string, "uri": _string, "regex": _string, "value": _integer, "remaining": _integer,
        "unit": {"const": "MINUTE"}, "nextAvailable": _string})})


def absolute(quotas):
    """The element of the quotas, {resource: limit}."""
    return {"verb": "ABSOLUTE", **{f"max_{resource}": limit for resource, limit in sorted(quotas.items())}}


def rate(limit, remaining, available):
    """The element of one RateLimit: remaining requests, and the UTC time when one more is allowed."""
    return {"verb": limit.verb, "uri": limit.uri, "regex": limit.regex, "value": limit.value, "remaining": remaining,
            "unit": "MINUTE", "nextAvailable": available.strftime("%Y-%m-%dT%H:%M:%SZ")}
