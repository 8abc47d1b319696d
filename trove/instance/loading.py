"""Instances with all that lists, views and checks of actions look at, loaded in a fixed number of statements.

Called by the API's controllers and actions. No property runs a query; decisions are those of ``instance.states``.
"""
import collections
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
from trove.db import models as db_models
from trove.db.sqlalchemy import tables
from trove.instance import health, models, states
from trove.instance.models import RUNNING_BACKUP_STATES, DBInstance
from trove.operation import models as operations


@dataclasses.dataclass(frozen=True)
class Loaded:
    """An instance with all that lists, views and checks of actions look at, out of one statement.

    row: DBInstance, or what a page or view needs of one; datastore, version, manager: names; service: ServiceStatus;
    last_seen: when the guest last gave a sign of life (naive UTC) or None; silent: whether that is longer ago than
    ``agent_heartbeat_expiry``; backing_up: whether a backup of it is running; replication: what the guest of a replica
    last said of it, {"running", "lag" in seconds or None, "error" or None}, or None; facts: of the guest, as
    ``instance.health`` takes them.
    """

    row: models.InstanceValues
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


_LIST_COLUMNS = ("id", "name", "hostname", "created", "updated", "deleted", "task_id", "server_status", "flavor_id",
                 "volume_size", "slave_of_id", "addresses", "allowed_cidrs")
# Other columns of ``_select`` of which a Loaded is made.
_LOADED = 9


class _Listed(collections.namedtuple("_Listed", _LIST_COLUMNS), models.InstanceValues):
    """What a list shows of an instance: not the whole object, since time grows with each column."""

    __slots__ = ()


class _Shown(collections.namedtuple("_Shown", (
        *_LIST_COLUMNS, "cluster_id", "shard_id", "tenant_id", "compute_instance_id", "volume_id")),
        models.InstanceValues):
    """What the view of one instance shows of it."""

    __slots__ = ()


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
def _select(kind=DBInstance, deleted=False, by_id=False, by_tenant=False, unclustered=False, after=False, paged=False,
            details=False):
    """The statement behind ``Loaded`` with the parameters ``id``, ``tenant`` and ``rows`` as asked for.

    kind: DBInstance, _Listed or _Shown; after: only those beyond a marker, with the parameters of ``find_marker``;
    deleted: False for live instances, True for deleted ones, None for both; details: also whether there are replicas,
    which few instances have, the fields of ``_Fault`` and ``operations.Current``, and those of ``_Group``.
    """
    # Tables, not classes: the library then has less to do for each run.
    instances, datastores, versions = tables.instances, tables.datastores, tables.datastore_versions
    statuses, heartbeats, backups = tables.service_statuses, tables.agent_heartbeats, tables.backups.c
    # A planner may answer EXISTS from all running backups; with LIMIT it looks at those of the instance.
    running = [sqlalchemy.literal_column(f"'{state}'") for state in RUNNING_BACKUP_STATES]  # no parameters to expand
    backing_up = sqlalchemy.select(sqlalchemy.literal_column("1")).where(
        backups.instance_id == instances.c.id, backups.state.in_(running),
        backups.deleted.is_(False)).correlate(instances).limit(sqlalchemy.literal_column("1")).scalar_subquery()
    columns = (DBInstance,) if kind is DBInstance else (instances.c[name] for name in kind._fields)
    query = sqlalchemy.select(
        *columns, datastores.c.name, versions.c.name, versions.c.manager, statuses.c.status_id, statuses.c.updated_at,
        heartbeats.c.updated_at, backing_up, heartbeats.c.replication, heartbeats.c.facts,
    ).select_from(instances).outerjoin(versions, versions.c.id == instances.c.datastore_version_id).outerjoin(
        datastores, datastores.c.id == versions.c.datastore_id).outerjoin(
        statuses, statuses.c.instance_id == instances.c.id).outerjoin(
        heartbeats, heartbeats.c.instance_id == instances.c.id)
    if details:
        replica, fault, operation = tables.instances.alias(), tables.instance_faults, tables.operations
        groups = tables.configurations
        query = query.add_columns(
            sqlalchemy.exists().where(replica.c.slave_of_id == instances.c.id, replica.c.deleted.is_(False)).correlate(
                instances),
            *(fault.c[name] for name in _Fault._fields), *(operation.c[name] for name in operations.Current._fields),
            groups.c.id, groups.c.name,
        ).outerjoin(groups, groups.c.id == instances.c.configuration_id).outerjoin(
            fault, sqlalchemy.and_(fault.c.instance_id == instances.c.id,
                                   fault.c.id == models.newest_fault_id(instances.c.id))).outerjoin(
            operation, sqlalchemy.and_(operation.c.resource_id == instances.c.id,
                                       operation.c.id == operations.newest_id("instance", instances.c.id)))
    for wanted, condition in (
            (deleted is not None, instances.c.deleted.is_(bool(deleted))),
            (by_id, instances.c.id == sqlalchemy.bindparam("id")),
            (by_tenant, instances.c.tenant_id == sqlalchemy.bindparam("tenant")),
            (unclustered, instances.c.cluster_id.is_(None)),
            (after, db_models.beyond_marker(instances.c))):
        if wanted:
            query = query.where(condition)
    if not by_id:
        query = query.order_by(*db_models.oldest_first(instances.c))
    if paged:
        query = db_models.along(query, instances, _INDEXES[by_tenant, unclustered, deleted is not None])
    return query.limit(sqlalchemy.bindparam("rows", type_=sqlalchemy.Integer)) if paged else query


