"""Security groups and their rules as users see them (rest-api 3.9)."""
from trove.common import apischema, wsgi
from trove.db import models

_integer, _string, _time = apischema.integer, apischema.string, apischema.timestamp
_RULE = {"id": _string, "protocol": _string, "from_port": _integer, "to_port": _integer, "cidr": _string}
_GROUP = apischema.view("SecurityGroup", {
    "id": _string, "name": _string, "description": apischema.or_null(_string), "instance_id": _string,
    "rules": apischema.array(apischema.view("SecurityGroupRule", _RULE)), "links": apischema.links,
    "created": _time, "updated": _time})
LIST = apischema.answer("security_groups", apischema.array(_GROUP))
SHOW = apischema.answer("security_group", _GROUP)
# A list under a singular key: a client iterates it.
RULES = apischema.answer("security_group_rule", apischema.array(apischema.view(
    "NewSecurityGroupRule", {**_RULE, "security_group_id": _string, "created": _time})))


def _rule(row):
    return {"id": row.id, "protocol": row.protocol, "from_port": row.from_port, "to_port": row.to_port,
            "cidr": row.cidr}


def group(req, row, instance_id, rules):
    """The view of a SecurityGroup.

    rules: its SecurityGroupRules.
    """
    return {"id": row.id, "name": row.name, "description": row.description, "instance_id": instance_id,
            "rules": [_rule(rule) for rule in rules], "links": wsgi.object_links(req, "security-groups", row.id),
            "created": models.iso(row.created), "updated": models.iso(row.updated)}


def new_rule(row):
    """The view of a SecurityGroupRule in the answer to the request that made it."""
    return {**_rule(row), "security_group_id": row.group_id, "created": models.iso(row.created)}
