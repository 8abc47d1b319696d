"""Rows of security groups, their rules and the instances they belong to; ids are those of the cloud."""
from trove.db import models
from trove.db.sqlalchemy import tables


@models.registry.mapped
class SecurityGroup(models.Row):
    """A security group."""

    __table__ = tables.security_groups
    label = "security group"


@models.registry.mapped
class SecurityGroupRule(models.Row):
    """What a security group lets in."""

    __table__ = tables.security_group_rules
    label = "security group rule"


@models.registry.mapped
class SecurityGroupInstanceAssociation(models.Row):
    """That a security group is an instance's."""

    __table__ = tables.security_group_instance_associations
    label = "security group association"


def keep_group(session, instance, group_id, name, description, rule_ids):
    """Write the rows of an instance's group unless they are there.

    rule_ids: {network.base.Rule: id}.
    """
    if session.get(SecurityGroup, group_id) is None:
        session.add(SecurityGroup(id=group_id, name=name, description=description, tenant_id=instance.tenant_id))
        session.flush()
        session.add(SecurityGroupInstanceAssociation(security_group_id=group_id, instance_id=instance.id))
    for rule, rule_id in rule_ids.items():
        if session.get(SecurityGroupRule, rule_id) is None:
            session.add(SecurityGroupRule(id=rule_id, group_id=group_id, protocol=rule.protocol, cidr=rule.cidr,
                                          from_port=rule.from_port, to_port=rule.to_port))


def delete_groups(session, instance_id):
    """Mark the rows of an instance's groups deleted."""
    associations = session.execute(SecurityGroupInstanceAssociation.live().where(
        SecurityGroupInstanceAssociation.instance_id == instance_id)).scalars().all()
    groups = [association.security_group_id for association in associations]
    rows = [*associations,
            *session.execute(SecurityGroup.live().where(SecurityGroup.id.in_(groups))).scalars(),
            *session.execute(SecurityGroupRule.live().where(SecurityGroupRule.group_id.in_(groups))).scalars()]
    for row in rows:
        row.soft_delete()


def groups_of(session, instance_id):
    """The live security groups of an instance."""
    return session.execute(SecurityGroup.live().join(
        SecurityGroupInstanceAssociation, SecurityGroupInstanceAssociation.security_group_id == SecurityGroup.id
    ).where(SecurityGroupInstanceAssociation.instance_id == instance_id)).scalars().all()
