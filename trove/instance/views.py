"""What users see of an instance: plain dicts made of loaded rows. No query, no remote call.

Every attribute that a client prints is always there: for a missing one the command line client asks again, once for
each listed instance.
"""
import datetime
import functools
import re

from trove.common import apischema, wsgi
from trove.common.cfg import CONF
from trove.db import models
from trove.operation import views as operation_views

COLLECTION = "instances"

_integer, _number, _string, _time = apischema.integer, apischema.number, apischema.string, apischema.timestamp
_REFERENCE = apischema.view("Reference", {"id": _string, "links": apischema.links})
ADDRESS = apischema.view("Address", dict.fromkeys(("address", "network", "type"), _string))
_ITEM = {
    "id": apischema.uuid, "name": _string, "status": _string, "operating_status": _string, "links": apischema.links,
    "flavor": _REFERENCE, "region": _string, "created": _time, "updated": _time,
    "datastore": apischema.view("DatastoreOfInstance", dict.fromkeys(("type", "version", "version_number"), _string)),
    "access": apischema.view("Access", {"is_public": apischema.boolean, "allowed_cidrs": apischema.array(_string)}),
    "addresses": apischema.array(ADDRESS),
}
_ITEM_MAY = {
    "volume": apischema.view("Volume", {"size": _integer}, {"used": _number}), "hostname": _string,
    "ip": apischema.array(_string), "replica_of": _REFERENCE,
}
# What a list and what a show have, and may have; management adds to them.
ITEM = (_ITEM, _ITEM_MAY)
DETAIL = ({**_ITEM, "service_status_updated": apischema.or_null(_time)}, {
    **_ITEM_MAY, "local_storage": apischema.view("LocalStorage", {"used": _number}),
    "replicas": apischema.array(_REFERENCE), "cluster_id": _string, "shard_id": apischema.or_null(_string),
    "fault": apischema.view("Fault", {"message": _string, "created": _time, "details": apischema.or_null(_string)}),
    "configuration": apischema.view(
        "ConfigurationOfInstance", {"id": _string, "name": _string, "links": apischema.links}),
    "replication": apischema.view("Replication", {
        "running": apischema.boolean, "lag": apischema.or_null(_integer), "error": apischema.or_null(_string)}),
    "restorable": apischema.view("Restorable", {"earliest": _time, "latest": _time}),
    "operation": operation_views.CURRENT, "tenant_id": _string, "server_id": apischema.or_null(_string),
    "volume_id": apischema.or_null(_string), "password": _string})
LIST = apischema.page("instances", apischema.view("InstanceInList", *ITEM))
DETAILS = apischema.page("instances", apischema.view("Instance", *DETAIL))
SHOW = apischema.answer("instance", apischema.view("Instance", *DETAIL))


@functools.lru_cache(maxsize=32)
def _pattern(text):
    return re.compile(text)


def visible_addresses(addresses):
    """The addresses that users may see, by the options network_label_regex, ip_regex and black_list_regex.

    addresses: list of {"address", "network", "type"}, as rows keep them.
    """
    label, wanted, unwanted = CONF.network_label_regex, CONF.ip_regex, CONF.black_list_regex
    return [entry for entry in addresses
            if _pattern(label).search(entry.get("network") or "")
            and (not wanted or _pattern(wanted).search(entry["address"]))
            and (not unwanted or not _pattern(unwanted).search(entry["address"]))]


def _naive(seconds):
    """Seconds since the epoch as rows keep times: naive, in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)


def _reference(req, instance_id):
    return {"id": instance_id, "links": wsgi.object_links(req, COLLECTION, instance_id)}


def item(req, loaded):
    """The view of an instance in a list.

    loaded: instance.loading.Loaded.
    """
    row = loaded.row
    view = {
        "id": row.id,
        "name": row.name,
        "status": loaded.status,
        "operating_status": loaded.health.operating_status,
        "links": wsgi.object_links(req, COLLECTION, row.id),
        "flavor": {"id": row.flavor_id, "links": wsgi.object_links(req, "flavors", row.flavor_id)},
        "datastore": {"type": loaded.datastore, "version": loaded.version, "version_number": loaded.version},
        "region": CONF.region,
        "access": {"is_public": False, "allowed_cidrs": row.cidr_list},
        "addresses": visible_addresses(row.address_list),
        "created": models.iso(row.created),
        "updated": models.iso(row.updated),
    }
    if row.volume_size is not None:
        view["volume"] = {"size": row.volume_size}
    if row.hostname:
        view["hostname"] = row.hostname
    elif view["addresses"]:
        view["ip"] = [entry["address"] for entry in view["addresses"]]
    if row.slave_of_id:
        view["replica_of"] = _reference(req, row.slave_of_id)
    return view


def detail(req, details, password=None):
    """The view of one instance.

    details: instance.loading.Details; password: of root, only in the answer to the request that made it.
    """
    loaded, row = details.loaded, details.loaded.row
    view = item(req, loaded)
    view["service_status_updated"] = models.iso(loaded.last_seen)
    if loaded.used_gb is not None:
        view.setdefault("volume" if row.volume_size is not None else "local_storage", {})["used"] = loaded.used_gb
    if details.replica_ids:
        view["replicas"] = [_reference(req, replica_id) for replica_id in details.replica_ids]
    if details.configuration is not None:
        group = details.configuration
        view["configuration"] = {"id": group.id, "name": group.name,
                                 "links": wsgi.object_links(req, "configurations", group.id)}
    if row.cluster_id:
        view["cluster_id"] = row.cluster_id
        view["shard_id"] = row.shard_id
    if loaded.health.fault and not row.task.is_error:
        since = loaded.health.since
        began = loaded.last_seen if since is None else _naive(since)
        view["fault"] = {"message": loaded.health.fault, "created": models.iso(began), "details": None}
    elif details.fault is not None:
        view["fault"] = {"message": details.fault.message, "created": models.iso(details.fault.created),
                         "details": details.fault.details}
    if row.slave_of_id and loaded.replication is not None:
        view["replication"] = loaded.replication
    if details.window is not None:
        window = details.window
        view["restorable"] = {"earliest": models.iso(_naive(window.earliest)),
                              "latest": models.iso(_naive(window.latest))}
    if details.operation is not None:
        view["operation"] = operation_views.current(details.operation)
    if req.context.is_admin:
        view.update(tenant_id=row.tenant_id, server_id=row.compute_instance_id, volume_id=row.volume_id)
    if password is not None:
        view["password"] = password
    return view
