"""JSON schemas of the bodies of cluster requests (rest-api 3.6)."""
from trove.common import apischema
from trove.common.apischema import compiled, or_null, wrapped

_text = or_null(apischema.text255)
_member = {
    "flavorRef": apischema.flavor_ref, "name": _text, "availability_zone": _text, "region_name": _text, "type": _text,
    "related_to": _text,
    "volume": or_null({"type": "object", "required": ["size"], "properties": {
        "size": apischema.size, "type": _text}}),
    "nics": or_null({"type": "array", "items": {"type": "object"}}),
    "modules": or_null({"type": "array", "items": {"type": "object", "required": ["id"],
                                                   "properties": {"id": apischema.uuid}}}),
}
_members = {"type": "array", "minItems": 1, "items": {
    "type": "object", "required": ["flavorRef"], "properties": _member}}

create = compiled(wrapped("cluster", {
    "type": "object", "required": ["name", "datastore", "instances"],
    "properties": {
        "name": apischema.text255,
        "datastore": {"type": "object", "required": ["type", "version"],
                      "properties": {"type": apischema.text255, "version": apischema.text255}},
        "instances": _members,
        "locality": or_null({"enum": ["affinity", "anti-affinity"]}),
        "configuration": or_null(apischema.uuid_ref),
    }}))

_empty = or_null({"type": "object", "properties": {}})
ACTIONS = {
    "add_shard": _empty,
    "grow": _members,
    "shrink": {"type": "array", "minItems": 1, "items": {
        "type": "object", "required": ["id"], "properties": {"id": apischema.uuid}}},
    "upgrade": apischema.text255,
    "reset-status": _empty,
}
action = compiled({"type": "object", "minProperties": 1, "maxProperties": 1, "properties": ACTIONS,
                   "additionalProperties": False})
enable_root = compiled({"type": "object", "properties": {"password": or_null(apischema.password)}})
