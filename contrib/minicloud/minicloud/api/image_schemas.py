"""The shapes of Glance: what it accepts, and the schema documents from which its client builds its classes."""

from minicloud.api import schema
from minicloud.api.schema import fields

_TEXT = {"type": ["null", "string"], "maxLength": 255}
BASE = {
    "name": _TEXT,
    "visibility": {"type": "string", "enum": ["community", "public", "private", "shared"]},
    "container_format": {
        "type": ["null", "string"],
        "enum": [None, "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"],
    },
    "disk_format": {
        "type": ["null", "string"],
        "enum": [None, "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"],
    },
    "min_disk": {"type": "integer", "minimum": 0},
    "min_ram": {"type": "integer", "minimum": 0},
    "protected": {"type": "boolean"},
    "os_hidden": {"type": "boolean"},
    "owner": _TEXT,
    "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}},
}
READ_ONLY = (
    "id",
    "status",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "size",
    "virtual_size",
    "created_at",
    "updated_at",
    "self",
    "file",
    "schema",
    "direct_url",
    "stores",
)
_SHOWN = {
    "id": {"type": "string"},
    "status": {"type": "string", "readOnly": True},
    "checksum": {**_TEXT, "readOnly": True},
    "os_hash_algo": {**_TEXT, "readOnly": True},
    "os_hash_value": {**_TEXT, "readOnly": True},
    "size": {"type": ["null", "integer"], "readOnly": True},
    "virtual_size": {"type": ["null", "integer"], "readOnly": True},
    "created_at": {"type": "string", "readOnly": True},
    "updated_at": {"type": "string", "readOnly": True},
    "self": {"type": "string", "readOnly": True},
    "file": {"type": "string", "readOnly": True},
    "schema": {"type": "string", "readOnly": True},
}
BODY = fields(extra=True, id={"type": "string"}, **BASE)
BODY["additionalProperties"] = {"type": "string"}
PATCH = {
    "type": "array",
    "items": fields(
        ("op", "path"),
        op={"enum": ["add", "replace", "remove"]},
        path={"type": "string", "pattern": "^/[^/]+$"},
        value={},
    ),
}
MEMBER = fields(("member",), member=schema.NAME)
MEMBER_STATUS = fields(("status",), status={"enum": ["pending", "accepted", "rejected"]})

_IMAGE = {
    "name": "image",
    "properties": {**BASE, **_SHOWN},
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
_MEMBER = {
    "name": "member",
    "properties": {
        "member_id": {"type": "string"},
        "image_id": {"type": "string"},
        "created_at": {"type": "string"},
        "updated_at": {"type": "string"},
        "status": {"type": "string"},
        "schema": {"type": "string"},
    },
}


def _list_of(name, item):
    return {
        "name": f"{name}s",
        "properties": {
            f"{name}s": {"type": "array", "items": item},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
    }


SCHEMAS = {
    "image": _IMAGE,
    "images": _list_of("image", _IMAGE),
    "member": _MEMBER,
    "members": _list_of("member", _MEMBER),
}
