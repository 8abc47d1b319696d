"""JSON schemas of the bodies of instance requests.

Unknown keys are refused (``apischema.compiled``). null stands for an absent value: clients send it.
"""
from trove.common import apischema
from trove.common.apischema import compiled, or_null, wrapped

_text = or_null(apischema.text255)
_volume = or_null({"type": "object", "required": ["size"],
                   "properties": {"size": apischema.size, "type": _text}})
# openstacksdk sends flavor instead of flavorRef: an id, or an object with one.
_flavor = {"anyOf": [apischema.flavor_ref,
                     {"type": "object", "required": ["id"], "properties": {"id": apischema.flavor_ref}}]}
# Both families of names: of the trove client, and of the newest openstack client.
_nic = {"type": "object", "additionalProperties": False, "properties": {
    **dict.fromkeys(("net-id", "port-id", "network_id", "port_id", "subnet_id", "subnet-id"), apischema.cloud_id),
    **dict.fromkeys(("v4-fixed-ip", "v6-fixed-ip", "ip_address", "ip-address"), or_null(
        {"type": "string", "maxLength": 64}))}}

# A CIDR is at most 43 characters; each is checked by ``network.base``.
_access = or_null({"type": "object", "additionalProperties": False, "properties": {
    "is_public": or_null({"type": "boolean"}),
    "allowed_cidrs": or_null({"type": "array", "maxItems": 1000, "items": {"type": "string", "maxLength": 64}})}})

databases_def = {"type": "array", "items": {
    "type": "object", "required": ["name"],
    "properties": {"name": apischema.printable, "character_set": _text, "collate": _text}}}
user_databases = {"type": "array", "uniqueItems": True, "items": {
    "type": "object", "required": ["name"], "properties": {"name": apischema.printable}}}
users_def = {"type": "array", "items": {
    "type": "object", "required": ["name", "password"],
    "properties": {"name": apischema.name, "password": apischema.password, "host": or_null(apischema.host),
                   "databases": or_null(user_databases)}}}

create = compiled(wrapped("instance", {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": apischema.text255,
        "flavorRef": or_null(apischema.flavor_ref),
        "flavor": or_null(_flavor),
        "volume": _volume,
        "databases": or_null(databases_def),
        "users": or_null(users_def),
        "restorePoint": or_null({"type": "object", "minProperties": 1, "properties": {
            "backupRef": apischema.uuid_ref, "instanceRef": apischema.uuid_ref, "time": _text}}),
        "availability_zone": _text,
        "datastore": or_null({"type": "object", "properties": {
            "type": _text, "version": _text, "version_number": _text}}),
        "nics": or_null({"type": "array", "maxItems": 32, "items": _nic}),
        "configuration": or_null(apischema.uuid_ref),
        "slave_of": or_null(apischema.uuid_ref),
        "replica_of": or_null(apischema.uuid_ref),
        "replica_count": or_null({"type": "integer", "minimum": 1, "maximum": 1000}),
        "modules": or_null({"type": "array", "items": {
            "type": "object", "required": ["id"], "properties": {"id": apischema.uuid}}}),
        "locality": or_null({"enum": ["affinity", "anti-affinity"]}),
        "region_name": _text,
        "access": _access,
    },
}))

# A source or group to detach is given as null or as an empty text.
_detachable = {"anyOf": [apischema.uuid_ref, {"type": "null"}, {"type": "string", "maxLength": 0}]}
_changes = {"name": apischema.text255, "configuration": _detachable, "replica_of": _detachable,
            "slave_of": _detachable, "access": _access,
            "datastore_version": _text}  # refused: the openstack client's ``database instance upgrade`` sends it
put = compiled(wrapped("instance", {"type": "object", "properties": _changes}))
patch = put

_empty = or_null({"type": "object", "properties": {}})
_resize = {"anyOf": [
    {"type": "object", "required": ["flavorRef"], "not": {"required": ["volume"]},
     "properties": {"flavorRef": apischema.flavor_ref}},
    {"type": "object", "required": ["volume"], "not": {"required": ["flavorRef"]},
     "properties": {"volume": {"anyOf": [
         apischema.size, {"type": "object", "required": ["size"], "properties": {"size": apischema.size}}]}}},
]}
# Action -> schema of its value; a body has exactly one action.
ACTIONS = {
    "restart": _empty, "resize": _resize, "reset_password": _empty, "promote_to_replica_source": _empty,
    "eject_replica_source": _empty, "reset_status": _empty,
}
action = compiled({"type": "object", "minProperties": 1, "maxProperties": 1, "properties": ACTIONS,
                   "additionalProperties": False})
