"""Security group of an instance."""
from trove.common.cfg import CONF
from trove.instance.models import DBInstance
from trove.network import base, models


def group_name(instance_id):
    """The name of the security group of an instance."""
    return f"{CONF.trove_security_group_name_prefix}_{instance_id}"


def create_security_group(work):
    """Make the group with a rule for every port of the datastore."""
    if not CONF.trove_security_groups_support:
        return
    name = group_name(work.resource_id)
    description = f"Security Group for {work.resource_id}"
    group_id, rule_ids = base.driver().ensure_security_group(
        name, description, base.datastore_rules(work.args["datastore"]["manager"]))
    with work.writing() as session:
        models.keep_group(session, DBInstance.get(session, work.resource_id), group_id, name, description, rule_ids)


def delete_security_group(work):
    """Delete the group; it may be in use until the ports of the server are gone."""
    if not CONF.trove_security_groups_support:
        return None
    if not base.driver().delete_security_group(group_name(work.resource_id)):
        return work.again()
    with work.writing() as session:
        models.delete_groups(session, work.resource_id)
    return None
