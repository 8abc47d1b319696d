"""JSON schemas of the bodies that make and change datastore versions (rest-api 4)."""
from trove.common import apischema
from trove.common.apischema import compiled, or_null, wrapped

# As the columns are wide; an image is an id, not a path.
_image = or_null({"type": "string", "maxLength": 36, "pattern": r"^[\w.-]*\Z"})
_packages = or_null({"anyOf": [
    {"type": "string", "maxLength": 511},
    {"type": "array", "items": {"type": "string", "maxLength": 255, "pattern": r"^[^,\x00-\x1f]*\Z"}}]})
_properties = {
    "datastore_manager": or_null(apischema.text255),
    "packages": _packages,
    "image": _image,
    "image_tags": or_null({"type": "array", "maxItems": 20, "items": {"type": "string", "maxLength": 255}}),
    "version": or_null(apischema.text255),  # the newest clients' number of a version: it is its name here
    "active": or_null(apischema.flag),
    "default": or_null(apischema.flag),
}

create = compiled(wrapped("version", {
    "type": "object", "required": ["name", "datastore_name", "active"],
    "properties": {**_properties, "name": apischema.text255, "datastore_name": apischema.text255,
                   "active": apischema.flag}}))
# No wrapper here.
edit = compiled({"type": "object", "properties": {**_properties, "name": or_null(apischema.text255)}})
