"""Instances with all that lists, views and checks of actions look at, loaded in a fixed number of statements.

Called by the API's controllers and actions. No property runs a query; decisions are those of ``instance.states``.
"""
import dataclasses
import datetime
import functools
import json
import typing

import sqlalchemy

from trove.backup import archives
from trove.common import exception
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatus, ServiceStatuses
from trove.configuration.models import DBConfiguration
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db import models as db_models
from trove.db.sqlalchemy import tables
from trove.instance import health, models, states
from trove.instance.models import RUNNING_BACKUP_STATES, AgentHeartBeat, DBInstance, InstanceServiceStatus
from trove.operation import models as operations


@dataclasses.dataclass(frozen=True)
class Loaded:
    """An instance with all that lists, views and checks of actions look at, out of one statement.

    row: DBInstance; datastore, version, manager: names; service: ServiceStatus; last_seen: when the guest last gave
    a sign of life (naive UTC) or None; silent: whether that is longer ago than ``agent_heartbeat_expiry``;
    backing_up: whether a backup of it is running; replication: what the guest of a replica last said of it, {"running",
    "lag" in seconds or None, "error" or None}, or None; facts: of the guest, as ``instance.health`` takes them.
    """

    row: DBInstance
    datastore: str
    version: str
    manager: str
    service: ServiceStatus
    last_seen: datetime.datetime | None
    silent: bool
    backing_up: bool
    replication: dict | None = None
    facts: dict = dataclasses.field(default_factory=dict)

    @property
    def id(self):
        """The id of the instance."""
        return self.row.id

    @functools.cached_property
    def status(self):
        """The status word that users see."""
        if self.row.deleted:
            return "SHUTDOWN"
        return states.api_status(self.row.task, self.row.server_status, self.service, self.backing_up, self.silent)

    @functools.cached_property
    def health(self):
        """The health.Verdict on the instance."""
        return health.verdict(self.status, self.service, self.silent, self.facts, self.replication,
                              bool(self.row.slave_of_id))

    @property
    def used_gb(self):
        """GB used on the data file system as the guest last reported it; None if it is silent or never did."""
        return None if self.silent or self.row.deleted else self.facts.get("used")

    @property
    def guest_answers(self):
        """Whether it makes sense to call the guest: its database runs and stays so, and it is not silent."""
        return self.why_unanswered is None

    @property
    def why_unanswered(self):
        """Why it makes no sense to call the guest, as a part of a sentence; None when it does."""
        if self.silent:
            return "its guest is silent"
        if self.service != ServiceStatuses.RUNNING:
            return f"its database is {self.service.description}"
        return f"its status is {self.status}" if self.status in states.BUSY else None

    def check_action(self, action):
        """Refuse an action of states.ALLOWED_TASKS: UnprocessableEntity naming the offending word."""
        reason = states.refusal(action, self.row.task, self.row.server_status, self.service, self.backing_up)
        if reason:
            raise exception.UnprocessableEntity(f"Instance {self.id} cannot do {action} now: {reason}.")


# (of one tenant, without members of clusters, either live or deleted ones) -> the index of such a list.
_INDEXES = {
    (True, True, True): "instances_of_tenant_alone", (True, True, False): "instances_by_tenant",
    (True, False, True): "instances_of_tenant", (True, False, False): "instances_by_tenant_and_time",
    (False, True, True): "instances_of_cluster", (False, True, False): "instances_by_cluster",
    (False, False, True): "instances_live", (False, False, False): "instances_by_time",
}


# Columns of ``_select`` of which a Loaded is made.
_LOADED = 10


class _Fault(typing.NamedTuple):
    """The fault that is shown; see ``models.InstanceFault``."""

    message: str
    details: str | None
    created: datetime.datetime


class _Group(typing.NamedTuple):
    """The configuration group of an instance."""

    id: str
    name: str


