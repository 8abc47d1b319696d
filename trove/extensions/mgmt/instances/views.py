"""What administrators see of an instance, beyond what its tenant sees: made of our rows, Nova is not asked."""
from trove.common import apischema
from trove.db import models
from trove.instance import views

_integer, _string, _time = apischema.integer, apischema.string, apischema.timestamp
_optional = apischema.or_null(_string)
_SERVER = {"id": _string, "name": _string, "status": _optional, "tenant_id": _string, "host": _optional}
_MANAGEMENT = {"service_status": _string, "tenant_id": _string, "deleted": apischema.boolean,
               "deleted_at": apischema.or_null(_time), "task_description": _optional}
_ITEM, _ITEM_MAY = views.ITEM
_DETAIL, _DETAIL_MAY = views.DETAIL
LIST = apischema.page("instances", apischema.view("ManagedInstanceInList", {
    **_ITEM, **_MANAGEMENT, "server": apischema.or_null(apischema.view("ServerInList", _SERVER))}, _ITEM_MAY))
_VOLUME = apischema.view("ManagedVolume", {
    "id": _optional, "size": _integer, "total": _integer, "used": apischema.or_null(apischema.number),
    "attachments": apischema.array(apischema.view("Attachment", {"server_id": _string})),
    "availability_zone": _optional, "created_at": _time, "status": _optional})
SHOW = apischema.answer("instance", apischema.view("ManagedInstance", {
    **_DETAIL, **_MANAGEMENT, "volume": apischema.or_null(_VOLUME),
    "server": apischema.or_null(apischema.view("Server", {
        **_SERVER, "addresses": apischema.array(views.ADDRESS)})),
    "guest_status": apischema.view("GuestStatus", {"state_description": _string})},
    {**_DETAIL_MAY, "root_enabled": _time, "root_enabled_by": _optional}))
ROOT_HISTORY = apischema.answer("root_history", apischema.view("RootHistory", {
    "id": _string, "enabled": {"anyOf": [_time, {"const": "Never"}]}, "user": _optional}))
DIAGNOSTICS = apischema.answer("diagnostics", apischema.view("Diagnostics", {
    "version": _string, **dict.fromkeys(("threads", "fdSize", "vmSize", "vmPeak", "vmRss", "vmHwm"), _integer)}))
HWINFO = apischema.answer("hwinfo", apischema.view("Hardware", {"mem_total": _integer, "num_cpus": _integer}))


def _server(row):
    if not row.compute_instance_id:
        return None
    return {"id": row.compute_instance_id, "name": row.name, "status": row.server_status, "tenant_id": row.tenant_id,
            "host": None}


def item(req, loaded):
    """The view in a list.

    loaded: instance.loading.Loaded.
    """
    row = loaded.row
    return {**views.item(req, loaded), **_management(loaded), "server": _server(row)}


def _management(loaded):
    row = loaded.row
    return {"service_status": loaded.service.api_status, "tenant_id": row.tenant_id, "deleted": bool(row.deleted),
            "deleted_at": models.iso(row.deleted_at), "task_description": row.task_description}


def detail(req, details, root):
    """The view of one instance.

    details: instance.loading.Details; root: RootHistory or None.
    """
    loaded, row = details.loaded, details.loaded.row
    server = _server(row)
    if server is not None:
        server["addresses"] = row.address_list
    view = {**views.detail(req, details), **_management(loaded), "server": server, "volume": None,
            "guest_status": {"state_description": loaded.service.description}}
    if row.volume_size is not None:
        view["volume"] = {"id": row.volume_id, "size": row.volume_size, "total": row.volume_size,
                          "used": loaded.used_gb, "availability_zone": None, "created_at": models.iso(row.created),
                          "status": None, "attachments": [{"server_id": row.compute_instance_id}]
                          if row.compute_instance_id else []}
    if root is not None:
        view["root_enabled"] = models.iso(root.created)
        view["root_enabled_by"] = root.user
    return view


def root_history(instance_id, root):
    """Who enabled root and when.

    root: RootHistory or None.
    """
    return {"id": instance_id, "enabled": models.iso(root.created) if root else "Never",
            "user": root.user if root else "Nobody"}


def diagnostics(found):
    """Version and memory (kB) of the agent, with the names that clients know.

    found: dict as guests give it.
    """
    return {"version": found["version"], "threads": found["threads"], "fdSize": found["fd_size"],
            "vmSize": found["vm_size"], "vmPeak": found["vm_peak"], "vmRss": found["vm_rss"], "vmHwm": found["vm_hwm"]}
