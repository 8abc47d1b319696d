"""What users see of a cluster: plain dicts made of loaded rows."""
from trove.common import apischema, wsgi
from trove.db import models
from trove.instance import views as instance_views

_integer, _string, _time = apischema.integer, apischema.string, apischema.timestamp
_links = {"id": _string, "links": apischema.links}
_MEMBER = {"id": apischema.uuid, "name": _string, "type": apischema.or_null(_string), "links": apischema.links}
CLUSTER = {
    "id": apischema.uuid, "name": _string, "created": _time, "updated": _time, "links": apischema.links,
    "datastore": apischema.view("DatastoreOfCluster", dict.fromkeys(("type", "version"), _string)),
    "task": apischema.view("ClusterTask", {"id": _integer, "name": _string, "description": _string})}
ITEM = {**CLUSTER, "instances": apischema.array(apischema.view("Member", _MEMBER, {"shard_id": _string}))}
DETAIL = {**CLUSTER, "instances": apischema.array(apischema.view("MemberInDetail", {
    **_MEMBER, "status": _string, "flavor": apischema.view("FlavorOfMember", _links)}, {
    "shard_id": _string, "volume": apischema.view("VolumeOfMember", {"size": _integer}),
    "ip": apischema.array(_string)}))}
LIST = apischema.page("clusters", apischema.view("ClusterInList", ITEM))
SHOW = apischema.answer("cluster", apischema.view("Cluster", DETAIL, {"ip": apischema.array(_string)}))


def _view(req, cluster):
    row = cluster.row
    return {"id": row.id, "name": row.name, "created": models.iso(row.created), "updated": models.iso(row.updated),
            "links": wsgi.object_links(req, "clusters", row.id),
            "datastore": {"type": cluster.datastore, "version": cluster.version},
            "task": {"id": row.task.code, "name": row.task.name, "description": row.task.description}}


def _member(req, loaded):
    row = loaded.row
    view = {"id": row.id, "name": row.name, "type": row.type,
            "links": wsgi.object_links(req, instance_views.COLLECTION, row.id)}
    if row.shard_id:
        view["shard_id"] = row.shard_id
    return view


def item(req, cluster):
    """The view of a cluster in a list.

    cluster: models.Cluster.
    """
    return {**_view(req, cluster), "instances": [_member(req, loaded) for loaded in cluster.members]}


def detail(req, cluster):
    """The view of one cluster: its members as in the list of instances, and where to connect to."""
    members, addresses = [], set()
    for loaded in cluster.members:
        whole = instance_views.item(req, loaded)
        known = {key: whole[key] for key in ("status", "flavor", "volume", "ip") if key in whole}
        members.append({**_member(req, loaded), **known})
        addresses.update(whole.get("ip", ()))
    view = {**_view(req, cluster), "instances": members}
    return {**view, "ip": sorted(addresses)} if addresses else view
