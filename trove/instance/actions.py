"""What can be done with an instance that exists: each function is one transaction that checks, takes the task and
begins the operation, and then wakes the task manager. Called by ``instance.service``.
"""
from oslo_log import log as logging

from trove.common import exception
from trove.common.apischema import last_segment
from trove.common.instance import ServiceStatuses
from trove.configuration import actions as configuration
from trove.configuration import models as configuration_models
from trove.db import get_db_api, in_transaction
from trove.instance import loading, models, placement, replicas, states
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.taskmanager import api as taskmanager

LOG = logging.getLogger(__name__)

KIND_DELETE, KIND_ACCESS = "instance.delete", "instance.access"


@in_transaction
def _begin_rebooting(session, context, instance_id, action):
    loaded = loading.load(session, instance_id, context)
    if not context.is_admin:
        models.refuse_member(loaded.row)
    loaded.check_action(action)
    if not models.compare_and_set_task(session, instance_id, states.ALLOWED_TASKS[action], InstanceTasks.REBOOTING):
        raise exception.UnprocessableEntity(
            f"Instance {instance_id} cannot do {action} now: another request was first.")
    row = loaded.row
    # With them it does what changes of the configuration group that are still under way were to do.
    configured = row.configuration_id is not None or row.task is InstanceTasks.RESTART_REQUIRED
    if configured:
        configuration.stop(session, instance_id)
    return operations.begin(session, f"instance.{action}", "instance", instance_id, context,
                            {"configuration": configured}).id


def restart(context, instance_id):
    """Restart the database server. Raises NotFound, NotImplementedHere (cluster member), UnprocessableEntity."""
    operation_id = _begin_rebooting(context, instance_id, "restart")
    LOG.info("instance %s: -> REBOOTING (operation %s)", instance_id, operation_id)
    taskmanager.API(context).wake(operation_id)


def reboot(context, instance_id):
    """Reboot the server (management API). Raises NotFound, UnprocessableEntity."""
    operation_id = _begin_rebooting(context, instance_id, "reboot")
    LOG.info("instance %s: -> REBOOTING (operation %s)", instance_id, operation_id)
    taskmanager.API(context).wake(operation_id)


@in_transaction
def _begin_stop(session, context, instance_id):
    row = models.lock(session, instance_id, context)
    if _live_delete(session, instance_id) is not None:
        raise exception.UnprocessableEntity(f"Instance {instance_id} is being deleted.")
    if replicas.resized_with(session, row) is not None:
        raise exception.UnprocessableEntity(f"Instance {instance_id} is being resized with its source.")
    return operations.begin(session, "instance.stop", "instance", instance_id, context).id


def stop(context, instance_id):
    """Stop the database server whatever it does (management API).

    Raises NotFound, and UnprocessableEntity while another operation works on the instance.
    """
    operation_id = _begin_stop(context, instance_id)
    LOG.info("instance %s: is to be stopped (operation %s)", instance_id, operation_id)
    taskmanager.API(context).wake(operation_id)


def _live_delete(session, instance_id):
    live = operations.live_for(session, "instance", instance_id)
    return next((operation for operation in live if operation.kind == KIND_DELETE), None)


@in_transaction
def _begin_delete(session, context, instance_id):
    """Cancel what runs and begin the deletion; a deletion that is already under way is the answer to a second one."""
    row = models.lock(session, instance_id, context)
    models.refuse_member(row)
    if models.replica_ids(session, instance_id):
        raise exception.Forbidden(f"Instance {instance_id} has replicas: delete or detach them first.")
    under_way = _live_delete(session, instance_id)
    if under_way is not None:
        return under_way.id
    if row.task not in states.ALLOWED_TASKS["delete"]:
        raise exception.UnprocessableEntity(f"Instance {instance_id} cannot be deleted now: its task is "
                                            f"{row.task.action} ({row.task.description}), which ends by itself.")
    row.task = InstanceTasks.DELETING
    row.configuration_id = None
    operation = operations.begin(session, KIND_DELETE, "instance", instance_id, context,
                                 lock=f"instance:{instance_id}:delete")
    operations.request_cancel(session, "instance", instance_id, keep=operation.id)
    return operation.id


def delete(context, instance_id):
    """Delete an instance in whatever state. Raises NotFound, Forbidden (replicas), NotImplementedHere (member)."""
    operation_id = _begin_delete(context, instance_id)
    LOG.info("instance %s: -> DELETING (operation %s)", instance_id, operation_id)
    taskmanager.API(context).wake(operation_id)


@in_transaction
def _reset(session, context, instance_id, keep_report):
    row = models.lock(session, instance_id, context)
    if _live_delete(session, instance_id) is not None or replicas.in_failover(session, row):
        return False
    operations.request_cancel(session, "instance", instance_id)
    replicas.leave_resize(session, row)
    models.fail_running_backups(session, instance_id)
    row.task = InstanceTasks.NONE
    service = models.service_status(session, instance_id)
    # A guest that has never reported would be shown as BUILD for ever: nobody builds it any more.
    if not keep_report or service is None or service.status == ServiceStatuses.NEW:
        models.set_service_status(session, instance_id, ServiceStatuses.UNKNOWN)
    return True


def _tell_reset(context, instance_id, was_done):
    if was_done:
        LOG.info("instance %s: was reset by user %s", instance_id, context.user_id)
    else:
        LOG.warning("instance %s: was not reset by user %s: it is being deleted, or takes part in a failover",
                    instance_id, context.user_id)


