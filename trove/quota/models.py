"""Rows of quotas, usages and reservations, and what a tenant really uses, counted from live rows.

Nothing is added up over time, so nothing can be forgotten: instances and backups count while their rows live, and a
reservation counts while its operation does. The row of a usage is the lock of (tenant, resource), and holds the
figures of the last change for operators.
"""
import functools

import sqlalchemy
from sqlalchemy import exc, func

from trove.db import models
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks
from trove.operation.models import LIVE_STATES

RESERVED = "Reserved"


@models.registry.mapped
class Quota(models.Row):
    """A limit that an administrator set for a tenant."""

    __table__ = tables.quotas
    label = "quota"


@models.registry.mapped
class QuotaUsage(models.Row):
    """The lock of a tenant's resource, with the figures of the last change."""

    __table__ = tables.quota_usages
    label = "quota usage"


@models.registry.mapped
class Reservation(models.Row):
    """Growth that an operation has been promised and no other row shows yet."""

    __table__ = tables.reservations
    label = "reservation"


def _live_operations():
    return sqlalchemy.select(tables.operations.c.id).where(tables.operations.c.state.in_(LIVE_STATES))


def limits(session, tenant):
    """What was set for the tenant: resource -> limit."""
    return dict(session.execute(sqlalchemy.select(Quota.resource, Quota.hard_limit).where(
        Quota.tenant_id == tenant, Quota.hard_limit.is_not(None))).all())


@functools.cache
def _select_figures():
    """The statement of ``figures``, with the parameter ``tenant``: kind of a figure, resource, number, GB."""
    instances, backups, literal = tables.instances, tables.backups, sqlalchemy.literal_column
    tenant = sqlalchemy.bindparam("tenant")
    counted = sqlalchemy.and_(
        instances.c.tenant_id == tenant, instances.c.deleted.is_(False),
        instances.c.task_id.not_in([InstanceTasks.DELETING.code, InstanceTasks.DELETING_ERROR.code]))
    return sqlalchemy.union_all(
        sqlalchemy.select(literal("'limit'"), Quota.resource, Quota.hard_limit, literal("0")).where(
            Quota.tenant_id == tenant, Quota.hard_limit.is_not(None)),
        sqlalchemy.select(literal("'instances'"), literal("''"), func.count(instances.c.id),
                          func.coalesce(func.sum(instances.c.volume_size), 0)).where(counted),
        sqlalchemy.select(literal("'backups'"), literal("''"), func.count(backups.c.id), literal("0")).where(
            backups.c.tenant_id == tenant, backups.c.deleted.is_(False)),
        sqlalchemy.select(literal("'reserved'"), QuotaUsage.resource, func.sum(Reservation.delta), literal("0")).join(
            Reservation, Reservation.usage_id == QuotaUsage.id).join(
            # A join, so that no database begins with the live operations of all tenants.
            tables.operations, tables.operations.c.id == Reservation.operation_id).where(
            QuotaUsage.tenant_id == tenant, tables.operations.c.state.in_(LIVE_STATES),
        ).group_by(QuotaUsage.resource))


def figures(session, tenant):
    """What was set for a tenant, what its live rows amount to, and what its live operations were promised.

    Returns three dicts of resource -> number (volumes in GB): limits, which names only what was set; in use, which
    names all resources; reserved. One statement. An instance that is being deleted, or could not be deleted, is not
    counted.
    """
    rows = session.execute(_select_figures(), {"tenant": tenant})
    found = {"limit": {}, "reserved": {}, "use": {}}
    for kind, resource, number, gigabytes in rows:
        if kind in found:
            found[kind][resource] = int(number)
        else:
            found["use"][kind] = int(number)
            if kind == "instances":
                found["use"]["volumes"] = int(gigabytes)
    return found["limit"], found["use"], found["reserved"]


def lock_usages(session, tenant, resources):
    """Lock the usages of a tenant for the rest of the transaction, making rows that do not exist yet.

    Returns resource -> QuotaUsage. Always in the same order, so that two requests cannot lock each other out.
    """
    query = sqlalchemy.select(QuotaUsage).where(
        QuotaUsage.tenant_id == tenant, QuotaUsage.resource.in_(resources),
    ).order_by(QuotaUsage.resource).with_for_update().execution_options(populate_existing=True)
    found = {usage.resource: usage for usage in session.execute(query).scalars()}
    missing = sorted(set(resources) - set(found))
    if not missing:
        return found
    for resource in missing:
        try:
            with session.begin_nested():
                session.add(QuotaUsage(tenant_id=tenant, resource=resource, in_use=0, reserved=0))
        except exc.IntegrityError:
            continue  # another request has just made it; the next query waits for that one's end
    return {usage.resource: usage for usage in session.execute(query).scalars()}


def record_figures(session, figures_):
    """Keep the figures of the last change. figures_: {QuotaUsage: (in use, reserved)}."""
    models.upsert(session, tables.quota_usages, [
        {"id": usage.id, "created": usage.created, "updated": models.utcnow(), "tenant_id": usage.tenant_id,
         "resource": usage.resource, "in_use": in_use, "reserved": reserved}
        for usage, (in_use, reserved) in figures_.items()])


def add_reservation(session, usage, delta, operation_id):
    """Promise growth to an operation; reservations of ended operations on the same usage are removed."""
    session.execute(sqlalchemy.delete(tables.reservations).where(
        tables.reservations.c.usage_id == usage.id, tables.reservations.c.operation_id.is_not(None),
        tables.reservations.c.operation_id.not_in(_live_operations())))
    session.add(Reservation(usage_id=usage.id, delta=delta, status=RESERVED, operation_id=operation_id))


def set_limit(session, tenant, resource, limit):
    """Set the tenant's own limit of a resource."""
    for _attempt in range(2):
        row = session.execute(sqlalchemy.select(Quota).where(
            Quota.tenant_id == tenant, Quota.resource == resource).with_for_update()).scalars().first()
        if row is not None:
            row.hard_limit = limit
            return
        try:
            with session.begin_nested():
                session.add(Quota(tenant_id=tenant, resource=resource, hard_limit=limit))
            return
        except exc.IntegrityError:
            continue  # set by another request in this moment: overwrite it
