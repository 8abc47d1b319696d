"""Replicas of an instance, as requests see them: what may be made of a source, and promoting, ejecting, detaching.

Called by ``instance.create`` and ``instance.actions``. Each function that changes something is part of one transaction,
or is one and then wakes the task manager.
"""
import dataclasses
import json

from oslo_log import log as logging

from trove.backup import actions as backup_actions
from trove.backup import models as backup_models
from trove.common import cfg, exception
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db import get_db_api, in_transaction
from trove.db import models as db_models
from trove.instance import loading, models, states
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.taskmanager import api as taskmanager

KIND_DETACH, KIND_PROMOTE, KIND_EJECT = "instance.detach", "instance.promote", "instance.eject"
KIND_RESIZE = "instance.resize_volume"

LOG = logging.getLogger(__name__)


def load_source(session, context, source_id):
    """The Loaded of the instance of which replicas are wanted.

    Raises NotFound, Forbidden (it is a replica itself), BadRequest (its datastore has none), UnprocessableEntity.
    """
    loaded = loading.load(session, source_id, context)
    if loaded.row.slave_of_id:
        raise exception.Forbidden(f"replica_of: instance {source_id} is itself a replica of {loaded.row.slave_of_id}.")
    if loaded.row.cluster_id or not cfg.datastore_options(loaded.manager).replication_strategy:
        raise exception.BadRequest(f"replica_of: the datastore {loaded.datastore} of instance {source_id} has no "
                                   "replication.")
    loaded.check_action("replicate")
    if loaded.silent:
        raise exception.UnprocessableEntity(f"Instance {source_id} cannot do replicate now: its guest is silent.")
    return loaded


def datastore_of(session, source):
    """(DBDatastore, DBDatastoreVersion) of a source (Loaded): a replica has the same, offered any more or not."""
    version = session.get(DBDatastoreVersion, source.row.datastore_version_id)
    return session.get(DBDatastore, version.datastore_id), version


def complete(spec, source, datastore, version):
    """The Spec of replicas with what they take from their source (Loaded). Pure but for reading rows.

    Raises BadValue for what replicas cannot have of their own.
    """
    for name, given in (("databases", spec.databases), ("users", spec.users),
                        ("restorePoint", spec.backup_id or spec.restored_id)):
        if given:
            raise exception.BadValue(field=name, reason="a replica has what its source has; leave it out.")
    if spec.datastore not in (None, datastore.id, datastore.name):
        raise exception.BadValue(field="datastore.type", reason=f"must be that of the source, {datastore.name}.")
    if spec.version not in (None, version.id, version.name):
        raise exception.BadValue(field="datastore.version", reason=f"must be that of the source, {version.name}.")
    check_size(spec.volume_size, source)
    size = source.row.volume_size
    return dataclasses.replace(spec, volume_size=size if spec.volume_size is None else spec.volume_size,
                               flavor_id=spec.flavor_id or source.row.flavor_id)


def check_size(wanted, source):
    """Raises BadValue when a volume of ``wanted`` GB (None for that of the source) is smaller than the source's."""
    size = source.row.volume_size
    if wanted is not None and size is not None and wanted < size:
        raise exception.BadValue(field="volume.size", reason=(
            f"must be at least that of the source, {size} GB: a replica must be able to take its place."))


def smaller_than(session, source_id, size):
    """Return the replicas (Loaded) of an instance whose volumes are smaller than ``size`` GB."""
    replicas = [loading.load(session, instance_id) for instance_id in models.replica_ids(session, source_id)]
    return [replica for replica in replicas if replica.row.volume_size and replica.row.volume_size < size]


def take_to_resize(session, replicas):
    """Give replicas (Loaded) the task RESIZING, if all can have it. Raises Conflict that names the one which cannot."""
    for replica in replicas:
        reason = states.refusal("resize_volume", replica.row.task, replica.row.server_status, replica.service,
                                replica.backing_up)
        if reason is None and replica.silent:
            reason = "its guest is silent"
        holder = operations.holder_of(session, f"instance:{replica.id}")
        if reason is None and holder is not None:
            reason = f"the operation {holder.kind} on it has not ended"
        if reason is None and not models.compare_and_set_task(
                session, replica.id, [replica.row.task], InstanceTasks.RESIZING):
            reason = "another request was first"
        if reason is not None:
            raise exception.Conflict(
                f"The replica '{replica.row.name}' ({replica.id}) cannot be resized with its source now: {reason}. "
                f"Nothing was changed. Try again when it is ACTIVE, or delete it first.")


