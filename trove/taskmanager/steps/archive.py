"""Archives of logs: beginning one with a backup, and what a restore to a point in time needs of it."""
from oslo_log import log as logging

from trove.backup import archive_store, archives, models
from trove.common import cfg, crypto, exception
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)


def described(row):
    """What the guest needs to fill an archive (row): {"id", "pieces", "key": hexadecimal or None, "storage"}.

    Its container takes signatures that are made from now on.
    """
    archive_store.open_container(row.id)
    return {"id": row.id, "pieces": row.pieces,
            "key": crypto.backup_key(row.id, row.key_id) if row.key_id else None,
            "storage": archive_store.signatures(row.id, "PUT", CONF.archive_signature_validity)}


def begin(work):
    """Have the guest archive its logs from now on, so that the backup can be brought to later times.

    A backup is worth having without that: when the guest cannot, this is logged, and the next backup begins another
    archive.
    """
    instance_id = work.args["instance_id"]
    if not cfg.datastore_options(work.args["datastore"]["manager"]).archive_strategy:
        return
    with work.writing() as session:
        archive = archives.running(session, instance_id)
        if archive is None:
            encrypted = CONF.backup_use_openssl_encryption and CONF.backup_encryption_key
            archive = archives.add(session, instance_id, crypto.backup_key_ids()[0] if encrypted else None)
            LOG.info("instance %s: the archive of logs %s begins with backup %s", instance_id, archive.id,
                     work.resource_id)
        models.DBBackup.get(session, work.resource_id).archive_id = archive.id
    signed = work.now()
    try:
        answer = work.guest(instance_id).begin_archive(described(archive), work.args["backup_type"])
        if answer.get("id") != archive.id:
            raise exception.GuestError(original=f"it archives no logs for backups of type {work.args['backup_type']}.")
    except exception.GuestError as error:
        LOG.warning("instance %s: its logs are not archived for this backup: %s", instance_id, error)
        with work.writing() as session:
            # Without an answer it may well be filled: for the backups before, and for the next one.
            if not isinstance(error, exception.GuestTimeout):
                archives.end(session, id=archive.id)
            archives.forget_base(session, work.resource_id)
        return
    work.data["archived"] = True
    with work.writing() as session:
        models.DBBackup.get(session, work.resource_id).archive_piece = answer["next"]
        session.get(archives.DBArchive, archive.id).signed = signed


def restore_info(session, point):
    """What prepare needs to replay logs: "archive" of ``guestagent.api.API.prepare``'s backup_info.

    point: "point" of the arguments of a creation: {"time": seconds since the epoch, "archive_id", "first", "count"}:
    the number of the first piece, and of all pieces. Raises CloudError naming what is missing in the object store.
    """
    row = session.get(archives.DBArchive, point["archive_id"])
    if row is None or row.deleted:
        raise exception.CloudError(reason=f"the archive of logs {point['archive_id']} was deleted.")
    missing = archive_store.find_missing(row.id, point["first"], point["count"])
    if missing is not None:
        raise exception.CloudError(reason=f"the piece {missing} of the archive of logs {row.id} is missing in the "
                                          "object store.")
    archive_store.open_container(row.id, for_writing=not row.ended)
    return {"id": row.id, "key": crypto.backup_key(row.id, row.key_id) if row.key_id else None, "first": point["first"],
            "count": point["count"], "point": point["time"],
            "storage": archive_store.signatures(row.id, "GET", CONF.restore_usage_timeout)}
