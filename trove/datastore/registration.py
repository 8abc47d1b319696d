"""How an administrator makes and changes datastores, versions, their flavors and configuration parameters.

Called by trove-manage with a session inside one transaction. Every function may be repeated.
"""
import sqlalchemy

from trove.common import exception
from trove.datastore import models
from trove.db import models as db_models
from trove.db.sqlalchemy import tables

_parameters = tables.datastore_configuration_parameters


def _checked(column, field, value, required=True):
    """The text, stripped, if the column can hold it. Raises BadValue naming the field."""
    value = value.strip()
    if required and not value:
        raise exception.BadValue(field=field, reason="must not be empty")
    if len(value) > column.type.length:
        raise exception.BadValue(field=field, reason=f"must have at most {column.type.length} characters")
    return value


def update_datastore(session, name, default_version=""):
    """Make a datastore or change its default version.

    default_version: id or name of one of its versions; an empty text leaves it as it is.
    Raises NotFound for an unknown version, BadValue for an impossible name.
    """
    name = _checked(tables.datastores.c.name, "datastore_name", name)
    row = session.execute(sqlalchemy.select(models.DBDatastore).where(
        models.DBDatastore.name == name)).scalars().first()
    if row is None:
        row = models.DBDatastore(name=name)
        session.add(row)
        session.flush()
    if default_version.strip():
        row.default_version_id = models.find_version(session, row, default_version.strip()).id
    return row


def update_version(session, datastore, name, manager, image_id, packages, active):
    """Make a version of a datastore or change it.

    datastore: id or name; packages: names separated by commas, or empty; active: whether instances can be made.
    Raises NotFound for an unknown datastore, BadValue for an impossible value.
    """
    columns = tables.datastore_versions.c
    parent = models.find_datastore(session, datastore)
    name = _checked(columns.name, "version_name", name)
    values = {"manager": _checked(columns.manager, "manager", manager),
              "image_id": _checked(columns.image_id, "image_id", image_id),
              "packages": _checked(columns.packages, "packages", packages, required=False), "active": active}
    row = session.execute(sqlalchemy.select(models.DBDatastoreVersion).where(
        models.DBDatastoreVersion.datastore_id == parent.id, models.DBDatastoreVersion.name == name)).scalars().first()
    if row is None:
        row = models.DBDatastoreVersion(datastore_id=parent.id, name=name, **values)
        session.add(row)
    for column, value in values.items():
        setattr(row, column, value)
    return row


def _version(session, datastore, version):
    return models.find_version(session, models.find_datastore(session, datastore), version)


def _flavor_row(session, version, flavor_id):
    metadata = models.DBDatastoreVersionMetadata
    return session.execute(sqlalchemy.select(metadata).where(
        metadata.datastore_version_id == version.id, metadata.key == "flavor",
        metadata.value == flavor_id)).scalars().first()


def add_flavors(session, datastore, version, flavor_ids):
    """Restrict a version to these flavors (ids, list) and those it has already. Raises NotFound, BadValue."""
    parent = _version(session, datastore, version)
    if not flavor_ids:
        raise exception.BadValue(field="flavor_ids", reason="must name at least one flavor")
    for flavor_id in flavor_ids:
        flavor_id = _checked(tables.datastore_version_metadata.c.value, "flavor_ids", flavor_id)
        row = _flavor_row(session, parent, flavor_id)
        if row is None:
            session.add(models.DBDatastoreVersionMetadata(
                datastore_version_id=parent.id, key="flavor", value=flavor_id))
        elif row.deleted:  # the unique key allows one row only, so it comes back
            row.deleted, row.deleted_at, row.updated_at = False, None, db_models.utcnow()


def delete_flavor(session, datastore, version, flavor_id):
    """Take one flavor off the list of a version. Raises NotFound when it is not on it."""
    parent = _version(session, datastore, version)
    row = _flavor_row(session, parent, flavor_id)
    if row is None or row.deleted:
        raise exception.NotFound(f"Version {parent.name} of datastore {datastore} is not restricted to the flavor "
                                 f"{flavor_id}.")
    row.soft_delete()


def load_parameters(session, datastore, version, rules):
    """Make or update the configuration parameters of a version; returns how many there were.

    rules: what a validation-rules.json holds, contract/rpc.md 9b. Parameters that it does not name are left alone.
    Raises NotFound, BadValue.
    """
    parent = _version(session, datastore, version)
    entries = rules.get("configuration-parameters") if isinstance(rules, dict) else None
    if not isinstance(entries, list):
        raise exception.BadValue(field="configuration-parameters", reason="must be a list in a JSON object")
    existing = {row.name: row.id for row in session.execute(sqlalchemy.select(
        _parameters.c.name, _parameters.c.id).where(_parameters.c.datastore_version_id == parent.id))}
    for number, entry in enumerate(entries):
        values = _parameter(entry, f"configuration-parameters[{number}]")
        values.update(deleted=False, deleted_at=None)
        if values["name"] in existing:
            session.execute(sqlalchemy.update(_parameters).where(
                _parameters.c.id == existing[values["name"]], _parameters.c.name == values["name"],
                _parameters.c.datastore_version_id == parent.id).values(**values))
        else:
            existing[values["name"]] = db_models.new_id()
            session.execute(_parameters.insert().values(
                id=existing[values["name"]], datastore_version_id=parent.id, **values))
    return len(entries)


def _parameter(entry, field):
    """The column values of one entry. Raises BadValue naming the part of the file."""
    if not isinstance(entry, dict):
        raise exception.BadValue(field=field, reason="must be an object")
    values = {}
    for key, column in (("name", "name"), ("type", "data_type")):
        if not isinstance(entry.get(key), str):
            raise exception.BadValue(field=f"{field}.{key}", reason="must be a text")
        values[column] = _checked(_parameters.c[column], f"{field}.{key}", entry[key])
    if entry.get("restart_required") not in (0, 1):  # false and true are equal to these
        raise exception.BadValue(field=f"{field}.restart_required", reason="must be true, false, 1 or 0")
    values["restart_required"] = bool(entry["restart_required"])
    for key, column in (("max", "max_size"), ("min", "min_size")):
        size = entry.get(key)
        if size is not None and (isinstance(size, bool) or not isinstance(size, (int, float, str))):
            raise exception.BadValue(field=f"{field}.{key}", reason="must be a number")
        values[column] = None if size is None else _checked(_parameters.c[column], f"{field}.{key}", str(size))
    return values
