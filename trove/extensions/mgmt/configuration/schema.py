"""JSON schemas of the bodies that make and change parameters of a datastore version (rest-api 4)."""
from trove.common import apischema
from trove.common.apischema import compiled, or_null, wrapped

# Clients of both families are known: those that say max_size and those that say max, as answers do.
_bound = or_null({"type": "integer", "minimum": -10**38, "maximum": 10**38})
_properties = {
    "name": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": r"^[\w.-]+\Z"},
    "restart_required": apischema.flag,
    "data_type": {"enum": ["boolean", "float", "integer", "string"]},
    **dict.fromkeys(("max_size", "min_size", "max", "min"), _bound),
}

create = compiled(wrapped("configuration-parameter", {
    "type": "object", "required": ["name", "restart_required", "data_type"], "properties": _properties}))
update = compiled(wrapped("configuration-parameter", {
    "type": "object", "required": ["restart_required", "data_type"], "properties": _properties}))
