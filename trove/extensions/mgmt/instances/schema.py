"""The actions of administrators on an instance; the value of each is an object or null."""
from trove.common.apischema import compiled, or_null, text255, wrapped

_value = or_null({"type": "object", "properties": {}})
_migrate = or_null({"type": "object", "properties": {"host": or_null(text255)}, "additionalProperties": False})
_rebuild = or_null({"type": "object", "properties": {"image_id": or_null(text255)}})
ACTIONS = {"stop": _value, "reboot": _value, "migrate": _migrate, "reset-task-status": _value, "rebuild": _rebuild}
action = compiled({"type": "object", "minProperties": 1, "maxProperties": 1, "properties": ACTIONS,
                   "additionalProperties": False})
upgrade = compiled(wrapped("upgrade", {
    "type": "object", "required": ["instance_version", "location"],
    "properties": {"instance_version": text255, "location": {"type": "string", "minLength": 1, "maxLength": 1024}}}))
