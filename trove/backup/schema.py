"""JSON schemas of the bodies of backup requests."""
from trove.common import apischema
from trove.common.apischema import compiled, or_null, wrapped

_text = or_null({"type": "string", "maxLength": 255})
_flag = or_null({"enum": [0, 1, "0", "1", True, False]})

nothing = compiled({"type": "object"})
create = compiled(wrapped("backup", {
    "type": "object",
    "required": ["instance", "name"],
    "properties": {
        "instance": apischema.uuid_ref,
        "name": apischema.text255,
        "description": _text,
        "parent_id": or_null(apischema.uuid_ref),
        "incremental": _flag,
        "storage_driver": _text,
        "swift_container": _text,
        "restore_from": or_null({"type": "object"}),
    },
}))
strategy = compiled(wrapped("backup_strategy", {"type": "object", "properties": {
    "instance_id": or_null(apischema.uuid_ref), "swift_container": _text, "storage_driver": _text}}))
