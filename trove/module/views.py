"""What users see of a module: never its contents."""
from trove.common import apischema
from trove.db import models
from trove.instance import views as instance_views
from trove.module.models import ALL

_boolean, _string, _time = apischema.boolean, apischema.string, apischema.timestamp
_optional = apischema.or_null(_string)
_MODULE = {
    "id": apischema.uuid, "name": _string, "type": _string, "description": _optional, "tenant_id": _optional,
    "tenant": _string, "datastore_id": _optional, "datastore": _string, "datastore_version_id": _optional,
    "datastore_version": _string, "auto_apply": _boolean, "md5": _string, "visible": _boolean, "created": _time,
    "updated": _time}
LIST = apischema.page("modules", apischema.view("ModuleInList", _MODULE))
SHOW = apischema.answer("module", apischema.view("Module", {
    **_MODULE, "live_update": _boolean, "instance_count": apischema.integer}))
APPLIED = apischema.answer("modules", apischema.array(apischema.view("AppliedModule", {
    **_MODULE, "applied": _time, "applied_md5": _string})))
INSTANCES = apischema.page("instances", apischema.view("InstanceInList", *instance_views.ITEM))


def item(module):
    """The view of a module in a list.

    module: models.Module.
    """
    row = module.row
    return {"id": row.id, "name": row.name, "type": row.type, "description": row.description,
            "tenant_id": row.tenant_id, "tenant": row.tenant_id or ALL,
            "datastore_id": row.datastore_id, "datastore": module.datastore or ALL,
            "datastore_version_id": row.datastore_version_id, "datastore_version": module.version or ALL,
            "auto_apply": row.auto_apply, "md5": row.md5, "visible": row.visible,
            "created": models.iso(row.created), "updated": models.iso(row.updated)}


def detail(module):
    """The view of one module."""
    return {**item(module), "live_update": module.row.live_update, "instance_count": module.instance_count}


def applied(module, row):
    """The view of a module among those of an instance.

    row: DBInstanceModule.
    """
    return {**item(module), "applied": models.iso(row.created), "applied_md5": row.md5}
