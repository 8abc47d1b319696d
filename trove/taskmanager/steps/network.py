"""Security group of an instance."""
from trove.common import exception
from trove.common.cfg import CONF
from trove.instance.models import DBInstance
from trove.network import base, models


def group_name(instance_id):
    """The name of the security group of an instance."""
    return f"{CONF.trove_security_group_name_prefix}_{instance_id}"


def create_security_group(work):
    """Make the group with a rule for every port of the datastore and every network that may connect."""
    if not CONF.trove_security_groups_support:
        return
    name = group_name(work.resource_id)
    description = f"Security Group for {work.resource_id}"
    group_id, rule_ids = base.driver().ensure_security_group(
        name, description, base.rules_for(work.args["datastore"]["manager"], work.args.get("allowed_cidrs")))
    with work.writing() as session:
        instance = DBInstance.get(session, work.resource_id)
        models.keep_group(session, instance, group_id, name, description, rule_ids)
        models.allow(session, instance)


def set_rules(work):
    """Let the networks of the operation connect, and no others."""
    with work.reading() as session:
        groups = models.load_groups(session, None, work.resource_id)
    if not groups:
        raise exception.CloudError(reason="the instance has no security group.")
    group_id = groups[0][0].id
    rule_ids = base.driver().set_rules(group_id, base.rules_for(work.args["manager"], work.args["allowed_cidrs"]))
    with work.writing() as session:
        models.set_rules(session, group_id, rule_ids)
        models.allow(session, DBInstance.get(session, work.resource_id))


def delete_security_group(work):
    """Delete the group; it may be in use until the ports of the server are gone."""
    if not CONF.trove_security_groups_support:
        return None
    if not base.driver().delete_security_group(group_name(work.resource_id)):
        return work.again()
    with work.writing() as session:
        models.delete_groups(session, work.resource_id)
        models.allow(session, DBInstance.get(session, work.resource_id))
    return None
