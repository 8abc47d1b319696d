"""JSON schema of the one action on a host: its value is an empty text."""
from trove.common.apischema import compiled

action = compiled({"type": "object", "required": ["update"], "maxProperties": 1,
                   "properties": {"update": {"anyOf": [{"type": ["null", "object"]}, {"const": ""}]}}})
