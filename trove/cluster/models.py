"""Rows of clusters, loaded with their datastores and members in a fixed number of statements."""
import dataclasses

import sqlalchemy

from trove.cluster.tasks import ClusterTasks
from trove.common import exception
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db import models
from trove.db.sqlalchemy import tables
from trove.instance import loading


@models.registry.mapped
class DBCluster(models.Row):
    """A cluster of a tenant."""

    __table__ = tables.clusters
    label = "cluster"

    @property
    def task(self):
        """The ClusterTask that the row says."""
        return ClusterTasks.from_code(self.task_id)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """row: DBCluster; datastore, version: names; members: instance.loading.Loaded, oldest first."""

    row: DBCluster
    datastore: str
    version: str
    members: tuple

    @property
    def id(self):
        """The id of the cluster."""
        return self.row.id

    def check_idle(self, *also):
        """Refuse while a task other than NONE and ``also`` (ClusterTasks) is under way: UnprocessableEntity."""
        if self.row.task not in (ClusterTasks.NONE, *also):
            raise exception.UnprocessableEntity(
                f"Cluster {self.id} cannot do this now: its task is {self.row.task.name}.")


def _select(context, deleted):
    query = sqlalchemy.select(DBCluster, DBDatastore.name, DBDatastoreVersion.name).outerjoin(
        DBDatastoreVersion, DBDatastoreVersion.id == DBCluster.datastore_version_id).outerjoin(
        DBDatastore, DBDatastore.id == DBDatastoreVersion.datastore_id)
    if deleted is not None:
        query = query.where(DBCluster.deleted.is_(deleted))
    return query if context is None else query.where(DBCluster.tenant_id == context.project_id)


def _with_members(session, found):
    members = {}
    for loaded in loading.load_members(session, [row.id for row, _, _ in found]):
        members.setdefault(loaded.row.cluster_id, []).append(loaded)
    return [Cluster(row, datastore, version, tuple(members.get(row.id, ()))) for row, datastore, version in found]


def load(session, cluster_id, context, deleted=False):
    """The Cluster with that id. Raises NotFound, the same for absent, deleted and foreign ones.

    context: administrators may load those of any tenant; deleted: None for any.
    """
    query = _select(None if context.is_admin else context, deleted).where(DBCluster.id == cluster_id)
    found = session.execute(query).all()
    if not found:
        raise exception.NotFound(resource=DBCluster.label, id=cluster_id)
    return _with_members(session, found)[0]


def load_page(session, context, limit, marker):
    """One page of a tenant's clusters, the oldest first: (list of Cluster, marker of the next page or None).

    marker: id of the last cluster of the page before, or None. Raises BadValue for an unknown one.
    """
    found, following = models.page(session, _select(context, deleted=False), DBCluster, limit, marker,
                                   DBCluster.tenant_id == context.project_id)
    return _with_members(session, found), following


def load_all(session, deleted):
    """The clusters of all tenants, the oldest first; deleted: True, False, or None for both. Two statements."""
    query = _select(None, deleted).order_by(*models.oldest_first(DBCluster))
    return _with_members(session, session.execute(query).all())


def reset_task(session, cluster_id, context):
    """Give up on what a cluster does: its task is NONE again. Raises NotFound."""
    DBCluster.get(session, cluster_id, context).task_id = ClusterTasks.NONE.code
