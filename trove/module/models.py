"""Rows of modules and of their application to instances. Contents are stored encrypted with [DEFAULT] operation_key."""
import dataclasses

import sqlalchemy

from trove.common import exception
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db import models
from trove.db.sqlalchemy import tables

ALL = "all"


@models.registry.mapped
class DBModule(models.Row):
    """A module; without a tenant it is for all tenants, without datastore or version for all of them."""

    __table__ = tables.modules
    label = "module"


@models.registry.mapped
class DBInstanceModule(models.Row):
    """That a module was applied to an instance."""

    __table__ = tables.instance_modules
    label = "applied module"


@dataclasses.dataclass(frozen=True)
class Module:
    """row: DBModule; datastore, version: names or None for all; instance_count: how many instances have it."""

    row: DBModule
    datastore: str | None
    version: str | None
    instance_count: int


def _visible_to(context):
    """What the caller may see: its own, and what administrators show to all; administrators see everything."""
    if context.is_admin:
        return sqlalchemy.true()
    shared = sqlalchemy.and_(DBModule.tenant_id.is_(None), DBModule.visible.is_(True))
    return sqlalchemy.or_(DBModule.tenant_id == context.project_id, shared)


def _select(context):
    applied = tables.instance_modules.c
    count = sqlalchemy.select(sqlalchemy.func.count(applied.id)).where(
        applied.module_id == DBModule.id, applied.deleted.is_(False)).correlate(DBModule).scalar_subquery()
    return sqlalchemy.select(DBModule, DBDatastore.name, DBDatastoreVersion.name, count).outerjoin(
        DBDatastore, DBDatastore.id == DBModule.datastore_id).outerjoin(
        DBDatastoreVersion, DBDatastoreVersion.id == DBModule.datastore_version_id).where(
        DBModule.deleted.is_(False), _visible_to(context)).options(
        sqlalchemy.orm.defer(DBModule.contents))


def load(session, module_id, context):
    """The Module with that id. Raises NotFound, the same for absent, deleted and invisible ones."""
    found = session.execute(_select(context).where(DBModule.id == module_id)).one_or_none()
    if found is None:
        raise exception.NotFound(resource=DBModule.label, id=module_id)
    return Module(*found)


def load_page(session, context, limit, marker, datastore_id=None):
    """One page of the modules that the caller sees, oldest first: (list of Module, marker of the next page or None).

    marker: id of the last module of the page before, or None; datastore_id: of those wanted, ALL for those that are
    for all datastores, None for every module. Raises BadValue for an unknown marker.
    """
    query = _select(context)
    if datastore_id is not None:
        query = query.where(DBModule.datastore_id.is_(None) if datastore_id == ALL
                            else DBModule.datastore_id == datastore_id)
    found, following = models.page(session, query, DBModule, limit, marker, _visible_to(context))
    return [Module(*each) for each in found], following


def load_applied(session, instance_id):
    """The modules that an instance has: [(Module without a count, DBInstanceModule)] by id, in one statement."""
    found = session.execute(sqlalchemy.select(
        DBModule, DBDatastore.name, DBDatastoreVersion.name, DBInstanceModule).join(
        DBInstanceModule, DBInstanceModule.module_id == DBModule.id).outerjoin(
        DBDatastore, DBDatastore.id == DBModule.datastore_id).outerjoin(
        DBDatastoreVersion, DBDatastoreVersion.id == DBModule.datastore_version_id).where(
        DBInstanceModule.instance_id == instance_id, DBInstanceModule.deleted.is_(False)).options(
        sqlalchemy.orm.defer(DBModule.contents)).order_by(DBModule.id))
    return [(Module(row, datastore, version, 0), applied) for row, datastore, version, applied in found]


def select_instance_ids(module_id):
    """A SELECT of the ids of the instances that have a module."""
    return sqlalchemy.select(DBInstanceModule.instance_id).where(
        DBInstanceModule.module_id == module_id, DBInstanceModule.deleted.is_(False))


def count(session, tenant):
    """How many live modules a tenant has."""
    return session.execute(sqlalchemy.select(sqlalchemy.func.count(DBModule.id)).where(
        DBModule.deleted.is_(False), DBModule.tenant_id == tenant)).scalar_one()


def is_name_taken(session, row):
    """Whether another live module has the type, tenant, datastore, version and name of ``row``."""
    columns = ("type", "tenant_id", "datastore_id", "datastore_version_id", "name")
    same = [getattr(DBModule, column) == getattr(row, column) for column in columns]
    with session.no_autoflush:
        return session.execute(sqlalchemy.select(DBModule.id).where(
            DBModule.deleted.is_(False), DBModule.id != (row.id or ""), *same)).first() is not None
