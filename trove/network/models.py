"""Rows of security groups, their rules and the instances they belong to; ids are those of the cloud."""
import sqlalchemy

from trove.common import exception
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
    keep_rules(session, group_id, rule_ids)


def allow(session, instance):
    """Keep in an instance's row who may connect, as its live rules say; call it wherever rules were changed."""
    session.flush()
    instance.cidr_list = sorted({rule.cidr for _, _, rules in load_groups(session, None, instance.id)
                                 for rule in rules})


def set_rules(session, group_id, rule_ids):
    """Write the rows of rules of a group, and mark those of its other rules deleted.

    rule_ids: {network.base.Rule: id}.
    """
    keep_rules(session, group_id, rule_ids)
    for row in session.execute(SecurityGroupRule.live().where(SecurityGroupRule.group_id == group_id)).scalars():
        if row.id not in rule_ids.values():
            row.soft_delete()


def load_groups(session, tenant_id=None, group_or_instance_id=None):
    """Live groups with what their views show: [(SecurityGroup, instance id, [SecurityGroupRule])] by id.

    tenant_id: None for any tenant; group_or_instance_id: None for all. Two statements, three for an instance's.
    """
    for column in (SecurityGroup.id, SecurityGroupInstanceAssociation.instance_id):
        found = session.execute(_select_groups(
            *([] if tenant_id is None else [SecurityGroup.tenant_id == tenant_id]),
            *([] if group_or_instance_id is None else [column == group_or_instance_id]))).all()
        if found or group_or_instance_id is None:
            break
    rules = {}
    if found:
        for rule in session.execute(SecurityGroupRule.live().where(
                SecurityGroupRule.group_id.in_([group.id for group, _ in found])).order_by(
                SecurityGroupRule.created, SecurityGroupRule.id)).scalars():
            rules.setdefault(rule.group_id, []).append(rule)
    return [(group, instance_id, rules.get(group.id, [])) for group, instance_id in found]


def _select_groups(*conditions):
    return sqlalchemy.select(SecurityGroup, SecurityGroupInstanceAssociation.instance_id).join(
        SecurityGroupInstanceAssociation, SecurityGroupInstanceAssociation.security_group_id == SecurityGroup.id,
    ).where(SecurityGroup.deleted.is_(False), SecurityGroupInstanceAssociation.deleted.is_(False), *conditions,
            ).order_by(SecurityGroup.id)


def keep_rules(session, group_id, rule_ids):
    """Write the rows of rules of a group unless they are there; returns them.

    rule_ids: {network.base.Rule: id}.
    """
    rows = []
    for rule, rule_id in rule_ids.items():
        row = session.get(SecurityGroupRule, rule_id)
        if row is None:
            row = SecurityGroupRule(id=rule_id, group_id=group_id, protocol=rule.protocol, cidr=rule.cidr,
                                    from_port=rule.from_port, to_port=rule.to_port)
            session.add(row)
        rows.append(row)
    session.flush()
    return rows


def load_rule(session, rule_id, context):
    """The live SecurityGroupRule with that id; only administrators get those of other tenants. Raises NotFound."""
    query = SecurityGroupRule.live().join(SecurityGroup, SecurityGroup.id == SecurityGroupRule.group_id).where(
        SecurityGroupRule.id == rule_id)
    if not context.is_admin:
        query = query.where(SecurityGroup.tenant_id == context.project_id)
    row = session.execute(query).scalars().one_or_none()
    if row is None:
        raise exception.NotFound(resource=SecurityGroupRule.label, id=rule_id)
    return row


def instance_of(session, rule):
    """Return the id of the instance to whose group a SecurityGroupRule belongs."""
    return session.execute(sqlalchemy.select(SecurityGroupInstanceAssociation.instance_id).where(
        SecurityGroupInstanceAssociation.security_group_id == rule.group_id)).scalar_one()


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