# Putting a statement together costs more than running it, so each form of one is made once and then given its values.
@functools.cache
def _select(deleted=False, by_id=False, by_tenant=False, unclustered=False, after=False, paged=False, details=False):
    """The statement behind ``Loaded`` with the parameters ``id``, ``tenant`` and ``rows`` as asked for.

    after: only those beyond a marker, with the parameters of ``find_marker``.

    deleted: False for live instances, True for deleted ones, None for both; details: also whether there are replicas,
    which few instances have, the fields of ``_Fault`` and ``operations.Current``, and those of ``_Group``.
    """
    backups = tables.backups.c
    # A planner may answer EXISTS from all running backups; with LIMIT it looks at those of the instance.
    backing_up = sqlalchemy.select(sqlalchemy.literal_column("1")).where(
        backups.instance_id == DBInstance.id, backups.state.in_(RUNNING_BACKUP_STATES),
        backups.deleted.is_(False)).correlate(DBInstance).limit(sqlalchemy.literal_column("1")).scalar_subquery()
    query = sqlalchemy.select(
        DBInstance, DBDatastore.name, DBDatastoreVersion.name, DBDatastoreVersion.manager,
        InstanceServiceStatus.status_id, InstanceServiceStatus.updated_at, AgentHeartBeat.updated_at, backing_up,
        AgentHeartBeat.replication, AgentHeartBeat.facts,
    ).outerjoin(DBDatastoreVersion, DBDatastoreVersion.id == DBInstance.datastore_version_id).outerjoin(
        DBDatastore, DBDatastore.id == DBDatastoreVersion.datastore_id).outerjoin(
        InstanceServiceStatus, InstanceServiceStatus.instance_id == DBInstance.id).outerjoin(
        AgentHeartBeat, AgentHeartBeat.instance_id == DBInstance.id)
    if details:
        replica, fault, operation = tables.instances.alias(), tables.instance_faults, tables.operations
        query = query.add_columns(
            sqlalchemy.exists().where(replica.c.slave_of_id == DBInstance.id, replica.c.deleted.is_(False)).correlate(
                DBInstance),
            *(fault.c[name] for name in _Fault._fields), *(operation.c[name] for name in operations.Current._fields),
            DBConfiguration.id, DBConfiguration.name,
        ).outerjoin(DBConfiguration, DBConfiguration.id == DBInstance.configuration_id).outerjoin(
            fault, sqlalchemy.and_(fault.c.instance_id == DBInstance.id,
                                   fault.c.id == models.newest_fault_id(DBInstance.id))).outerjoin(
            operation, sqlalchemy.and_(operation.c.resource_id == DBInstance.id,
                                       operation.c.id == operations.newest_id("instance", DBInstance.id)))
    for wanted, condition in (
            (deleted is not None, DBInstance.deleted.is_(bool(deleted))),
            (by_id, DBInstance.id == sqlalchemy.bindparam("id")),
            (by_tenant, DBInstance.tenant_id == sqlalchemy.bindparam("tenant")),
            (unclustered, DBInstance.cluster_id.is_(None)),
            (after, db_models.beyond_marker(DBInstance))):
        if wanted:
            query = query.where(condition)
    if not by_id:
        query = query.order_by(*db_models.oldest_first(DBInstance))
    if paged:
        query = db_models.along(query, DBInstance, _INDEXES[by_tenant, unclustered, deleted is not None])
    return query.limit(sqlalchemy.bindparam("rows", type_=sqlalchemy.Integer)) if paged else query


def _all_loaded(results):
    """The Loaded of each row of ``_select``."""
    expired = db_models.utcnow() - datetime.timedelta(seconds=CONF.agent_heartbeat_expiry)
    found = []
    for row, datastore, version, manager, status_id, reported, heartbeat, backing_up, replication, facts in results:
        service = ServiceStatuses.NEW if status_id is None else ServiceStatuses.from_code(status_id)
        last_seen = max((moment for moment in (reported, heartbeat) if moment is not None), default=None)
        silent = last_seen is None or last_seen < expired
        found.append(Loaded(row, datastore, version, manager, service, last_seen, silent, bool(backing_up),
                            json.loads(replication) if replication and row.slave_of_id else None,
                            json.loads(facts) if facts else {}))
    return found


def _find(session, instance_id, context, deleted, details=False):
    own = context is not None and not context.is_admin
    values = {"id": instance_id, "tenant": context.project_id} if own else {"id": instance_id}
    found = session.execute(_select(deleted, by_id=True, by_tenant=own, details=details), values).one_or_none()
    if found is None:
        raise exception.NotFound(resource=DBInstance.label, id=instance_id)
    return found