def _all_loaded(results, kind=DBInstance):
    """The Loaded of each row of ``_select`` for that kind."""
    expired = db_models.utcnow() - datetime.timedelta(seconds=CONF.agent_heartbeat_expiry)
    found, width = [], 1 if kind is DBInstance else len(kind._fields)
    for each in results:
        row = each[0] if kind is DBInstance else kind._make(each[:width])
        datastore, version, manager, status_id, reported, heartbeat, backing_up, replication, facts = each[width:]
        service = ServiceStatuses.NEW if status_id is None else ServiceStatuses.from_code(status_id)
        last_seen = max((moment for moment in (reported, heartbeat) if moment is not None), default=None)
        silent = last_seen is None or last_seen < expired
        found.append(Loaded(row, datastore, version, manager, service, last_seen, silent, bool(backing_up),
                            json.loads(replication) if replication and row.slave_of_id else None,
                            json.loads(facts) if facts else {}))
    return found


def _find(session, instance_id, context, deleted, details=False, kind=DBInstance):
    own = context is not None and not context.is_admin
    values = {"id": instance_id, "tenant": context.project_id} if own else {"id": instance_id}
    found = session.execute(_select(kind, deleted, by_id=True, by_tenant=own, details=details), values).one_or_none()
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


def load_page(session, tenant_id, limit, marker=None, include_clustered=False, deleted=False, listed=False):
    """One page of instances, the oldest first.

    tenant_id: None for those of all tenants; limit: None for all; marker: id of the last instance of the page before,
    which may have been deleted since, or None; deleted: False for live ones, True for deleted ones, None for both;
    listed: the rows have only what ``views.item`` shows.
    Returns (list of Loaded, marker of the next page or None). Raises BadValue for an unknown marker.
    """
    kind = _Listed if listed else DBInstance
    query = _select(kind, deleted, by_tenant=tenant_id is not None, unclustered=not include_clustered,
                    after=marker is not None, paged=limit is not None)
    values = {}
    if marker is not None:
        own = () if tenant_id is None else (DBInstance.tenant_id == tenant_id,)
        values = db_models.find_marker(session, DBInstance, marker, *own)
    if limit is not None:
        values["rows"] = limit + 1
    return _page(session, query, tenant_id, limit, values, kind)


def _page(session, query, tenant_id, limit, values, kind=DBInstance):
    if tenant_id is not None:
        values["tenant"] = tenant_id
    loaded = _all_loaded(session.execute(query, values), kind)
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


def load_details(session, instance_id, context, deleted=False, shown=False):
    """The Details of an instance. Arguments and errors are those of ``load``; shown: the row has only what
    ``views.detail`` shows.
    """
    kind = _Shown if shown else DBInstance
    found = list(_find(session, instance_id, context, deleted, details=True, kind=kind))
    width = _LOADED + (len(kind._fields) if shown else 1)

    def take(kind):
        """The next columns as a tuple of that kind, None where nothing was joined."""
        values, found[:] = kind(*found[:len(kind._fields)]), found[len(kind._fields):]
        return None if values[0] is None else values
    [loaded], found = _all_loaded([found[:width]], kind), found[width:]
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
