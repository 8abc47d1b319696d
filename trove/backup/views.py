"""What users see of a backup: plain dicts made of loaded rows. Every attribute that a client prints is there."""
from trove.backup import models as models_of_backup
from trove.common import apischema
from trove.common.cfg import CONF
from trove.db import models
from trove.operation import views as operation_views

STORAGE_DRIVER = "swift"

_string, _text = apischema.string, apischema.or_null(apischema.string)
_ITEM = {
    "id": apischema.uuid, "name": _string, "description": _text, "instance_id": _text, "parent_id": _text,
    "locationRef": _text, "size": apischema.or_null(apischema.number), "status": _string, "project_id": _text,
    "created": apischema.timestamp, "updated": apischema.timestamp, "storage_driver": _string,
}
_ITEM_MAY = {"datastore": apischema.view(
    "DatastoreOfBackup", dict.fromkeys(("type", "version", "version_id"), _string))}
LIST = apischema.page("backups", apischema.view("BackupInList", _ITEM, _ITEM_MAY))
SHOW = apischema.answer("backup", apischema.view("Backup", _ITEM, {
    **_ITEM_MAY, "operation": operation_views.CURRENT, "uploaded": apischema.integer,
    "fault": apischema.view("FaultOfBackup", {"message": _string})}))

_STRATEGY = apischema.view("BackupStrategy", {
    "project_id": _string, "instance_id": _text, "backend": _string, "swift_container": _string})
STRATEGIES = apischema.answer("backup_strategies", apischema.array(_STRATEGY))
STRATEGY = apischema.answer("backup_strategy", _STRATEGY)


def item(row, datastores):
    """The view of a backup. datastores: {version id: (datastore name, version name)}."""
    view = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "instance_id": row.instance_id,
        "parent_id": row.parent_id,
        "locationRef": row.location,
        # A size that cannot be had back would only mislead.
        "size": None if row.state == models_of_backup.FAILED else row.size,
        "status": row.state,
        "created": models.iso(row.created),
        "updated": models.iso(row.updated),
        "project_id": row.tenant_id,
        "storage_driver": STORAGE_DRIVER,
    }
    if row.datastore_version_id in datastores:
        name, version = datastores[row.datastore_version_id]
        view["datastore"] = {"type": name, "version": version, "version_id": row.datastore_version_id}
    return view


def detail(row, datastores, newest):
    """Return the view of one backup: an item with its newest operation (row or None), the bytes uploaded so far, and
    the cause of a failure.
    """
    view = item(row, datastores)
    if newest is not None:
        view["operation"] = operation_views.current(newest)
        if "uploaded" in newest.data:
            view["uploaded"] = newest.data["uploaded"]
        if newest.error:
            view["fault"] = {"message": newest.error}
    return view


def strategy(project_id, instance_id):
    """Where the backups of a tenant, or of one of its instances (or None), are kept."""
    return {"project_id": project_id, "instance_id": instance_id, "backend": STORAGE_DRIVER,
            "swift_container": CONF.backup_swift_container}
