"""Controller of /mgmt/clusters."""
from oslo_log import log as logging

from trove.cluster import models
from trove.cluster import views as cluster_views
from trove.common import apischema, wsgi
from trove.common.apischema import contract
from trove.db import get_db_api, in_transaction
from trove.extensions.mgmt.clusters import schema, views

LOG = logging.getLogger(__name__)
_DELETED = {"deleted": apischema.boolean}


class MgmtClusterController(wsgi.Controller):
    """/mgmt/clusters and /mgmt/clusters/{id}."""

    @contract(query=_DELETED, answer=views.LIST)
    def index(self, req):
        """The clusters of all tenants; without ``deleted`` in the query also the deleted ones."""
        with get_db_api().reader() as session:
            found = models.load_all(session, self._deleted(req))
        return {"clusters": [views.managed(cluster_views.item(req, cluster), cluster.row) for cluster in found]}

    @contract(query=_DELETED, answer=views.SHOW)
    def show(self, req, cluster_id):
        """One cluster, also a deleted one."""
        with get_db_api().reader() as session:
            cluster = models.load(session, cluster_id, req.context, self._deleted(req))
        return {"cluster": views.managed(cluster_views.detail(req, cluster), cluster.row)}

    @contract(body=schema.action, status=202)
    def action(self, req, cluster_id, body):
        """Give up on what a cluster does."""
        in_transaction(models.reset_task)(cluster_id, req.context)
        LOG.info("cluster %s: its task was reset by user %s", cluster_id, req.context.user_id)

    @staticmethod
    def _deleted(req):
        return req.flag("deleted") if "deleted" in req.GET else None
