"""Rows of configuration groups, and how they are looked up, locked and written."""
import dataclasses

import sqlalchemy

from trove.common import exception
from trove.configuration import changes
from trove.datastore.models import DBDatastore, DBDatastoreConfigurationParameter, DBDatastoreVersion
from trove.db import models
from trove.db.sqlalchemy import tables
from trove.instance.models import DBInstance

_parameters = tables.configuration_parameters


@models.registry.mapped
class DBConfiguration(models.Row):
    """A configuration group of a tenant, for one version of a datastore."""

    __table__ = tables.configurations
    label = "configuration"


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A group with the names that views show. values, instance_count: None in lists."""

    row: DBConfiguration
    datastore: str
    version: str
    values: dict | None = None
    instance_count: int | None = None


def _select():
    return sqlalchemy.select(DBConfiguration, DBDatastore.name, DBDatastoreVersion.name).outerjoin(
        DBDatastoreVersion, DBDatastoreVersion.id == DBConfiguration.datastore_version_id).outerjoin(
        DBDatastore, DBDatastore.id == DBDatastoreVersion.datastore_id).where(DBConfiguration.deleted.is_(False))


def load_page(session, tenant_id, limit, marker):
    """One page of a tenant's groups, the oldest first: (list of Loaded, marker of the next page or None).

    marker: id of the last group of the page before, or None. Raises BadValue for an unknown one.
    """
    own = DBConfiguration.tenant_id == tenant_id
    found, following = models.page(session, _select().where(own), DBConfiguration, limit, marker, own)
    return [Loaded(*row) for row in found], following


def load(session, configuration_id, context):
    """One group with its values. Raises NotFound, the same for absent, deleted and foreign ones."""
    query = _select().where(DBConfiguration.id == configuration_id)
    if not context.is_admin:
        query = query.where(DBConfiguration.tenant_id == context.project_id)
    found = session.execute(query).one_or_none()
    if found is None:
        raise exception.NotFound(resource=DBConfiguration.label, id=configuration_id)
    row = found[0]
    count = session.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(DBInstance).where(
        *_attached(row.id))).scalar_one()
    return Loaded(*found, values=load_values(session, row.id, load_rules(session, row.datastore_version_id)),
                  instance_count=count)


def lock(session, configuration_id, context=None):
    """The live row of a group, held against other writers until the end of the transaction.

    It is taken before any instance's row. context: if given, another tenant's group is refused unless it is an
    administrator's. Raises NotFound.
    """
    query = DBConfiguration.live().where(DBConfiguration.id == configuration_id)
    if context is not None and not context.is_admin:
        query = query.where(DBConfiguration.tenant_id == context.project_id)
    row = session.execute(query.with_for_update()).scalars().one_or_none()
    if row is None:
        raise exception.NotFound(resource=DBConfiguration.label, id=configuration_id)
    return row


def load_rules(session, version_id):
    """The parameters of a datastore version: {name: changes.Rule}."""
    rows = session.execute(DBDatastoreConfigurationParameter.live().where(
        DBDatastoreConfigurationParameter.datastore_version_id == version_id)).scalars()
    return {row.name: changes.Rule(row.name, row.data_type, bool(row.restart_required),
                                   None if row.min_size is None else int(row.min_size),
                                   None if row.max_size is None else int(row.max_size)) for row in rows}


def load_values(session, configuration_id, rules):
    """The values of a group with the types of its parameters: {name: value}. No group (None) has none."""
    if configuration_id is None:
        return {}
    rows = session.execute(sqlalchemy.select(_parameters.c.configuration_key, _parameters.c.configuration_value).where(
        _parameters.c.configuration_id == configuration_id, _parameters.c.deleted.is_(False)
    ).order_by(_parameters.c.configuration_key))
    return {name: changes.from_text(text, rules.get(name)) for name, text in rows}


def save_values(session, configuration_id, values):
    """Let a group have exactly these values; rows that are gone stay as deleted ones."""
    known = set(session.execute(sqlalchemy.select(_parameters.c.configuration_key).where(
        _parameters.c.configuration_id == configuration_id)).scalars())
    session.execute(sqlalchemy.update(_parameters).where(
        _parameters.c.configuration_id == configuration_id, _parameters.c.deleted.is_(False),
        _parameters.c.configuration_key.not_in(list(values))).values(deleted=True, deleted_at=models.utcnow()))
    for name, value in values.items():
        columns = {"configuration_value": changes.to_text(value), "deleted": False, "deleted_at": None}
        if name in known:
            session.execute(sqlalchemy.update(_parameters).where(
                _parameters.c.configuration_id == configuration_id,
                _parameters.c.configuration_key == name).values(**columns))
        else:
            session.execute(_parameters.insert().values(
                configuration_id=configuration_id, configuration_key=name, **columns))


def _attached(configuration_id):
    return DBInstance.configuration_id == configuration_id, DBInstance.deleted.is_(False)


def attached_page(session, configuration_id, limit, marker):
    """One page of the instances that a group is attached to, the oldest first.

    marker: id of the last instance of the page before, or None; it must be of the group's tenant.
    Returns (list of DBInstance, marker of the next page or None). Raises BadValue for an unknown marker.
    """
    tenant_id = sqlalchemy.select(DBConfiguration.tenant_id).where(
        DBConfiguration.id == configuration_id).scalar_subquery()
    found, following = models.page(session, sqlalchemy.select(DBInstance).where(*_attached(configuration_id)),
                                   DBInstance, limit, marker, DBInstance.tenant_id == tenant_id)
    return [row for row, in found], following


def lock_attached(session, configuration_id):
    """The instances that a locked group is attached to, held until the end of the transaction, by id."""
    return session.execute(sqlalchemy.select(DBInstance).where(
        *_attached(configuration_id)).order_by(DBInstance.id).with_for_update()).scalars().all()
