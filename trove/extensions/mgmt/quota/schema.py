"""JSON schema of the body that sets quotas: resource -> limit, -1 for none."""
from trove.common.apischema import compiled, wrapped

update = compiled(wrapped("quotas", {
    "type": "object", "minProperties": 1,
    "additionalProperties": {"type": "integer", "minimum": -1, "maximum": 2**31 - 1}}))
