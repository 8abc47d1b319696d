"""Rows of instances and what belongs to one: service status, heartbeat, root history, fault; and how they are loaded.

Lists load all that they show in a fixed number of statements; no property runs a query.
"""
import contextlib
import dataclasses
import datetime
import functools
import json

import sqlalchemy
from sqlalchemy import exc

from trove.common import exception
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatus, ServiceStatuses
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db import get_db_api, models
from trove.db.sqlalchemy import tables
from trove.instance import states
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations

# Backups in these states are running: their instance is shown as BACKUP and may not be worked on.
RUNNING_BACKUP_STATES = ("NEW", "BUILDING", "SAVING")


@models.registry.mapped
class DBInstance(models.Row):
    """A database instance of a tenant."""

    __table__ = tables.instances
    label = "instance"

    @property
    def task(self):
        """The InstanceTask that the row says."""
        return InstanceTasks.from_code(self.task_id)

    @task.setter
    def task(self, task):
        self.task_id = task.code
        self.task_description = task.description
        self.task_start_time = models.utcnow()

    @property
    def address_list(self):
        """The addresses last seen: list of {"address", "network", "type"}."""
        return json.loads(self.addresses) if self.addresses else []

    @address_list.setter
    def address_list(self, value):
        self.addresses = json.dumps(value)


@models.registry.mapped
class InstanceServiceStatus(models.Row):
    """What the guest last said of its database; written by the conductor, and by flows that set it."""

    __table__ = tables.service_statuses
    label = "service status"

    @property
    def status(self):
        """The ServiceStatus that the row says."""
        return ServiceStatuses.from_code(self.status_id)

    @status.setter
    def status(self, status):
        self.status_id = status.code
        self.status_description = status.description
        self.updated_at = models.utcnow()


@models.registry.mapped
class AgentHeartBeat(models.Row):
    """When a guest's agent last gave a sign of life, and its version."""

    __table__ = tables.agent_heartbeats
    label = "agent heartbeat"


@models.registry.mapped
class RootHistory(models.Row):
    """That root was ever enabled on an instance: by whom and when; ``disabled_at`` is set when it is not any more."""

    __table__ = tables.root_enabled_history
    label = "root history"


@models.registry.mapped
class InstanceFault(models.Row):
    """Why an instance is in an error state: message for the user, step, request id."""

    __table__ = tables.instance_faults
    label = "fault"


def service_status(session, instance_id):
    """The service status row of an instance, or None before one was written."""
    return session.execute(sqlalchemy.select(InstanceServiceStatus).where(
        InstanceServiceStatus.instance_id == instance_id)).scalars().first()


def compare_and_set_task(session, instance_id, expected, new):
    """Change the task of a live instance if it is one of ``expected`` (InstanceTasks); two callers cannot both win.

    Returns whether it was changed.
    """
    table = tables.instances
    result = session.execute(sqlalchemy.update(table).where(
        table.c.id == instance_id, table.c.deleted.is_(False),
        table.c.task_id.in_([task.code for task in expected])
    ).values(task_id=new.code, task_description=new.description, task_start_time=models.utcnow(),
             updated=models.utcnow()))
    return result.rowcount == 1


def record_fault(session, instance_id, message, step=None, request_id=None):
    """Keep why an instance failed; the newest fault is the one shown."""
    session.add(InstanceFault(instance_id=instance_id, message=message, details=step, request_id=request_id))


def forget_guest(session, instance_id):
    """Drop what the conductor keeps of the guest of an instance that is gone."""
    for table in (tables.conductor_lastseen, tables.agent_heartbeats):
        session.execute(sqlalchemy.delete(table).where(table.c.instance_id == instance_id))


def clear_faults(session, instance_id):
    """Forget the faults of an instance that works again."""
    table = tables.instance_faults
    session.execute(sqlalchemy.delete(table).where(table.c.instance_id == instance_id))


@functools.cache
def _select_newest_fault():
    return sqlalchemy.select(InstanceFault).where(
        InstanceFault.instance_id == sqlalchemy.bindparam("id")).order_by(
        InstanceFault.created.desc(), InstanceFault.id).limit(1)


def newest_fault(session, instance_id):
    """The fault that is shown for an instance, or None."""
    return session.execute(_select_newest_fault(), {"id": instance_id}).scalars().first()


