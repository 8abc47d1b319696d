"""Quotas as administrators and clients see them: a list to read, an object of what was set."""
from trove.common import apischema

_integer = apischema.integer
SHOW = apischema.answer("quotas", apischema.array(apischema.view("Quota", {
    "resource": apischema.string, "in_use": _integer, "reserved": _integer, "limit": _integer})))
UPDATED = apischema.answer("quotas", {"type": "object", "additionalProperties": _integer})


def quotas(usages):
    """The list of {resource: Usage}."""
    return [{"resource": resource, "in_use": usage.in_use, "reserved": usage.reserved, "limit": usage.limit}
            for resource, usage in sorted(usages.items())]
