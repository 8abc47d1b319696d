"""Servers that went down by themselves (a crash of the guest, a start of the host) are started again.

Called by the clock. Nova cannot tell who stopped a server, but the guest can: the database of an instance that its
user or an administrator stopped was reported as stopped before. A source with replicas is left off for a while, so that
it can be ejected instead.
"""
import datetime

import sqlalchemy
import sqlalchemy.orm
from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.common.instance import ServiceStatuses
from trove.db import get_db_api, in_transaction
from trove.db import models as db_models
from trove.db.sqlalchemy import tables
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations

LOG = logging.getLogger(__name__)

KIND = "instance.start"
_IDLE = (InstanceTasks.NONE, InstanceTasks.RESTART_REQUIRED)
# What a guest said last whose database nobody has stopped.
_RAN = (ServiceStatuses.RUNNING, ServiceStatuses.BLOCKED, ServiceStatuses.CRASHED)
_HOUR = 3600


def start_servers(wake):
    """Begin to start the servers that Nova showed as shut off at the last look; wake: called with operation ids."""
    if not CONF.server_start_limit:
        return
    with get_db_api().reader() as session:
        found = session.execute(_down().with_only_columns(models.DBInstance.id)).scalars().all()
    for instance_id in found:
        try:
            operation_id = _begin(instance_id)
        except exception.UnprocessableEntity as error:
            LOG.info("instance %s: its server is off and is not started now: %s", instance_id, error)
            continue
        if operation_id:
            LOG.warning("instance %s: its server went down and is started (operation %s)", instance_id, operation_id)
            wake(operation_id)


def _down():
    status, replica = models.InstanceServiceStatus, sqlalchemy.orm.aliased(models.DBInstance)
    replicated = sqlalchemy.exists().where(replica.slave_of_id == models.DBInstance.id, replica.deleted.is_(False))
    patience = db_models.utcnow() - datetime.timedelta(seconds=CONF.server_start_source_delay)
    return models.DBInstance.live().join(status, status.instance_id == models.DBInstance.id).where(
        models.DBInstance.server_status == "SHUTOFF",
        models.DBInstance.task_id.in_([task.code for task in _IDLE]),
        status.status_id.in_([each.code for each in _RAN]),
        sqlalchemy.or_(sqlalchemy.not_(replicated), status.updated_at < patience))


@in_transaction
def _begin(session, instance_id):
    """Returns the operation's id; None when it is up or busy by now, or goes down too often."""
    row = session.execute(_down().where(models.DBInstance.id == instance_id).with_for_update()).scalars().one_or_none()
    if row is None:
        return None
    context = TroveContext(project_id=row.tenant_id, is_admin=True)
    if _starts_of(session, instance_id) >= CONF.server_start_limit:
        models.set_service_status(session, instance_id, ServiceStatuses.UNKNOWN)
        message = (f"Its server went down and was started {CONF.server_start_limit} times within an hour; now it stays "
                   "off.")
        models.record_fault(session, instance_id, message, "start", context.request_id)
        LOG.error("instance %s: its server was started %d times within an hour and stays off (option "
                  "server_start_limit)", instance_id, CONF.server_start_limit)
        return None
    arguments = {"restart_required": row.task is InstanceTasks.RESTART_REQUIRED}
    row.task = InstanceTasks.REBOOTING
    return operations.begin(session, KIND, "instance", instance_id, context, arguments).id


def _starts_of(session, instance_id):
    """How often the server of an instance was started by itself within the last hour."""
    table = tables.operations.c
    return session.execute(sqlalchemy.select(sqlalchemy.func.count(table.id)).where(
        table.resource_type == "instance", table.resource_id == instance_id, table.kind == KIND,
        table.created_at > get_db_api().now(session) - _HOUR)).scalar_one()