@dataclasses.dataclass(frozen=True)
class Loaded:
    """An instance with all that lists, views and checks of actions look at, out of one statement.

    row: DBInstance; datastore, version, manager: names; service: ServiceStatus; last_seen: when the guest last gave
    a sign of life (naive UTC) or None; silent: whether that is longer ago than ``agent_heartbeat_expiry``;
    backing_up: whether a backup of it is running.
    """

    row: DBInstance
    datastore: str
    version: str
    manager: str
    service: ServiceStatus
    last_seen: datetime.datetime | None
    silent: bool
    backing_up: bool

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

    @property
    def guest_answers(self):
        """Whether it makes sense to call the guest: its database runs and it is not silent."""
        return self.service == ServiceStatuses.RUNNING and not self.silent

    def check_action(self, action):
        """Refuse an action of states.ALLOWED_TASKS: UnprocessableEntity naming the offending word."""
        reason = states.refusal(action, self.row.task, self.row.server_status, self.service, self.backing_up)
        if reason:
            raise exception.UnprocessableEntity(f"Instance {self.id} cannot do {action} now: {reason}.")


# Putting a statement together costs more than running it, so each form of one is made once and then given its values.
@functools.cache
def _select(deleted=False, by_id=False, by_tenant=False, unclustered=False, after=False, paged=False):
    """The statement behind ``Loaded`` with the parameters ``id``, ``tenant``, ``marker`` and ``rows`` as asked for.

    deleted: False for live instances, True for deleted ones, None for both.
    """
    backups = tables.backups.c
    backing_up = sqlalchemy.exists().where(
        backups.instance_id == DBInstance.id, backups.state.in_(RUNNING_BACKUP_STATES),
        backups.deleted.is_(False)).correlate(DBInstance)
    query = sqlalchemy.select(
        DBInstance, DBDatastore.name, DBDatastoreVersion.name, DBDatastoreVersion.manager,
        InstanceServiceStatus.status_id, InstanceServiceStatus.updated_at, AgentHeartBeat.updated_at, backing_up,
    ).join(DBDatastoreVersion, DBDatastoreVersion.id == DBInstance.datastore_version_id).join(
        DBDatastore, DBDatastore.id == DBDatastoreVersion.datastore_id).outerjoin(
        InstanceServiceStatus, InstanceServiceStatus.instance_id == DBInstance.id).outerjoin(
        AgentHeartBeat, AgentHeartBeat.instance_id == DBInstance.id)
    for wanted, condition in (
            (deleted is not None, DBInstance.deleted.is_(bool(deleted))),
            (by_id, DBInstance.id == sqlalchemy.bindparam("id")),
            (by_tenant, DBInstance.tenant_id == sqlalchemy.bindparam("tenant")),
            (unclustered, DBInstance.cluster_id.is_(None)),
            (after, DBInstance.id > sqlalchemy.bindparam("marker"))):
        if wanted:
            query = query.where(condition)
    if not by_id:
        query = query.order_by(DBInstance.id)
    return query.limit(sqlalchemy.bindparam("rows", type_=sqlalchemy.Integer)) if paged else query


def _all_loaded(results):
    """The Loaded of each row of ``_select``."""
    expired = models.utcnow() - datetime.timedelta(seconds=CONF.agent_heartbeat_expiry)
    found = []
    for row, datastore, version, manager, status_id, reported, heartbeat, backing_up in results:
        service = ServiceStatuses.NEW if status_id is None else ServiceStatuses.from_code(status_id)
        last_seen = max((moment for moment in (reported, heartbeat) if moment is not None), default=None)
        silent = last_seen is None or last_seen < expired
        found.append(Loaded(row, datastore, version, manager, service, last_seen, silent, bool(backing_up)))
    return found


def load(session, instance_id, context=None, deleted=False):
    """The instance with that id as a Loaded.

    context: if given, another tenant's instance is refused unless it is an administrator's; deleted: False for a live
    one, None for any. Raises NotFound, the same for absent, deleted and foreign ones.
    """
    own = context is not None and not context.is_admin
    values = {"id": instance_id, "tenant": context.project_id} if own else {"id": instance_id}
    found = _all_loaded(session.execute(_select(deleted, by_id=True, by_tenant=own), values))
    if not found:
        raise exception.NotFound(resource=DBInstance.label, id=instance_id)
    return found[0]


