"""JSON schema of the one action of administrators on a cluster."""
from trove.common.apischema import compiled, or_null

action = compiled({"type": "object", "required": ["reset-task"], "additionalProperties": False,
                   "properties": {"reset-task": or_null({"type": "object", "properties": {}})}})
