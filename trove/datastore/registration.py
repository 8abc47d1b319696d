"""How an administrator makes and changes datastores, versions, their flavors and configuration parameters.

Called by trove-manage and the management API with a session inside one transaction. Every function may be repeated.
"""
import re

import sqlalchemy

from trove.common import exception
from trove.datastore import models
from trove.db import models as db_models
from trove.db.sqlalchemy import tables

# A path with this in place of a datastore's name means versions of all datastores.
RESERVED_NAME = "versions"

_WHOLE = re.compile(r"-?[0-9]+")
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
    if name == RESERVED_NAME:
        raise exception.BadValue(field="datastore_name", reason=f"'{RESERVED_NAME}' is reserved.")
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


def _refuse_taken_name(session, datastore_id, name, except_id=None):
    taken = session.execute(sqlalchemy.select(models.DBDatastoreVersion.id).where(
        models.DBDatastoreVersion.datastore_id == datastore_id, models.DBDatastoreVersion.name == name)).scalar()
    if taken is not None and taken != except_id:
        raise exception.BadValue(field="name", reason=f"the datastore has a version '{name}' already.")


def _checked_columns(values):
    columns = tables.datastore_versions.c
    for column, field in (("name", "name"), ("manager", "datastore_manager"), ("image_id", "image"),
                          ("packages", "packages")):
        if column in values:
            values[column] = _checked(columns[column], field, values[column], required=column != "packages")
    return values


def create_version(session, datastore, values, default):
    """Make a version, and its datastore if there is none of that name.

    datastore: id or name; values: columns name, manager, image_id, active and perhaps packages; default: whether
    requests that name no version get it. Raises BadValue for a name that is taken or an impossible value.
    """
    try:
        parent = models.find_datastore(session, datastore)
    except exception.NotFound:
        parent = update_datastore(session, datastore)
    values = _checked_columns(dict(values))
    _refuse_taken_name(session, parent.id, values["name"])
    row = models.DBDatastoreVersion(datastore_id=parent.id, **{"packages": "", **values})
    session.add(row)
    session.flush()
    if default:
        parent.default_version_id = row.id
    return row


def change_version(session, version_id, values, default=None):
    """Change columns of a version; default: whether it is the default version of its datastore, None to leave that.

    Raises NotFound; BadValue for a name that is taken or an impossible value.
    """
    row = models.DBDatastoreVersion.get(session, version_id)
    values = _checked_columns(dict(values))
    if "name" in values:
        _refuse_taken_name(session, row.datastore_id, values["name"], except_id=row.id)
    for column, value in values.items():
        setattr(row, column, value)
    parent = session.get(models.DBDatastore, row.datastore_id)
    if default:
        parent.default_version_id = row.id
    elif default is not None and parent.default_version_id == row.id:
        parent.default_version_id = None


def delete_version(session, version_id):
    """Delete a version with its flavors and parameters.

    Raises NotFound, and BadRequest while anything refers to it: the rows of deleted instances and backups do, too.
    """
    row = models.DBDatastoreVersion.get(session, version_id)
    for table, what in ((tables.instances, "instances"), (tables.clusters, "clusters"), (tables.backups, "backups"),
                        (tables.configurations, "configuration groups")):
        users = session.execute(sqlalchemy.select(table.c.deleted).where(
            table.c.datastore_version_id == row.id).order_by(table.c.deleted).limit(1)).scalars().all()
        if users:
            reason = f"{what} are still made from it" if not users[0] else f"deleted {what} were made from it"
            raise exception.BadRequest(f"The version {row.name} cannot be deleted: {reason}. "
                                       "Set active to false, so that nobody can use it any more.")
    parent = session.get(models.DBDatastore, row.datastore_id)
    if parent.default_version_id == row.id:
        parent.default_version_id = None
    for table in (tables.datastore_version_metadata, tables.datastore_configuration_parameters):
        session.execute(sqlalchemy.delete(table).where(table.c.datastore_version_id == row.id))
    session.delete(row)


def delete_datastore(session, datastore):
    """Delete a datastore (id or name). Raises NotFound, and BadRequest while it has versions."""
    row = models.find_datastore(session, datastore)
    if models.load_versions(session, row, only_active=False):
        raise exception.BadRequest(f"The datastore {row.name} still has versions: delete them first.")
    session.delete(row)


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

    rules: the content of a validation-rules.json. Parameters that it does not name are left alone.
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


def _find_parameter(session, version_id, name, deleted=False):
    """(DBDatastoreVersion, its parameter or None); the version is held against other writers. Raises NotFound."""
    version = session.execute(models.DBDatastoreVersion.live().where(
        models.DBDatastoreVersion.id == version_id).with_for_update()).scalars().one_or_none()
    if version is None:
        raise exception.NotFound(resource=models.DBDatastoreVersion.label, id=version_id)
    try:
        return version, models.find_parameter(session, version, name, deleted)
    except exception.NotFound:
        return version, None


def _known_parameter(session, version_id, name):
    version, row = _find_parameter(session, version_id, name)
    if row is None:
        raise exception.BadRequest(f"Version {version.name} has no parameter '{name}'.")
    return row


def create_parameter(session, version_id, name, rule):
    """Make a parameter of a version, or bring one back that was deleted; returns its row.

    rule: dict with type (boolean, float, integer or string), restart_required, max and min (numbers or None).
    Raises NotFound for an unknown version, BadValue for a name that is taken or an impossible value.
    """
    version, row = _find_parameter(session, version_id, name, deleted=True)
    if row is None:
        row = models.DBDatastoreConfigurationParameter(datastore_version_id=version.id)
        session.add(row)
    elif not row.deleted:
        raise exception.BadValue(field="name", reason=f"version {version.name} has a parameter '{row.name}' already.")
    for column, value in _parameter({**rule, "name": name}, "configuration-parameter").items():
        setattr(row, column, value)
    row.deleted, row.deleted_at = False, None
    return row


def change_parameter(session, version_id, name, rule):
    """Change a parameter of a version; returns its row. Raises as ``create_parameter``, BadRequest for an unknown one.
    """
    row = _known_parameter(session, version_id, name)
    for column, value in _parameter({**rule, "name": row.name}, "configuration-parameter").items():
        setattr(row, column, value)
    return row


def delete_parameter(session, version_id, name):
    """Mark a parameter of a version deleted. Raises NotFound for an unknown version, BadRequest for the parameter."""
    _known_parameter(session, version_id, name).soft_delete()


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
        if size is not None and (isinstance(size, bool) or not _WHOLE.fullmatch(str(size))):
            raise exception.BadValue(field=f"{field}.{key}", reason="must be a whole number")
        values[column] = None if size is None else _checked(_parameters.c[column], f"{field}.{key}", str(size))
    return values
