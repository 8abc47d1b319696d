"""JSON schema of the body that lets somebody in."""
from trove.common import apischema
from trove.common.apischema import compiled, wrapped

create_rule = compiled(wrapped("security_group_rule", {
    "type": "object", "required": ["group_id", "cidr"],
    "properties": {"group_id": apischema.uuid, "cidr": {"type": "string", "minLength": 1, "maxLength": 64}}}))
