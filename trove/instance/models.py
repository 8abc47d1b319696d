"""Rows of instances and what belongs to one: service status, heartbeat, root history, fault; and how they are loaded.

Lists load all that they show in a fixed number of statements; no property runs a query.
"""
import json

import sqlalchemy

from trove.common.instance import ServiceStatuses
from trove.db import models
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks


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


def newest_fault(session, instance_id):
    """The fault that is shown for an instance, or None."""
    return session.execute(sqlalchemy.select(InstanceFault).where(
        InstanceFault.instance_id == instance_id).order_by(
        InstanceFault.created.desc(), InstanceFault.id)).scalars().first()
