"""Datastore versions as administrators manage them."""
from trove.common import apischema

_boolean, _string = apischema.boolean, apischema.string
_VERSION = apischema.view("ManagedVersion", {
    "id": apischema.uuid, "name": _string, "datastore_id": apischema.uuid, "datastore_name": _string,
    "datastore_manager": apischema.or_null(_string), "image": apischema.or_null(_string),
    "packages": apischema.array(_string), "active": _boolean, "default": _boolean})
LIST = apischema.answer("versions", apischema.array(_VERSION))
SHOW = apischema.answer("version", _VERSION)


def version(row, datastore):
    """The dict of a DBDatastoreVersion.

    datastore: its DBDatastore.
    """
    return {"id": row.id, "name": row.name, "datastore_id": datastore.id, "datastore_name": datastore.name,
            "datastore_manager": row.manager, "image": row.image_id, "packages": row.package_list,
            "active": bool(row.active), "default": datastore.default_version_id == row.id}
