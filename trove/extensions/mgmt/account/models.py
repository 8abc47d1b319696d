"""What tenants have, counted from the rows of live instances."""
import sqlalchemy

from trove.common import exception
from trove.db.sqlalchemy import tables

_instances = tables.instances


def count_instances(session):
    """[(tenant id, number of its live instances)] by tenant, without tenants that have none."""
    return session.execute(sqlalchemy.select(
        _instances.c.tenant_id, sqlalchemy.func.count(_instances.c.id)).where(_instances.c.deleted.is_(False)).group_by(
        _instances.c.tenant_id).order_by(_instances.c.tenant_id)).all()


def instance_ids(session, tenant):
    """The ids of a tenant's live instances. Raises NotFound for a tenant that never had any."""
    rows = session.execute(sqlalchemy.select(_instances.c.id, _instances.c.deleted).where(
        _instances.c.tenant_id == tenant).order_by(_instances.c.id)).all()
    if not rows:
        raise exception.NotFound(resource="account", id=tenant)
    return [row.id for row in rows if not row.deleted]