def load(session, instance_id, context=None, deleted=False):
    """The instance with that id as a Loaded.

    context: if given, another tenant's instance is refused unless it is an administrator's; deleted: False for a live
    one, None for any. Raises NotFound, the same for absent, deleted and foreign ones.
    """
    return _all_loaded([_find(session, instance_id, context, deleted)])[0]


def load_members(session, cluster_ids):
    """The live members of clusters as Loaded, oldest first, in one statement; members of deleted ones are gone."""
    return _all_loaded(session.execute(_select().where(DBInstance.cluster_id.in_(cluster_ids)))) if cluster_ids else []


def load_page_among(session, ids, tenant_id, limit, marker=None):
    """One page, by id, of the live instances whose ids the SELECT ``ids`` gives.

    The other arguments and the result are those of ``load_page``. In order of creation a database would have to look
    at all instances of the tenant, or sort all of ``ids``, for each page.
    """
    query = _select(by_tenant=tenant_id is not None).where(DBInstance.id.in_(ids))
    if marker is not None:
        query = query.where(DBInstance.id > marker)
    return _page(session, query.order_by(None).order_by(DBInstance.id).limit(limit + 1), tenant_id, limit, {})


def load_page(session, tenant_id, limit, marker=None, include_clustered=False, deleted=False):
    """One page of instances, the oldest first.

    tenant_id: None for those of all tenants; limit: None for all; marker: id of the last instance of the page before,
    which may have been deleted since, or None; deleted: False for live ones, True for deleted ones, None for both.
    Returns (list of Loaded, marker of the next page or None). Raises BadValue for an unknown marker.
    """
    query = _select(deleted, by_tenant=tenant_id is not None, unclustered=not include_clustered,
                    after=marker is not None, paged=limit is not None)
    own = () if tenant_id is None else (DBInstance.tenant_id == tenant_id,)
    values = db_models.find_marker(session, DBInstance, marker, *own)
    if limit is not None:
        values["rows"] = limit + 1
    return _page(session, query, tenant_id, limit, values)


def _page(session, query, tenant_id, limit, values):
    if tenant_id is not None:
        values["tenant"] = tenant_id
    loaded = _all_loaded(session.execute(query, values))
    if limit is None or len(loaded) <= limit:
        return loaded, None
    return loaded[:limit], loaded[limit - 1].id


@dataclasses.dataclass(frozen=True)
class Details:
    """What the view of one instance shows beyond a list's: replicas, fault, progress of the newest operation, group.

    operation: the newest one, live or ended, or None; configuration: the group or None; window: the times to which it
    can be restored (archives.Window) or None.
    """

    loaded: Loaded
    replica_ids: list
    fault: _Fault | models.InstanceFault | None
    operation: operations.Current | None
    configuration: _Group | DBConfiguration | None = None
    window: archives.Window | None = None


def load_details(session, instance_id, context, deleted=False):
    """The Details of an instance. Arguments and errors are those of ``load``."""
    found = list(_find(session, instance_id, context, deleted, details=True))

    def take(kind):
        """The next columns as a tuple of that kind, None where nothing was joined."""
        values, found[:] = kind(*found[:len(kind._fields)]), found[len(kind._fields):]
        return None if values[0] is None else values
    [loaded], found = _all_loaded([found[:_LOADED]]), found[_LOADED:]
    has_replicas = found.pop(0)
    fault, operation, group = take(_Fault), take(operations.Current), take(_Group)
    # Those that have never archived need no further statement.
    window = archives.window(session, instance_id) if "archive" in loaded.facts else None
    return Details(loaded, models.replica_ids(session, instance_id) if has_replicas else [], fault, operation, group,
                   window)


def with_details(session, page):
    """The Details of each Loaded of a page, without operations, in two or three statements."""
    ids = [loaded.id for loaded in page]
    replicas = models.replica_ids_of(session, ids)
    faults = models.newest_faults(session, ids)
    group_ids = {loaded.row.configuration_id for loaded in page} - {None}
    groups = {group.id: group for group in session.execute(sqlalchemy.select(DBConfiguration).where(
        DBConfiguration.id.in_(group_ids))).scalars()} if group_ids else {}
    return [Details(loaded, replicas.get(loaded.id, []), faults.get(loaded.id), None,
                    groups.get(loaded.row.configuration_id)) for loaded in page]