def load_page(session, tenant_id, limit, marker=None, include_clustered=False, deleted=False):
    """One page of instances by id, in one statement.

    tenant_id: None for those of all tenants; limit: None for all; deleted: False for live ones, True for deleted
    ones, None for both. Returns (list of Loaded, marker of the next page or None).
    """
    query = _select(deleted, by_tenant=tenant_id is not None, unclustered=not include_clustered,
                    after=marker is not None, paged=limit is not None)
    values = {"tenant": tenant_id, "marker": marker, "rows": limit and limit + 1}
    loaded = _all_loaded(session.execute(
        query, {name: value for name, value in values.items() if value is not None}))
    if limit is None or len(loaded) <= limit:
        return loaded, None
    return loaded[:limit], loaded[limit - 1].id


def lock(session, instance_id, context):
    """The live row of an instance, held against other writers until the end of the transaction.

    It must be the first thing that a transaction does: MySQL shows what others had committed at the first plain SELECT.
    Raises NotFound as ``load`` does.
    """
    query = DBInstance.live().where(DBInstance.id == instance_id)
    if not context.is_admin:
        query = query.where(DBInstance.tenant_id == context.project_id)
    row = session.execute(query.with_for_update()).scalars().one_or_none()
    if row is None:
        raise exception.NotFound(resource=DBInstance.label, id=instance_id)
    return row


@functools.cache
def _select_replica_ids():
    return sqlalchemy.select(DBInstance.id).where(
        DBInstance.slave_of_id == sqlalchemy.bindparam("id"), DBInstance.deleted.is_(False)).order_by(DBInstance.id)


def replica_ids(session, instance_id):
    """The ids of the live replicas of an instance."""
    return session.execute(_select_replica_ids(), {"id": instance_id}).scalars().all()


@dataclasses.dataclass(frozen=True)
class Details:
    """What the view of one instance shows beyond a list's: replicas, fault, progress of the newest operation.

    now: seconds since the epoch by the database's clock; None unless the operation is live.
    """

    loaded: Loaded
    replica_ids: list
    fault: InstanceFault | None
    operation: object
    now: float | None


def load_details(session, instance_id, context, deleted=False):
    """The Details of an instance. Arguments and errors are those of ``load``."""
    loaded = load(session, instance_id, context, deleted)
    newest = operations.newest_for(session, "instance", instance_id)
    live = newest is not None and newest.state in operations.LIVE_STATES
    return Details(loaded, replica_ids(session, instance_id), newest_fault(session, instance_id), newest,
                   get_db_api().now(session) if live else None)


def set_service_status(session, instance_id, status):
    """Write the service status (ServiceStatus) of an instance, with a row if there is none yet."""
    row = service_status(session, instance_id)
    if row is None:
        session.add(InstanceServiceStatus(instance_id=instance_id, status=status))
    else:
        row.status = status


def fail_running_backups(session, instance_id):
    """Mark the running backups of an instance as failed, so that they block it no longer."""
    table = tables.backups
    session.execute(sqlalchemy.update(table).where(
        table.c.instance_id == instance_id, table.c.deleted.is_(False), table.c.state.in_(RUNNING_BACKUP_STATES),
    ).values(state="FAILED", updated=models.utcnow()))


def root_history(session, instance_id):
    """The RootHistory of an instance, or None when root was never enabled."""
    return session.get(RootHistory, instance_id)


def record_root_enabled(session, instance_id, user_id, moment=None):
    """Note that root is enabled: who did it first, or first after it was last disabled.

    moment: when that was (naive UTC), for reports that may be late: what was disabled later stays so; None is now.
    The API and the conductor note the same enabling at the same time, so neither may stumble over the other.
    """
    history = tables.root_enabled_history
    values = {"user": user_id, "created": models.utcnow(), "disabled_at": None}
    again = sqlalchemy.update(history).where(history.c.id == instance_id, history.c.disabled_at.is_not(None))
    if moment is not None:
        again = again.where(history.c.disabled_at < moment)
    if session.execute(again.values(**values)).rowcount == 0:
        with contextlib.suppress(exc.IntegrityError), session.begin_nested():
            session.execute(history.insert().values(id=instance_id, **values))


def record_root_disabled(session, instance_id):
    """Note that root is not enabled any more; who had enabled it stays known."""
    history = root_history(session, instance_id)
    if history is not None and history.disabled_at is None:
        history.disabled_at = models.utcnow()


def is_root_enabled(session, instance_id):
    """Whether root was enabled and not disabled since, by its history (not by what the guest says)."""
    history = root_history(session, instance_id)
    return history is not None and history.disabled_at is None
