"""JSON schemas of the bodies of module requests (rest-api 3.10)."""
from trove.common import apischema
from trove.common.apischema import compiled, or_null, wrapped

# Base64 text: as much as the column takes once it is encrypted.
MAX_CONTENTS = 16_777_068
_flag = or_null(apischema.flag)
_type = or_null(apischema.text255)
_properties = {
    "name": or_null(apischema.text255),
    "module_type": _type,
    "type": _type,  # the newest clients' word
    "contents": or_null({"type": "string", "minLength": 1, "maxLength": MAX_CONTENTS}),
    "description": or_null({"type": "string", "maxLength": 255}),
    "datastore": or_null({"type": "object", "properties": {
        "type": or_null(apischema.text255), "version": or_null(apischema.text255)}}),
    **dict.fromkeys(("auto_apply", "all_tenants", "visible", "live_update", "all_datastores",
                     "all_datastore_versions"), _flag),
    # The newest client always sends this value. Any other asks for an order of applying, which is not implemented.
    **dict.fromkeys(("priority_apply", "full_access"), {"enum": [None, False, 0]}),
    "apply_order": {"enum": [None, 5]},
}
create = compiled(wrapped("module", {
    "type": "object", "required": ["name", "contents"],
    "anyOf": [{"required": ["module_type"]}, {"required": ["type"]}],
    "properties": {**_properties, "name": apischema.text255,
                   "contents": {"type": "string", "minLength": 1, "maxLength": MAX_CONTENTS}}}))
update = compiled(wrapped("module", {"type": "object", "properties": _properties}))
apply = compiled(wrapped("modules", {"type": "array", "minItems": 1, "items": {
    "type": "object", "required": ["id"], "properties": {"id": apischema.uuid}}}))
reapply = compiled({"type": "object"})