def resized_with(session, row):
    """Return the live operation of its source that resizes the volume of a replica (row) with it, or None."""
    if row.slave_of_id is None or row.task is not InstanceTasks.RESIZING:
        return None
    live = operations.live_for(session, "instance", row.slave_of_id)
    return next((one for one in live if one.kind == KIND_RESIZE and row.id in one.args.get("replicas", ())), None)


def leave_resize(session, row):
    """Let the resize that a replica (row, locked) shares with its source go on without it, if there is one."""
    resize = resized_with(session, row)
    if resize is not None:
        arguments = resize.args
        del arguments["replicas"][row.id]
        resize.arguments = json.dumps(arguments)


def check_flavor(flavor, of_source):
    """Refuse a replica that would be weaker than its source: it must be able to take its place."""
    if flavor.ram < of_source.ram:
        raise exception.BadValue(field="instance.flavorRef",
                                 reason=f"must have at least the memory of the source's, {of_source.ram} MB.")


def names(spec):
    """The names of the instances that a Spec asks for."""
    if spec.replica_count == 1:
        return [spec.name]
    return [f"{spec.name}-{number}" for number in range(1, spec.replica_count + 1)]


def begin_snapshot(session, context, source, replica_ids, volume_size):
    """Begin the one snapshot of a source (Loaded, locked) for new replicas. Returns the Operation.

    volume_size: GB of the replicas' volumes. Raises NotImplementedHere, UnprocessableEntity.
    """
    settings = backup_actions.settings_of(source)
    backup = backup_models.DBBackup(
        id=db_models.new_id(), name=f"Snapshot for replicas of {source.id}", tenant_id=source.row.tenant_id,
        instance_id=source.id, state=backup_models.NEW, backup_type=settings.backup_strategy,
        datastore_version_id=source.row.datastore_version_id)
    session.add(backup)
    session.flush()
    arguments = {
        "instance_id": source.id, "name": backup.name, "description": None, "backup_type": backup.backup_type,
        "parent_id": None, "replica_ids": replica_ids, "volume_size": volume_size,
        "datastore": {"name": source.datastore, "manager": source.manager, "version": source.version}}
    return operations.begin(session, backup_actions.KIND_SNAPSHOT, "backup", backup.id, context, arguments,
                            lock=f"instance:{source.id}")


def lock_source(session, context, source_id):
    """As ``load_source``, with its row held to the end of the transaction, whose first statement this must be."""
    models.lock(session, source_id, context)
    return load_source(session, context, source_id)


def begin_detach(session, context, instance_id):
    """Begin to make an instance of its own of a replica. Returns the operation's id.

    Raises UnprocessableEntity, BadRequest (it is no replica).
    """
    loaded = loading.load(session, instance_id, context)
    loaded.check_action("detach_replica")
    if not loaded.row.slave_of_id:
        raise exception.BadRequest(f"replica_of: instance {instance_id} is not a replica.")
    waiting = _take(session, [loaded], "detach_replica", InstanceTasks.DETACHING)
    return operations.begin(session, KIND_DETACH, "instance", instance_id, context,
                            {"source": loaded.row.slave_of_id, "restart_required": bool(waiting)}).id


def _take(session, members, action, task):
    """Give instances (Loaded) a task, if they all can have it. Returns the ids of those that waited for a restart.

    Raises UnprocessableEntity.
    """
    for member in members:
        # The task that was seen, not any that would do: one that was being detached may be no replica any more.
        seen = member.row.task
        if seen not in states.ALLOWED_TASKS[action] or not models.compare_and_set_task(
                session, member.id, [seen], task):
            raise exception.UnprocessableEntity(
                f"Instance {member.id} is busy ({member.row.task.action}): {action} is not possible now.")
    return [member.id for member in members if member.row.task is InstanceTasks.RESTART_REQUIRED]


def _workable(session, ids):
    """The replicas (Loaded) that take part; one in an error stays as it is, and only belongs to the new source then."""
    return [loaded for loaded in (loading.load(session, instance_id) for instance_id in ids)
            if not loaded.row.task.is_error]


