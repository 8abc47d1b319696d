"""Taking and deleting backups: the objects, the commands to the guest, and the wait for what it reports."""
import dataclasses
import time

from oslo_log import log as logging

from trove.backup import models, store
from trove.common import crypto, exception, object_store, remote, security
from trove.common.cfg import CONF
from trove.instance import loading
from trove.operation.models import Operation
from trove.taskmanager.work import Again

LOG = logging.getLogger(__name__)

# Seconds after which deleting many objects lets others have their turn.
_SLICE = 5.0


def prepare_store(work):
    """Make the container of the backup."""
    store.make(work.resource_id)


def delete_objects(work):
    """Delete the container of the backup with all objects, and so end the guest's right to write there."""
    return _delete(work, work.resource_id, work.data.get("manifest"))


def _delete(work, backup_id, manifest=None):
    """Delete the objects of one backup; returns None, or Again. manifest: name of the manifest if the row has none."""
    with work.reading() as session:
        row = session.get(models.DBBackup, backup_id)
    before = work.data.get("deleted", {}).get(backup_id, 0)
    done = store.delete(backup_id, time.monotonic() + _SLICE, manifest=store.manifest_of(row) or manifest, done=before,
                        segments=row.segments or 0 if row else 0)
    if done is None:
        return None
    if done == before:
        return work.again()
    work.note(deleted={backup_id: done})
    return Again(0)


def send(work):
    """Tell the guest to take the backup."""
    with work.writing() as session:
        models.move(session, work.resource_id, models.BUILDING, (models.NEW, models.BUILDING))
        if CONF.backup_use_openssl_encryption and CONF.backup_encryption_key:
            models.keep_key(session, work.resource_id, crypto.backup_key_ids()[0])
    _send(work)
    work.note(backup_sent=work.now())


def _send(work):
    args = work.args
    parent = None
    with work.reading() as session:
        made_from = models.DBBackup.get(session, work.resource_id).key_id
    if args["parent_id"]:
        with work.reading() as session:
            row = models.DBBackup.get(session, args["parent_id"])
        _, metadata = store.manifest(store.place(row.id, row.location))
        parent = {"id": row.id, "location": row.location, "checksum": row.checksum, "metadata": metadata}
    store.make(work.resource_id)  # its keys may be made from an older operation_key than the signatures
    work.guest(args["instance_id"]).create_backup({
        "id": work.resource_id, "name": args["name"], "description": args["description"],
        "instance_id": args["instance_id"], "backup_type": args["backup_type"], "checksum": None, "location": None,
        "datastore": args["datastore"]["name"], "datastore_version": args["datastore"]["version"], "parent": parent,
        "key": (crypto.backup_key(work.resource_id, made_from) if CONF.backup_use_openssl_encryption else None),
        "storage": store.signatures(store.place(work.resource_id), ("PUT", "POST"), CONF.backup_time_out)})


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
    if row.state in (models.SAVING, models.COMPLETED):
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
        uploaded = store.uploaded(store.place(work.resource_id))
        if uploaded != work.data.get("uploaded"):
            work.note(uploaded=uploaded)
    return work.again()


def check_objects(work):
    """Compare the objects in the store with what the guest reported, after its right to write was ended.

    The number of segments, their size, their checksum and what the guest keeps with them must fit, no object may be
    there beside them, and each must be a plain object. Raises GuestError, and reports backup.mismatch.
    """
    with work.reading() as session:
        row = models.DBBackup.get(session, work.resource_id)
    where = store.place(row.id)
    store.open_for_reading(where)
    if None in (row.segments, row.uploaded, row.checksum):
        raise _mismatch(work, "the guest did not report how many segments and bytes it sent, and their checksum; its "
                              "agent may be of an earlier release")
    try:
        segments = store.segments(where, row.segments)
        if not work.data.get("checked"):
            store.guest_metadata(where)
    except (exception.NotFound, ValueError) as error:
        raise _mismatch(work, str(error).rstrip(".")) from error
    size, checksum = sum(segment.size for segment in segments), store.checksum(segments)
    if (size, checksum) != (row.uploaded, row.checksum):
        raise _mismatch(work, f"the {len(segments)} segments have {size} bytes and the checksum {checksum}, the guest "
                              f"reported {row.uploaded} and {row.checksum}")
    if strangers := store.strangers(where, row.segments):
        raise _mismatch(work, f"there are {strangers} objects beside its segments")
    end = time.monotonic() + _SLICE
    for number in range(work.data.get("checked", 0), len(segments)):
        if time.monotonic() > end:
            work.note(checked=number)
            return Again(0)
        found = store.facts(where, number)
        if not found.plain or (found.size, found.hash) != (segments[number].size, segments[number].hash):
            raise _mismatch(work, f"the segment {segments[number].name} is not a plain object")
    work.note(checked=len(segments), uploaded=size)
    return None


