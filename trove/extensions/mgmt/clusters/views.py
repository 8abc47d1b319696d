"""What administrators see of a cluster, beyond what its tenant sees."""
from trove.cluster import views
from trove.common import apischema
from trove.db import models

_MANAGED = {"tenant_id": apischema.string, "deleted": apischema.boolean}
_MAY = {"deleted_at": apischema.timestamp}
LIST = apischema.answer("clusters", apischema.array(apischema.view(
    "ManagedClusterInList", {**views.ITEM, **_MANAGED}, _MAY)))
SHOW = apischema.answer("cluster", apischema.view(
    "ManagedCluster", {**views.DETAIL, **_MANAGED}, {**_MAY, "ip": apischema.array(apischema.string)}))


def managed(view, row):
    """The view of a cluster, with what only administrators see.

    row: its DBCluster.
    """
    more = {"tenant_id": row.tenant_id, "deleted": bool(row.deleted)}
    if row.deleted_at:
        more["deleted_at"] = models.iso(row.deleted_at)
    return {**view, **more}
