"""Rows of instances and what belongs to one: service status, heartbeat, root history, fault; and single moves of them.

What lists and views show together is loaded by ``instance.loading``.
"""
import contextlib
import functools
import json

import sqlalchemy
from sqlalchemy import exc

from trove.common import exception
from trove.common.instance import ServiceStatuses
from trove.db import models
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks

# Backups in these states are running: their instance is shown as BACKUP and may not be worked on.
RUNNING_BACKUP_STATES = ("NEW", "BUILDING", "SAVING")
# Characters of a fault that are kept. A guest may have said it, and a column TEXT may take no more than 65,535 bytes.
LONGEST_FAULT = 4000


class InstanceValues:
    """What columns of an instance mean."""

    __slots__ = ()

    @property
    def task(self):
        """The InstanceTask that the row says."""
        return InstanceTasks.from_code(self.task_id)

    @property
    def address_list(self):
        """The addresses last seen: list of {"address", "network", "type"}."""
        return json.loads(self.addresses) if self.addresses else []

    @property
    def cidr_list(self):
        """The networks that may connect, as the rules of its security group say: list of texts."""
        return json.loads(self.allowed_cidrs) if self.allowed_cidrs else []


@models.registry.mapped
class DBInstance(InstanceValues, models.Row):
    """A database instance of a tenant."""

    __table__ = tables.instances
    label = "instance"
    notes = frozenset({"server_seen"})

    @InstanceValues.task.setter
    def task(self, task):
        """Set it, with its description and the time."""
        self.task_id = task.code
        self.task_description = task.description
        self.task_start_time = models.utcnow()

    @InstanceValues.address_list.setter
    def address_list(self, value):
        """Set it."""
        self.addresses = json.dumps(value)

    @InstanceValues.cidr_list.setter
    def cidr_list(self, value):
        """Set it."""
        self.allowed_cidrs = json.dumps(value)


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


def manager_of(session, instance_id):
    """Return the name of the datastore manager of an instance, or None if there is no such instance."""
    return session.execute(
        sqlalchemy.select(tables.datastore_versions.c.manager).join(
            tables.instances, tables.instances.c.datastore_version_id == tables.datastore_versions.c.id).where(
            tables.instances.c.id == instance_id)).scalar()


def service_status(session, instance_id):
    """The service status row of an instance, or None before one was written."""
    return session.execute(sqlalchemy.select(InstanceServiceStatus).where(
        InstanceServiceStatus.instance_id == instance_id)).scalars().first()


def refuse_member(row):
    """Raises NotImplementedHere for a member of a cluster, on which nothing can be done by itself."""
    if row.cluster_id:
        raise exception.NotImplementedHere(
            f"Instance {row.id} is a member of cluster {row.cluster_id}: work on the cluster instead.")


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
    """Keep why an instance failed; the newest fault is the one shown, at most LONGEST_FAULT characters of it."""
    session.add(InstanceFault(instance_id=instance_id, message=message[:LONGEST_FAULT], details=step,
                              request_id=request_id))


def forget_guest(session, instance_id):
    """Drop what the conductor keeps of the guest of an instance that is gone."""
    for table in (tables.conductor_lastseen, tables.agent_heartbeats):
        session.execute(sqlalchemy.delete(table).where(table.c.instance_id == instance_id))


def clear_faults(session, instance_id, step=None):
    """Forget the faults of an instance that works again. step: only those that this step has met; None: all."""
    table = tables.instance_faults
    session.execute(sqlalchemy.delete(table).where(
        table.c.instance_id == instance_id, table.c.details == step if step else sqlalchemy.true()))


def newest_fault_id(instance_id):
    """The id of the fault that is shown for an instance, as part of another statement; instance_id: text or column."""
    fault = tables.instance_faults.alias()
    return sqlalchemy.select(fault.c.id).where(fault.c.instance_id == instance_id).order_by(
        fault.c.created.desc(), fault.c.id).limit(sqlalchemy.literal_column("1")).scalar_subquery()


def newest_fault(session, instance_id):
    """The fault that is shown for an instance, or None."""
    return session.execute(sqlalchemy.select(InstanceFault).where(
        InstanceFault.id == newest_fault_id(instance_id))).scalars().first()


def newest_faults(session, instance_ids):
    """{instance id: the fault that is shown for it} for those that have one, in one statement."""
    rows = session.execute(sqlalchemy.select(InstanceFault).where(
        InstanceFault.instance_id.in_(instance_ids)).order_by(InstanceFault.created, InstanceFault.id.desc())).scalars()
    return {row.instance_id: row for row in rows}


def lock(session, instance_id, context):
    """The live row of an instance, held against other writers until the end of the transaction.

    It must be the first thing that a transaction does: with repeatable reads it sees what others had committed at its
    first plain SELECT. Raises NotFound as ``load`` does.
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


def replica_ids_of(session, instance_ids):
    """{instance id: ids of its live replicas} for those that have any, in one statement."""
    found = {}
    # Sorted here: SQLite would look through all instances in that order.
    for source, replica in sorted(session.execute(sqlalchemy.select(DBInstance.slave_of_id, DBInstance.id).where(
            DBInstance.slave_of_id.in_(instance_ids), DBInstance.deleted.is_(False)))):
        found.setdefault(source, []).append(replica)
    return found


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
