"""What Nova accepts in bodies, microversion by microversion."""

from minicloud.api import schema
from minicloud.api.schema import fields

_NULL = {"type": "null"}
_STRING = {"type": "string"}
_OPTIONAL = {"type": ["string", "null"]}
_DISK_CONFIG = {"enum": ["AUTO", "MANUAL"]}
SIZE = {"type": ["integer", "string", "null"], "pattern": "^[0-9]*$"}
BASE64 = {"type": "string", "maxLength": 65535}
TAG = {"type": "string", "minLength": 1, "maxLength": 60, "pattern": "^[^,/]*$"}
TAGS = {"type": "array", "maxItems": 50, "items": TAG}

MAPPING = {
    "type": "array",
    "items": fields(
        device_name=_STRING,
        volume_id=_OPTIONAL,
        snapshot_id=_OPTIONAL,
        volume_size=SIZE,
        delete_on_termination=schema.BOOLEAN,
        no_device=_OPTIONAL,
        virtual_name=_STRING,
    ),
}
MAPPING_V2 = {
    "type": "array",
    "items": fields(
        boot_index={"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$"},
        uuid=_OPTIONAL,
        source_type={"enum": ["volume", "image", "snapshot", "blank"]},
        destination_type={"enum": ["volume", "local"]},
        device_name=_OPTIONAL,
        delete_on_termination=schema.BOOLEAN,
        volume_size=SIZE,
        disk_bus=_OPTIONAL,
        device_type=_OPTIONAL,
        guest_format=_OPTIONAL,
        no_device=_OPTIONAL,
        volume_type=_OPTIONAL,
        tag=_STRING,
    ),
}
PERSONALITY = {
    "type": "array",
    "items": fields(
        ("path", "contents"),
        path={"type": "string", "minLength": 1, "maxLength": 255},
        contents={"type": "string"},
    ),
}


def create(version):
    """The schema of ``server`` in POST /servers."""
    nic = fields(uuid=_OPTIONAL, port=_OPTIONAL, fixed_ip=_OPTIONAL, tag=_STRING)
    networks = {"type": "array", "items": nic}
    members = {
        "name": schema.NAME,
        "imageRef": _STRING,
        "flavorRef": {"type": ["string", "integer"]},
        "adminPass": _STRING,
        "metadata": schema.METADATA,
        "OS-DCF:diskConfig": _DISK_CONFIG,
        "accessIPv4": _STRING,
        "accessIPv6": _STRING,
        "networks": networks if version < (2, 37) else {"anyOf": [networks, {"enum": ["auto", "none"]}]},
        "security_groups": {"type": "array", "items": fields(("name",), name=schema.NAME)},
        "user_data": {"anyOf": [BASE64, _NULL]},
        "config_drive": schema.BOOLEAN,
        "key_name": _OPTIONAL,
        "availability_zone": _OPTIONAL,
        "block_device_mapping": MAPPING,
        "block_device_mapping_v2": MAPPING_V2,
        "min_count": SIZE,
        "max_count": SIZE,
        "return_reservation_id": schema.BOOLEAN,
    }
    if version < (2, 57):
        members["personality"] = PERSONALITY
    if version >= (2, 19):
        members["description"] = schema.TEXT
    if version >= (2, 52):
        members["tags"] = TAGS
    required = ("name", "flavorRef", *(("networks",) if version >= (2, 37) else ()))
    hints = {"type": "object"}
    return fields(
        ("server",),
        **{
            "server": fields(required, **members),
            "os:scheduler_hints": hints,
            "OS-SCH-HNT:scheduler_hints": hints,
        },
    )


def update(version):
    """The schema of ``server`` in PUT /servers/<id>."""
    members = {
        "name": schema.NAME,
        "OS-DCF:diskConfig": _DISK_CONFIG,
        "accessIPv4": _STRING,
        "accessIPv6": _STRING,
    }
    if version >= (2, 19):
        members["description"] = schema.TEXT
    return fields(**members)


ACTIONS = {
    "reboot": fields(("type",), type={"enum": ["SOFT", "HARD", "soft", "hard", "Soft", "Hard"]}),
    "os-stop": {},
    "os-start": {},
    "confirmResize": _NULL,
    "revertResize": _NULL,
    "forceDelete": {},
    "resize": fields(
        ("flavorRef",), **{"flavorRef": {"type": ["string", "integer"]}, "OS-DCF:diskConfig": _DISK_CONFIG}
    ),
    "migrate": {"anyOf": [_NULL, fields(host=_OPTIONAL)]},
    "os-getConsoleOutput": fields(length={"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$"}),
    "os-resetState": fields(("state",), state={"enum": ["active", "error"]}),
    "addSecurityGroup": fields(("name",), name=schema.NAME),
    "removeSecurityGroup": fields(("name",), name=schema.NAME),
}
ATTACH = fields(
    ("volumeId",), volumeId=_STRING, device=_OPTIONAL, tag=_STRING, delete_on_termination=schema.BOOLEAN
)
FLAVOR = fields(
    ("name", "ram", "vcpus", "disk"),
    **{
        "name": schema.NAME,
        "id": {"type": ["string", "integer", "null"]},
        "ram": schema.COUNT,
        "vcpus": schema.COUNT,
        "disk": schema.COUNT,
        "swap": schema.COUNT,
        "OS-FLV-EXT-DATA:ephemeral": schema.COUNT,
        "rxtx_factor": {"type": ["number", "string"], "pattern": r"^[0-9]+(\.[0-9]+)?$", "minimum": 0},
        "os-flavor-access:is_public": schema.BOOLEAN,
        "description": schema.TEXT,
    },
)