def reset_status(context, instance_id):
    """Give up on what an instance does: cancel it, task NONE, database status unknown. Raises NotFound.

    A deletion or a failover that is under way goes on, and nothing is changed: an instance freed in the middle of a
    failover could be promoted once more, and then two servers would take writes.
    """
    _tell_reset(context, instance_id, _reset(context, instance_id, keep_report=False))


def reset_task(context, instance_id):
    """As ``reset_status``, but what the guest has reported of its database stays (management API)."""
    _tell_reset(context, instance_id, _reset(context, instance_id, keep_report=True))


@in_transaction
def _update(session, context, instance_id, changes, attached):
    """Returns [(instance id, operation id)] of what the configuration group has begun, the id of the operation that
    makes an instance of its own of a replica, and that of the one that changes who may connect, or None.

    attached: id of the group that was seen attached; groups are locked before instances.
    """
    wanted = changes.get("configuration")
    wanted = last_segment(wanted) if wanted else None
    touched = not changes or "configuration" in changes
    accessed = None
    groups = {}
    for group_id in sorted({attached, wanted} - {None}) if touched else ():
        groups[group_id] = configuration_models.lock(session, group_id, context if group_id == wanted else None)
    row = models.lock(session, instance_id, context)
    detached = None
    if "replica_of" in changes or "slave_of" in changes:
        detached = replicas.begin_detach(session, context, instance_id)
    if "name" in changes:
        LOG.info("instance %s: renamed from '%s' to '%s'", instance_id, row.name, changes["name"])
        row.name = changes["name"]
    if changes.get("access"):
        accessed = _begin_access(session, context, row, changes["access"])
    if not touched:
        return [], detached, accessed
    if row.configuration_id != attached:
        raise exception.UnprocessableEntity(f"Instance {instance_id}: another request changed its configuration.")
    if wanted:
        return [_attach(session, context, row, groups[wanted])], detached, accessed
    return [_detach(session, context, row)] if attached else [], detached, accessed


def _begin_access(session, context, row, access):
    """Begin to let other networks connect to an instance (locked row). Returns the operation's id, None for nothing."""
    manager = loading.load(session, row.id).manager
    cidrs = placement.check_access(access, manager)
    if cidrs is None:
        return None
    if _live_delete(session, row.id) is not None:
        raise exception.UnprocessableEntity(f"Instance {row.id} is being deleted.")
    return operations.begin(session, KIND_ACCESS, "instance", row.id, context,
                            {"manager": manager, "allowed_cidrs": cidrs}).id


def _attach(session, context, row, group):
    if row.configuration_id:
        raise exception.BadRequest(f"configuration: {row.configuration_id} is attached to instance {row.id} already; "
                                   "detach it first.")
    if group.tenant_id != row.tenant_id:
        raise exception.NotFound(resource=group.label, id=group.id)
    if group.datastore_version_id != row.datastore_version_id:
        raise exception.BadRequest(f"configuration: {group.id} is for another datastore version than that of instance "
                                   f"{row.id}.")
    service = models.service_status(session, row.id)
    reason = states.refusal("attach_configuration", row.task, row.server_status,
                            service.status if service else ServiceStatuses.NEW)
    if reason:
        raise exception.BadRequest(f"configuration: none can be attached to instance {row.id} now: {reason}.")
    rules = configuration_models.load_rules(session, row.datastore_version_id)
    values = configuration_models.load_values(session, group.id, rules)
    row.configuration_id = group.id
    session.flush()
    return row.id, configuration.begin(session, context, row, values, [], rules, {
        "event": "instance_attach_configuration", "configuration_id": group.id})


def _detach(session, context, row):
    rules = configuration_models.load_rules(session, row.datastore_version_id)
    gone = sorted(configuration_models.load_values(session, row.configuration_id, rules))
    row.configuration_id = None
    session.flush()
    return row.id, configuration.begin(session, context, row, {}, gone, rules, {
        "event": "instance_detach_configuration"})


def update(context, instance_id, changes):
    """Apply the rule of PUT and PATCH on an instance; what is absent is untouched.

    changes: the ``instance`` object of a body that fits the schema.
    Returns [(instance id, operation id)] of what the configuration group has begun.
    Raises NotFound (instance or configuration group), BadRequest (detach of what is no replica, attaching what cannot
    be attached), NotImplementedHere (another version), UnprocessableEntity (another request was first).
    """
    if changes.get("datastore_version") is not None:
        raise exception.NotImplementedHere("instance.datastore_version: an instance keeps its version. To change it, "
                                           "make an instance of the new version and copy the data into it.")
    with get_db_api().reader() as session:
        attached = models.DBInstance.get(session, instance_id, context).configuration_id
    if changes.get("access") and len({"configuration", "replica_of", "slave_of"} & changes.keys()):
        raise exception.BadValue(field="instance.access", reason=(
            "cannot be changed together with the configuration group or the source; send them one after the other."))
    configured, detached, accessed = _update(context, instance_id, changes, attached)
    configuration.wake(context, configured)
    if accessed:
        LOG.info("instance %s: who may connect is being changed (operation %s)", instance_id, accessed)
        taskmanager.API(context).wake(accessed)
    if detached:
        LOG.info("instance %s: -> DETACHING (operation %s)", instance_id, detached)
        taskmanager.API(context).wake(detached)
    return configured
