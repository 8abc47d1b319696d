"""Controller of /clusters. Which clusters there can be is up to the strategies of the datastores; none has one yet, so
everything that needs one is refused here, after what every strategy would check.
"""
from oslo_log import log as logging

from trove.cluster import models, schema, views
from trove.cluster.tasks import ClusterTasks
from trove.common import apischema, exception, wsgi
from trove.common.apischema import contract
from trove.common.cfg import CONF
from trove.datastore import models as datastore_models
from trove.db import get_db_api, in_transaction
from trove.instance import loading
from trove.instance import views as instance_views

LOG = logging.getLogger(__name__)


def _no_strategy(datastore):
    return exception.NotImplementedHere(f"The datastore {datastore} has no clusters.")


class ClusterController(wsgi.Controller):
    """/clusters and /clusters/{id}."""

    @contract(query=apischema.PAGE, answer=views.LIST)
    def index(self, req):
        """One page of the tenant's clusters."""
        limit, marker = req.page(CONF.clusters_page_size)
        with get_db_api().reader() as session:
            page, following = models.load_page(session, req.context, limit, marker)
        return {"clusters": [views.item(req, cluster) for cluster in page], **wsgi.next_links(req, following)}

    @contract(answer=views.SHOW)
    def show(self, req, cluster_id):
        """One cluster with its members."""
        return {"cluster": views.detail(req, self._load(req, cluster_id))}

    @contract(answer=instance_views.SHOW)
    def show_instance(self, req, cluster_id, instance_id):
        """One member."""
        cluster = self._load(req, cluster_id)
        if instance_id not in {loaded.id for loaded in cluster.members}:
            raise exception.NotFound(f"The cluster {cluster_id} has no instance {instance_id}.")
        with get_db_api().reader() as session:
            details = loading.load_details(session, instance_id, req.context)
        return {"instance": instance_views.detail(req, details)}

    @contract(body=schema.create, status=None, errors=(404, 501))
    def create(self, req, body):
        """Make a cluster."""
        wanted = body["cluster"]["datastore"]
        with get_db_api().reader() as session:
            datastore, _version, _bound = datastore_models.for_create(session, wanted["type"], wanted["version"])
        raise _no_strategy(datastore.name)

    @contract(status=None, errors=(422, 501))
    def delete(self, req, cluster_id):
        """Delete a cluster with its members."""
        cluster = self._load(req, cluster_id)
        cluster.check_idle(ClusterTasks.DELETING)
        raise _no_strategy(cluster.datastore)

    @contract(body=schema.action, status=202, errors=(422,))
    def action(self, req, cluster_id, body):
        """Do the one action that the body names."""
        name = next(iter(body))
        if name == "reset-status":
            in_transaction(models.reset_task)(cluster_id, req.context)
            LOG.info("cluster %s: its task was reset by user %s", cluster_id, req.context.user_id)
            return
        cluster = self._load(req, cluster_id)
        cluster.check_idle()
        raise exception.BadRequest(f"The action {name} is not supported for clusters of {cluster.datastore}.")

    @contract(status=None, errors=(501,))
    def root(self, req, cluster_id):
        """Whether root is enabled on a cluster."""
        raise _no_strategy(self._load(req, cluster_id).datastore)

    @contract(body=schema.enable_root, status=None, errors=(501,))
    def enable_root(self, req, cluster_id, body):
        """Enable root on all members of a cluster."""
        raise _no_strategy(self._load(req, cluster_id).datastore)

    @staticmethod
    def _load(req, cluster_id):
        with get_db_api().reader() as session:
            return models.load(session, cluster_id, req.context)
