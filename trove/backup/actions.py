"""What can be done with backups: each function is one transaction that checks, writes and begins the operation, and
then wakes the task manager. Called by ``backup.service``; ``restorable`` by the creation of instances.
"""
import dataclasses

from oslo_log import log as logging

from trove.backup import models, store
from trove.common import cfg, exception
from trove.common.apischema import last_segment
from trove.common.cfg import CONF
from trove.datastore.models import DBDatastoreVersion
from trove.db import in_transaction
from trove.db import models as db_models
from trove.instance import loading
from trove.instance import models as instance_models
from trove.operation import models as operations
from trove.quota import quota
from trove.taskmanager import api as taskmanager

LOG = logging.getLogger(__name__)

KIND_CREATE, KIND_DELETE, KIND_SNAPSHOT = "backup.create", "backup.delete", "backup.snapshot"


@dataclasses.dataclass(frozen=True)
class Request:
    """What a create request asks for. incremental: on the newest completed backup, if there is no parent_id."""

    instance_id: str
    name: str
    description: str | None = None
    parent_id: str | None = None
    incremental: bool = False


def check_storage(given):
    """Refuse another place than that of all backups: BadValue. given: an object with swift_container, storage_driver.
    """
    if given.get("swift_container") not in (None, CONF.backup_swift_container):
        raise exception.BadValue(field="swift_container",
                                 reason=f"backups are kept in {CONF.backup_swift_container}; leave it out.")
    if given.get("storage_driver") not in (None, "", "swift"):
        raise exception.BadValue(field="storage_driver", reason="must be swift, or left out.")


def parse(given):
    """The Request of the ``backup`` object of a body that fits the schema. Raises BadRequest for what cannot be."""
    if given.get("restore_from"):
        raise exception.NotImplementedHere("restore_from: backups of other regions cannot be registered here.")
    check_storage(given)
    parent = given.get("parent_id")
    return Request(instance_id=last_segment(given["instance"]), name=given["name"],
                   description=given.get("description"), parent_id=last_segment(parent) if parent else None,
                   incremental=given.get("incremental") in (1, "1", True))


def incremental_type(settings, parent_type):
    """The class for an increment on a backup of class ``parent_type``, or None if there is none.

    settings: the datastore's options.
    """
    known = settings.backup_incremental_strategy
    return parent_type if parent_type in known.values() else known.get(parent_type)


def _is_deleted_now(session, backup_id):
    return any(operation.kind == KIND_DELETE for operation in operations.live_for(session, "backup", backup_id))


def _find_parent(session, context, request, settings):
    """(row of the parent or None, class of the backup). Raises NotFound, BadRequest, UnprocessableEntity."""
    if request.parent_id is None:
        parent = models.newest_completed(session, request.instance_id) if request.incremental else None
        kind = parent and incremental_type(settings, parent.backup_type)
        if not kind or _is_deleted_now(session, parent.id):
            return None, settings.backup_strategy
        return parent, kind
    parent = models.lock(session, request.parent_id, context)
    if parent.instance_id != request.instance_id:
        raise exception.BadValue(field="parent_id", reason=f"backup {parent.id} is of another instance.")
    if parent.state != models.COMPLETED:
        raise exception.BadValue(field="parent_id", reason=f"backup {parent.id} is {parent.state}, not COMPLETED.")
    if _is_deleted_now(session, parent.id):
        raise exception.UnprocessableEntity(f"The backup {parent.id} is being deleted.")
    kind = incremental_type(settings, parent.backup_type)
    if not kind:
        raise exception.BadValue(field="parent_id",
                                 reason=f"there are no increments on backups of type {parent.backup_type}.")
    return parent, kind


def settings_of(loaded):
    """The options of an instance's datastore. Raises NotImplementedHere when it cannot be backed up."""
    if loaded.row.cluster_id:
        raise exception.NotImplementedHere(
            f"Instance {loaded.id} is a member of cluster {loaded.row.cluster_id} and cannot be backed up alone.")
    settings = cfg.datastore_options(loaded.manager)
    if not settings.backup_strategy:
        raise exception.NotImplementedHere(f"Backups are not supported for the datastore {loaded.datastore}.")
    if CONF.backup_use_openssl_encryption and not CONF.backup_encryption_key:
        raise exception.NotImplementedHere("No backups can be taken: backups are to be encrypted and the operator has "
                                           "not set the option backup_encryption_key.")
    return settings