def _mismatch(work, reason):
    reason = f"the backup in the object store is not what was reported: {reason}."
    security.report("backup.mismatch", f"backup {work.resource_id}: {reason}", instance_id=work.args["instance_id"])
    return exception.GuestError(original=reason)


def write_manifest(work):
    """Make the manifest of what was checked, with all that a restore needs to know."""
    args = work.args
    with work.reading() as session:
        row = models.DBBackup.get(session, work.resource_id)
        parent = models.DBBackup.get(session, row.parent_id) if row.parent_id else None
    where = store.place(row.id)
    try:
        metadata = store.guest_metadata(where)
    except ValueError as error:
        raise _mismatch(work, str(error)) from error
    name = row.id + store.extension(args["backup_type"], metadata["compression"], row.key_id is not None)
    metadata.update(datastore=args["datastore"]["name"], datastore_version=args["datastore"]["version"],
                    segments=row.segments)
    if parent is not None:
        metadata.update(parent_location=parent.location, parent_checksum=parent.checksum)
    work.note(manifest=name)  # taking it back deletes it under this name
    location, etag = store.write_manifest(dataclasses.replace(where, manifest=name), metadata)
    if etag != row.checksum:
        # The segments were checked one by one, but a manifest shows those that are listed.
        raise object_store.Error(
            f"The manifest of the backup shows the checksum {etag} instead of {row.checksum}. The listing of its "
            "container lags.", http_status=503)
    work.note(location=location)


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
    where = store.place(row.id, row.location)
    try:
        _, metadata = store.manifest(where)
    except Exception as error:
        if remote.is_missing(error):
            raise exception.CloudError(reason=f"the manifest {where.manifest} of backup {row.id} is missing in the "
                                              "object store.") from error
        raise
    try:
        found = store.segments(where, _count(row, metadata))
    except exception.NotFound as error:
        raise exception.CloudError(reason=f"backup {row.id}: {error}") from error
    if store.checksum(found) != row.checksum:
        raise exception.CloudError(reason=f"the segments of backup {row.id} in the object store have changed: their "
                                          f"checksum is {store.checksum(found)}, that of the backup was "
                                          f"{row.checksum}.")
    store.open_for_reading(where)
    return {"id": row.id, "type": row.backup_type, "location": row.location, "checksum": row.checksum,
            "segments": [[segment.name, segment.size, segment.hash] for segment in found],
            "key": crypto.backup_key(row.id, row.key_id) if CONF.backup_encryption_key else None,
            "storage": store.signatures(where, ("GET",), CONF.restore_usage_timeout)}


def _count(row, metadata):
    """Return the number of segments: of the row, or of the manifest for a backup of an earlier release."""
    if row.segments is not None:
        return row.segments
    told = metadata.get("segments", "")
    if not told.isascii() or not told.isdigit() or not 1 <= int(told[:6]) <= store.MAX_SEGMENTS:
        raise exception.CloudError(reason=f"the manifest of backup {row.id} does not say how many segments it has.")
    return int(told[:6])


def delete_chain(work):
    """Delete the containers of the backup and of all increments on it, children first."""
    gone = set(work.data.get("gone", ()))
    for backup_id in work.args["ids"]:
        if backup_id in gone:
            continue
        again = _delete(work, backup_id)
        if again is not None:
            return again
        gone.add(backup_id)
        work.note(gone=sorted(gone))
    return None
