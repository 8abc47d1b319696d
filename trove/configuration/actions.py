"""Changes of configuration groups, and what they begin on the instances a group is attached to.

Called by ``configuration.service`` and, for attaching and detaching, by ``instance.actions``. Each function is one
transaction; the guests are reached afterwards by an operation of each instance. Locks are taken in one order: the
group, then its instances.
"""
from oslo_log import log as logging

from trove.common import exception
from trove.configuration import changes, models
from trove.datastore import models as datastore_models
from trove.db import in_transaction
from trove.db import models as db_models
from trove.instance import models as instance_models
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.taskmanager import api as taskmanager

LOG = logging.getLogger(__name__)

KIND = "instance.configure"


@in_transaction
def create(session, context, given):
    """Make a group; given: the ``configuration`` object of a body that fits the schema. Returns its id.

    Raises NotFound, BadRequest (datastore), UnprocessableEntity (value).
    """
    datastore = given.get("datastore") or {}
    _, version, _ = datastore_models.for_create(session, datastore.get("type"), datastore.get("version"))
    values = changes.check(given["values"], models.load_rules(session, version.id))
    row = models.DBConfiguration(id=db_models.new_id(), name=given["name"], description=given.get("description"),
                                 tenant_id=context.project_id, datastore_version_id=version.id)
    session.add(row)
    session.flush()
    models.save_values(session, row.id, values)
    return row.id


@in_transaction
def _change(session, context, configuration_id, given, merge):
    """Returns [(instance id, operation id)] of what was begun."""
    row = models.lock(session, configuration_id, context)
    for column in ("name", "description"):
        if column in given:
            setattr(row, column, given[column])
    if "values" not in given:
        return []
    rules = models.load_rules(session, row.datastore_version_id)
    old = models.load_values(session, row.id, rules)
    checked = changes.check(given["values"], rules)
    new = {**old, **checked} if merge else checked
    models.save_values(session, row.id, new)
    row.updated = db_models.utcnow()
    if new == old:
        return []
    return [(instance.id, begin(session, context, instance, new, changes.removed(old, new), rules))
            for instance in models.lock_attached(session, row.id)]


def change(context, configuration_id, given, merge):
    """Change a group and let the instances it is attached to follow.

    given: the ``configuration`` object of a body that fits the schema, what is absent stays; merge: whether values
    that are not given stay as well (PATCH) or are removed (PUT). Returns [(instance id, operation id)] of what was
    begun. Raises NotFound, UnprocessableEntity (value).
    """
    begun = _change(context, configuration_id, given, merge)
    LOG.info("configuration %s: changed, for %d instances", configuration_id, len(begun))
    wake(context, begun)
    return begun


@in_transaction
def delete(session, context, configuration_id):
    """Delete a group. Raises NotFound, BadRequest while it is attached to an instance."""
    row = models.lock(session, configuration_id, context)
    attached = models.lock_attached(session, row.id)
    if attached:
        raise exception.BadRequest(f"The configuration {row.id} is attached to {len(attached)} instance(s), one is "
                                   f"{attached[0].id}: detach it first.")
    models.save_values(session, row.id, {})
    row.soft_delete()


def stop(session, instance_id):
    """Tell the operations of this kind that are under way on an instance to stop; another does what they were to do.

    Returns the names that they were to take away.
    """
    gone = set()
    for live in operations.live_for(session, "instance", instance_id):
        if live.kind == KIND:
            gone |= set(live.args["removed"])
            live.cancel = True
    return gone


def begin(session, context, instance, values, gone, rules, told=None):
    """Begin the operation that brings an instance (locked row) to the values of its group. Returns the operation id.

    values: {name: value} it is to have; gone: names of what it had and is to lose; rules: {name: changes.Rule};
    told: {"event": as what it is notified, "configuration_id": of which group}, if it is more than a change of values.
    An operation of this kind that is still under way is told to stop; this one does what that one was to do.
    """
    gone = sorted({*gone, *stop(session, instance.id)} - set(values))
    if changes.needs_restart(values, gone, rules):
        # If it does something else now, the flow says so when that has ended.
        instance_models.compare_and_set_task(session, instance.id, [InstanceTasks.NONE], InstanceTasks.RESTART_REQUIRED)
    return operations.begin(session, KIND, "instance", instance.id, context,
                            {"removed": gone, **(told or {})},
                            lock=f"instance:{instance.id}:configure:{db_models.new_id()}").id


def wake(context, begun):
    """Tell the task manager of operations; begun: [(instance id, operation id)]."""
    for instance_id, operation_id in begun:
        LOG.info("instance %s: its configuration changes (operation %s)", instance_id, operation_id)
        taskmanager.API(context).wake(operation_id)