@in_transaction
def _insert(session, context, request):
    instance = instance_models.lock(session, request.instance_id, context)
    loaded = loading.load(session, request.instance_id, context)
    settings = settings_of(loaded)
    loaded.check_action("backup")
    parent, kind = _find_parent(session, context, request, settings)
    quota.reserve(session, instance.tenant_id, {"backups": 1})
    backup = models.DBBackup(
        id=db_models.new_id(), name=request.name, description=request.description, tenant_id=instance.tenant_id,
        instance_id=instance.id, state=models.NEW, parent_id=parent and parent.id, backup_type=kind,
        datastore_version_id=instance.datastore_version_id)
    session.add(backup)
    session.flush()
    instance_id = instance.id  # not to be read from the row once an error has rolled the transaction back
    arguments = {
        "instance_id": instance_id, "name": request.name, "description": request.description, "backup_type": kind,
        "parent_id": backup.parent_id,
        "datastore": {"name": loaded.datastore, "manager": loaded.manager, "version": loaded.version}}
    try:
        # The lock of the instance's own operations: nothing else is done with it meanwhile.
        operation = operations.begin(session, KIND_CREATE, "backup", backup.id, context, arguments,
                                     lock=f"instance:{instance_id}")
    except exception.UnprocessableEntity:
        raise exception.UnprocessableEntity(
            f"Instance {instance_id} cannot do backup now: another operation on it has not ended yet.") from None
    return backup.id, operation.id


def create(context, request):
    """Make the row of a backup and wake the task manager. Returns its id.

    Raises NotFound, BadRequest, UnprocessableEntity, NotImplementedHere, OverLimit, ServiceUnavailable; then nothing
    was written.
    """
    store.check_service()
    backup_id, operation_id = _insert(context, request)
    LOG.info("backup %s: -> NEW (instance %s, operation %s)", backup_id, request.instance_id, operation_id)
    taskmanager.API(context).wake(operation_id)
    return backup_id


@in_transaction
def _begin_delete(session, context, backup_id):
    row = models.lock(session, backup_id, context)
    live = operations.live_for(session, "backup", backup_id)
    under_way = next((operation for operation in live if operation.kind == KIND_DELETE), None)
    if under_way is not None:
        return under_way.id
    doomed = models.descendants(session, row)
    running = next((one for one in doomed if one.is_running), None)
    if running is not None:
        which = "It" if running.id == backup_id else f"Its increment {running.id}"
        raise exception.UnprocessableEntity(f"The backup {backup_id} cannot be deleted now: {which} is being taken "
                                            f"({running.state}).")
    return operations.begin(session, KIND_DELETE, "backup", backup_id, context,
                            {"ids": [one.id for one in doomed]}).id


def delete(context, backup_id):
    """Delete a backup with all increments on it. Raises NotFound, UnprocessableEntity while one is being taken."""
    operation_id = _begin_delete(context, backup_id)
    LOG.info("backup %s: is deleted (operation %s)", backup_id, operation_id)
    taskmanager.API(context).wake(operation_id)


def restorable(session, context, backup_id, version, volume_size, flavor_disk=None):
    """The row of a backup from which an instance can be made.

    version: DBDatastoreVersion of the new instance; volume_size: GB of its volume, None without one; then
    flavor_disk: GB of its flavor's disk. Raises NotFound, Conflict, Forbidden, BadRequest.
    The object store is asked by ``store.check``, outside of a transaction.
    """
    row = models.DBBackup.get(session, backup_id, context)
    if row.state != models.COMPLETED:
        raise exception.Conflict(f"restorePoint: backup {row.id} is {row.state}, not COMPLETED.")
    if _is_deleted_now(session, row.id):
        raise exception.Conflict(f"restorePoint: backup {row.id} is being deleted.")
    target = volume_size if volume_size is not None else flavor_disk
    if target is not None and row.size is not None and row.size > target:
        raise exception.Forbidden(f"restorePoint: backup {row.id} has {row.size:g} GB, more than the {target} GB of "
                                  "the new instance.")
    theirs = session.get(DBDatastoreVersion, row.datastore_version_id)
    if theirs is None or theirs.datastore_id != version.datastore_id:
        raise exception.BadRequest(f"restorePoint: backup {row.id} is of another datastore.")
    return row
