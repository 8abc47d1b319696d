"""Taking and deleting backups: the objects, the commands to the guest, and the wait for what it reports."""
import time

from oslo_log import log as logging

from trove.backup import models, store
from trove.common import crypto, exception, remote
from trove.common.cfg import CONF
from trove.instance import loading
from trove.operation.models import Operation
from trove.taskmanager.work import Again

LOG = logging.getLogger(__name__)

# Seconds after which deleting many objects lets others have their turn.
_SLICE = 5.0


def backup_key(backup_id):
    """The key of a new backup, None when backups are not to be encrypted."""
    return crypto.backup_key(backup_id) if CONF.backup_use_openssl_encryption else None


def prepare_store(work):
    """Make the container."""
    store.ensure_container()


def delete_objects(work):
    """Delete what there is of the backup; its undo."""
    return None if store.delete(work.resource_id, time.monotonic() + _SLICE) else Again(0)


def send(work):
    """Tell the guest to take the backup."""
    with work.writing() as session:
        models.move(session, work.resource_id, models.BUILDING, (models.NEW, models.BUILDING))
    _send(work)
    work.note(backup_sent=work.now())


def _send(work):
    args = work.args
    parent = None
    if args["parent_id"]:
        with work.reading() as session:
            row = models.DBBackup.get(session, args["parent_id"])
        _, metadata = store.manifest(store.object_name(row.location))
        parent = {"id": row.id, "location": row.location, "checksum": row.checksum, "metadata": metadata}
    remote.guest_client(work.context, args["instance_id"]).create_backup({
        "id": work.resource_id, "name": args["name"], "description": args["description"],
        "instance_id": args["instance_id"], "backup_type": args["backup_type"], "checksum": None, "location": None,
        "datastore": args["datastore"]["name"], "datastore_version": args["datastore"]["version"], "parent": parent,
        "key": backup_key(work.resource_id),
        "storage": store.signatures(work.resource_id, ("PUT", "POST"), CONF.backup_time_out)})


def wait_for_guest(work):
    """Look again until the guest has uploaded everything.

    The command may be lost with a broker, so it is sent again while nothing was heard; guests take that. Raises
    GuestError with the cause when the guest reported a failure, is silent, or is gone.
    """
    instance_id = work.args["instance_id"]
    with work.reading() as session:
        row = models.DBBackup.get(session, work.resource_id)
        cause = session.get(Operation, work.operation.id).error
    if row.state == models.FAILED:
        raise exception.GuestError(original=cause or "The backup was given up.")
    if row.state in (models.SAVING, models.COMPLETED) and row.checksum:
        return None
    try:
        with work.reading() as session:
            loaded = loading.load(session, instance_id)
    except exception.NotFound:
        raise exception.GuestError(f"The instance {instance_id} was deleted while the backup was taken.") from None
    if loaded.silent:
        raise exception.GuestError(
            f"The guest has been silent for more than {CONF.agent_heartbeat_expiry} s (option "
            "agent_heartbeat_expiry) while the backup was taken.")
    if row.size is None and work.now() - work.data["backup_sent"] > CONF.guest_prepare_retry:
        LOG.warning("backup %s: the command is sent again, nothing was heard of the guest", work.resource_id)
        _send(work)
        work.note(backup_sent=work.now())
    elif row.size is not None and work.waited > CONF.usage_sleep_time:
        uploaded = sum(segment.size for segment in store.segments(work.resource_id))
        if uploaded != work.data.get("uploaded"):
            work.note(uploaded=uploaded)
    return work.again()


def write_manifest(work):
    """Check what was uploaded and make the manifest, with all that a restore needs to know."""
    args = work.args
    with work.reading() as session:
        row = models.DBBackup.get(session, work.resource_id)
        parent = models.DBBackup.get(session, row.parent_id) if row.parent_id else None
    segments = store.segments(work.resource_id)
    if store.checksum(segments) != row.checksum:
        raise exception.CloudError(reason=f"the {len(segments)} segments of the backup in the object store have the "
                                          f"checksum {store.checksum(segments)}, the guest sent {row.checksum}.")
    metadata = store.segment_metadata(work.resource_id)
    name = work.resource_id + metadata.pop("extension", "")
    metadata.update(datastore=args["datastore"]["name"], datastore_version=args["datastore"]["version"],
                    segments=len(segments))
    if parent is not None:
        metadata.update(parent_location=parent.location, parent_checksum=parent.checksum)
    location, etag = store.write_manifest(work.resource_id, name, metadata)
    if etag != row.checksum:
        raise exception.CloudError(reason=f"the object store gives the backup the checksum {etag}, the guest sent "
                                          f"{row.checksum}.")
    work.note(location=location, uploaded=sum(segment.size for segment in segments))


def chain(session, backup_id):
    """The rows of the backups that a restore needs, the full one first. Raises NotFound when one is gone."""
    return models.chain(session, models.DBBackup.get(session, backup_id))


def restore_info(rows):
    """What prepare needs to restore a backup: ``guestagent.api.API.prepare``'s backup_info.

    rows: of ``chain``. Raises CloudError naming what is missing or has changed in the object store.
    """
    last = rows[-1]
    return {"id": last.id, "instance_id": last.instance_id, "location": last.location, "type": last.backup_type,
            "checksum": last.checksum, "chain": [_link(row) for row in rows]}


def _link(row):
    name = store.object_name(row.location)
    try:
        etag, metadata = store.manifest(name)
    except Exception as error:
        if remote.is_missing(error):
            raise exception.CloudError(reason=f"the manifest {name} of backup {row.id} is missing in the object "
                                              "store.") from error
        raise
    found = store.segments(row.id)
    names = {segment.name for segment in found}
    count = int(metadata.get("segments", len(found)))
    expected = [store.segment_name(row.id, number) for number in range(max(count, len(found)))]
    missing = [each for each in expected if each not in names]
    if missing:
        raise exception.CloudError(
            reason=f"the segment {missing[0]} of backup {row.id} is missing in the object store.")
    if etag != row.checksum or store.checksum(found) != row.checksum:
        raise exception.CloudError(reason=f"the segments of backup {row.id} in the object store have changed: their "
                                          f"checksum is {store.checksum(found)}, that of the backup was "
                                          f"{row.checksum}.")
    return {"id": row.id, "type": row.backup_type, "location": row.location, "checksum": row.checksum,
            "segments": [[segment.name, segment.size, segment.hash] for segment in found],
            "key": crypto.backup_key(row.id) if CONF.backup_encryption_key else None,
            "storage": store.signatures(row.id, ("GET",), CONF.restore_usage_timeout)}


def delete_chain(work):
    """Delete the objects of the backup and of all increments on it, children first."""
    end = time.monotonic() + _SLICE
    gone = set(work.data.get("gone", ()))
    for backup_id in work.args["ids"]:
        if backup_id in gone:
            continue
        if not store.delete(backup_id, end):
            return Again(0)
        gone.add(backup_id)
        work.note(gone=sorted(gone))
    return None