def in_failover(session, row):
    """Whether a live operation promotes or ejects with an instance (locked row) among those that take part."""
    if row.task not in (InstanceTasks.PROMOTING, InstanceTasks.EJECTING):
        return False
    return any(row.id in (operation.args["source"], *operation.args["replicas"])
               for operation in operations.live_of(session, (KIND_PROMOTE, KIND_EJECT)))


def _check_promote(session, context, instance_id):
    """(candidate, its source) as Loaded. Raises NotFound, UnprocessableEntity, BadRequest."""
    candidate = loading.load(session, instance_id, context)
    candidate.check_action("promote")
    if not candidate.row.slave_of_id:
        raise exception.BadRequest(f"Instance {instance_id} is not a replica.")
    source = loading.load(session, candidate.row.slave_of_id)
    if source.silent:
        raise exception.UnprocessableEntity(f"The source {source.id} is silent: promoting needs it; eject it instead.")
    source.check_action("promote")
    return candidate, source


@in_transaction
def _begin_promote(session, context, instance_id, source_id):
    models.lock(session, source_id, context)
    candidate, source = _check_promote(session, context, instance_id)
    if source.id != source_id:
        raise exception.UnprocessableEntity(f"Instance {instance_id}: its source has changed meanwhile.")
    replicas = _workable(session, models.replica_ids(session, source_id))
    _check_sizes(candidate, source, replicas)
    waiting = _take(session, [source, *replicas], "promote", InstanceTasks.PROMOTING)
    return operations.begin(session, KIND_PROMOTE, "instance", instance_id, context, {
        "source": source_id, "candidate": candidate.id, "replicas": [replica.id for replica in replicas],
        "restart_required": waiting}).id


def _check_sizes(candidate, source, replicas):
    """Refuse a promotion after which a source has a smaller volume than before, or than it may have (all Loaded).

    Raises Conflict that names the instances to resize first.
    """
    size = candidate.row.volume_size
    if not size or not source.row.volume_size:
        return
    if size < source.row.volume_size:
        raise exception.Conflict(
            f"The volume of instance {candidate.id} has {size} GB, that of its source {source.row.volume_size} GB. "
            f"Resize the volume of {candidate.id} to {source.row.volume_size} GB first.")
    smaller = [each for each in (source, *replicas) if (each.row.volume_size or size) < size]
    if smaller:
        which = ", ".join(f"{each.id} ({each.row.volume_size} GB)" for each in smaller)
        raise exception.Conflict(
            f"The volume of instance {candidate.id} has {size} GB; its replicas would be smaller: {which}. Resize the "
            f"volume of the source {source.id} to {size} GB first, which resizes its replicas too.")


def promote(context, instance_id):
    """Let a replica and its source change places.

    Raises NotFound, UnprocessableEntity, BadRequest (no replica), Conflict (its volume has another size).
    """
    with get_db_api().reader() as session:
        _, source = _check_promote(session, context, instance_id)
    operation_id = _begin_promote(context, instance_id, source.id)
    LOG.info("instance %s: -> PROMOTING, its source is %s (operation %s)", instance_id, source.id, operation_id)
    taskmanager.API(context).wake(operation_id)


@in_transaction
def _begin_eject(session, context, instance_id):
    models.lock(session, instance_id, context)
    source = loading.load(session, instance_id, context)
    source.check_action("eject")
    ids = models.replica_ids(session, instance_id)
    if not ids:
        raise exception.BadRequest(f"Instance {instance_id} has no replicas.")
    if not source.silent:
        raise exception.BadRequest(f"Instance {instance_id} gave a sign of life at {db_models.iso(source.last_seen)}: "
                                   "only a source that is silent can be ejected; promote a replica instead.")
    replicas = _workable(session, ids)
    if not replicas:
        raise exception.UnprocessableEntity(f"All replicas of instance {instance_id} are in an error.")
    waiting = _take(session, [source, *replicas], "eject", InstanceTasks.EJECTING)
    return operations.begin(session, KIND_EJECT, "instance", instance_id, context, {
        "source": instance_id, "replicas": [replica.id for replica in replicas], "restart_required": waiting}).id


def eject(context, instance_id):
    """Let the best replica take the place of a silent source.

    Raises NotFound, UnprocessableEntity, BadRequest (no replicas, or the source is not silent).
    """
    operation_id = _begin_eject(context, instance_id)
    LOG.info("instance %s: -> EJECTING (operation %s)", instance_id, operation_id)
    taskmanager.API(context).wake(operation_id)
