"""Rows of datastores, versions and their metadata, and how they are looked up."""
import functools

import sqlalchemy

from trove.common import cfg, exception
from trove.common.cfg import CONF
from trove.db import models
from trove.db.sqlalchemy import tables


@models.registry.mapped
class DBDatastore(models.Row):
    """A kind of database server."""

    __table__ = tables.datastores
    label = "datastore"


@models.registry.mapped
class DBDatastoreVersion(models.Row):
    """A release of a datastore: its image, packages and manager."""

    __table__ = tables.datastore_versions
    label = "datastore version"

    @property
    def package_list(self):
        """The packages as a list."""
        return [name.strip() for name in (self.packages or "").split(",") if name.strip()]


@models.registry.mapped
class DBDatastoreVersionMetadata(models.Row):
    """A key of a version; ``flavor`` -> flavor id restricts the flavors."""

    __table__ = tables.datastore_version_metadata
    label = "datastore version metadata"


@models.registry.mapped
class DBDatastoreConfigurationParameter(models.Row):
    """A parameter that configuration groups of a version may set, with its type and bounds."""

    __table__ = tables.datastore_configuration_parameters
    label = "parameter"


def require_users(manager, datastore):
    """Refuse a call about databases and users for a datastore that has none: NotImplementedHere.

    manager: of its version; datastore: its name.
    """
    if not cfg.traits(manager).users:
        raise exception.NotImplementedHere(f"The datastore {datastore} has no databases and no users.")


def find_datastore(session, id_or_name):
    """The datastore with that id, else with that name. Raises NotFound."""
    return _by_id_or_name(session, DBDatastore, id_or_name)


def find_version(session, datastore, id_or_name):
    """The version of ``datastore`` (row) with that id, else with that name. Raises NotFound."""
    return _by_id_or_name(session, DBDatastoreVersion, id_or_name, DBDatastoreVersion.datastore_id == datastore.id)


def _by_id_or_name(session, row_class, id_or_name, *conditions):
    rows = session.execute(sqlalchemy.select(row_class).where(
        sqlalchemy.or_(row_class.id == id_or_name, row_class.name == id_or_name), *conditions)).scalars().all()
    if not rows:
        raise exception.NotFound(resource=row_class.label, id=id_or_name)
    return min(rows, key=lambda row: row.id != id_or_name)


def load_versions(session, datastore, only_active):
    """The versions of ``datastore`` (row) by name; only_active: leave out those that nobody can create from."""
    return _versions(session, only_active, DBDatastoreVersion.datastore_id == datastore.id)


def load_with_versions(session, only_active):
    """[(DBDatastore, [DBDatastoreVersion])] of all datastores, in two statements."""
    datastores = session.execute(sqlalchemy.select(DBDatastore).order_by(DBDatastore.name)).scalars().all()
    versions = {}
    for version in _versions(session, only_active):
        versions.setdefault(version.datastore_id, []).append(version)
    return [(datastore, versions.get(datastore.id, [])) for datastore in datastores]


def _versions(session, only_active, *conditions):
    query = sqlalchemy.select(DBDatastoreVersion).where(*conditions)
    if only_active:
        query = query.where(DBDatastoreVersion.active.is_(True))
    return session.execute(query.order_by(DBDatastoreVersion.name, DBDatastoreVersion.id)).scalars().all()


def load_parameters(session, version, deleted=False):
    """The parameters of ``version`` (row) by name; deleted: also those that were deleted."""
    parameter = DBDatastoreConfigurationParameter
    query = sqlalchemy.select(parameter) if deleted else parameter.live()
    return session.execute(query.where(parameter.datastore_version_id == version.id).order_by(
        parameter.name)).scalars().all()


def find_parameter(session, version, name, deleted=False):
    """One of them; names are compared without case. Raises NotFound."""
    for row in load_parameters(session, version, deleted):
        if row.name.lower() == name.lower():
            return row
    raise exception.NotFound(resource="parameter", id=name)


# Putting these together costs more than running them.
@functools.cache
def _select_for_create(default):
    """The statement of ``for_create``, with the parameters ``datastore`` and, unless default, ``version``."""
    name = sqlalchemy.bindparam("datastore")
    version = DBDatastore.default_version_id if default else sqlalchemy.bindparam("version")
    return sqlalchemy.select(DBDatastore, DBDatastoreVersion, _bound(DBDatastoreVersion.id).exists()).outerjoin(
        DBDatastoreVersion, sqlalchemy.and_(
            DBDatastoreVersion.datastore_id == DBDatastore.id,
            sqlalchemy.or_(DBDatastoreVersion.id == version, DBDatastoreVersion.name == version))).where(
        sqlalchemy.or_(DBDatastore.id == name, DBDatastore.name == name))


def for_create(session, type_=None, version=None):
    """The datastore and version of a create request, which may name neither.

    type_, version: id or name, or None for the defaults.
    Returns (DBDatastore, DBDatastoreVersion, ids of the flavors that the version is restricted to, none for all).
    Raises NotFound for an unknown datastore; BadRequest for no default and for a version that is unknown or not active.
    """
    name = type_ or CONF.default_datastore
    if not name:
        raise exception.BadRequest("datastore.type: name a datastore; this cloud has no default one.")
    rows = session.execute(_select_for_create(not version), {
        "datastore": name, **({"version": version} if version else {})}).all()
    if not rows:
        raise exception.NotFound(resource=DBDatastore.label, id=name)
    datastore = min((row[0] for row in rows), key=lambda row: row.id != name)
    wanted = version or datastore.default_version_id
    if not wanted:
        raise exception.BadRequest(f"datastore.version: name a version; {datastore.name} has no default one.")
    versions = [(row, bound) for owner, row, bound in rows if owner is datastore and row is not None]
    if not versions:
        raise exception.BadRequest(
            f"datastore.version: {datastore.name} has no version '{wanted}'.")
    found, bound = min(versions, key=lambda pair: pair[0].id != wanted)
    if not found.active:
        raise exception.BadRequest(f"datastore.version: version '{found.name}' of {datastore.name} is not active.")
    return datastore, found, bound_flavors(session, found.id) if bound else set()


def _bound(version_id):
    metadata = DBDatastoreVersionMetadata
    return sqlalchemy.select(metadata.value).where(
        metadata.datastore_version_id == version_id, metadata.key == "flavor", metadata.deleted.is_(False))


def bound_flavors(session, version_id):
    """The ids of the flavors that a version is restricted to; empty when all are allowed."""
    return set(session.execute(_bound(version_id)).scalars())


def version_names(session):
    """{version id: (name of its datastore, its name)} of all versions, in one statement."""
    rows = session.execute(sqlalchemy.select(DBDatastoreVersion.id, DBDatastore.name, DBDatastoreVersion.name).join(
        DBDatastore, DBDatastore.id == DBDatastoreVersion.datastore_id))
    return {version_id: (datastore, version) for version_id, datastore, version in rows}
