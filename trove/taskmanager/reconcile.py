"""What the task manager does by the clock: look at Nova's servers for all instances, look for volumes and containers of
backups that belong to none, and forget old operations.

Lists and shows take a server's status and addresses from our rows; this keeps them true for instances that no
operation works on, with one call to Nova per page of servers however many instances there are.
"""
import time

import sqlalchemy
from oslo_log import log as logging

from trove.backup import models as backup_models
from trove.backup import store
from trove.common import remote
from trove.common.cfg import CONF
from trove.db import get_db_api
from trove.db import models as db_models
from trove.db.sqlalchemy.session import retry_lost_races
from trove.instance.models import DBInstance
from trove.operation import models as operations
from trove.taskmanager.steps import compute, volume

LOG = logging.getLogger(__name__)

_BATCH = 200
# Seconds in which one look deletes objects of backups; the next look goes on.
_SLICE = 60.0


def look_at_servers():
    """Bring status and addresses of all instances' servers up to date; a server that is gone counts as SHUTDOWN.

    A server that carries the mark of an instance of ours, but is not its server, is deleted: a task manager that was
    suspended in the middle of a request and woke up after its lease may have made one. It would have the instance's
    keys and take commands from its queue.
    """
    # Read before Nova is asked: a server that was made since then must not be taken for a missing one.
    with get_db_api().reader() as session:
        expected = {row.compute_instance_id: row.id for row in session.execute(sqlalchemy.select(
            DBInstance.id, DBInstance.compute_instance_id).where(
            DBInstance.deleted.is_(False), DBInstance.compute_instance_id.is_not(None)))}
    batch, strays = [], []
    for server in compute.all_servers(remote.nova_client()):
        if expected.pop(server.id, None):
            batch.append(server)
        elif compute.TAG in server.metadata:
            strays.append(server)
        if len(batch) == _BATCH:
            _record(batch)
            batch = []
    _record(batch)
    _record_missing(list(expected))
    for server in strays:
        instance_id = server.metadata[compute.TAG]
        if _is_stray("compute_instance_id", server.id, instance_id):
            LOG.warning("instance %s: the server %s is not the one it has, or had, and is deleted", instance_id,
                        server.id)
            remote.nova_client().servers.delete(server.id)


def look_at_volumes():
    """Delete volumes that carry name and mark of an instance of ours, but are not its volume, as with servers."""
    if not CONF.trove_volume_support:
        return
    cinder = remote.cinder_client()
    for found in cinder.volumes.list():
        instance_id = found.metadata.get(volume.TAG)
        if (instance_id and found.name == volume.name_of(instance_id) and found.status in volume.DELETABLE
                and _is_stray("volume_id", found.id, instance_id)):
            LOG.warning("instance %s: the volume %s is not the one it has, or had, and is deleted", instance_id,
                        found.id)
            cinder.volumes.delete(found.id)


def look_at_backups():
    """Delete the containers of backups that failed or were deleted: objects that came late, and what an interrupted
    delete left. Containers of backups that the database does not know are only logged: they may be another's.
    """
    end, marker, unknown = time.monotonic() + _SLICE, "", []
    while marker is not None:
        ids, marker = store.containers(marker)
        for start in range(0, len(ids), _BATCH):
            batch = ids[start:start + _BATCH]
            doomed, known = _ended_backups(batch)
            unknown += [backup_id for backup_id in batch if backup_id not in known]
            for row in doomed:
                LOG.warning("backup %s: it has failed or was deleted, but its container is there, and is deleted",
                            row.id)
                # One that a lagging listing keeps is left for a later look.
                store.delete(row.id, end, segments=row.segments or 0, manifest=store.manifest_of(row))
                if time.monotonic() > end:
                    return
    if unknown:
        LOG.warning("%d containers of backups belong to no backup in the database, and are left: the first is that of "
                    "%s", len(unknown), unknown[0])


def _ended_backups(ids):
    """Return (rows of those whose objects are to go and that no operation works on, ids that the database knows)."""
    with get_db_api().reader() as session:
        rows = session.execute(sqlalchemy.select(backup_models.DBBackup).where(
            backup_models.DBBackup.id.in_(ids))).scalars().all()
        # Neither state is ever left again, so only operations that clean up, or use a snapshot, can be at work.
        ended = [row for row in rows if row.deleted or row.state == backup_models.FAILED]
        return ([row for row in ended if not operations.live_for(session, "backup", row.id)],
                {row.id for row in rows})


def forget_old_operations():
    """Delete operations that ended more than operation_retention seconds ago."""
    while True:
        with get_db_api().writer() as session:
            count = operations.purge(session, get_db_api().now(session) - CONF.operation_retention, _BATCH)
        if count < _BATCH:
            return


@retry_lost_races
def _record(servers):
    if not servers:
        return
    by_id = {server.id: server for server in servers}
    with get_db_api().writer() as session:
        for instance in _with_servers(session, by_id):
            compute.record(instance, by_id[instance.compute_instance_id])


@retry_lost_races
def _record_missing(server_ids):
    for start in range(0, len(server_ids), _BATCH):
        with get_db_api().writer() as session:
            for instance in _with_servers(session, server_ids[start:start + _BATCH]):
                if instance.server_status != "SHUTDOWN":
                    LOG.warning("instance %s: Nova does not know its server %s", instance.id,
                                instance.compute_instance_id)
                instance.server_status = "SHUTDOWN"
                instance.address_list = []
                instance.server_seen = db_models.utcnow()


def _is_stray(column, thing_id, instance_id):
    """Whether a server or volume marked as an instance's is not the one in its row's ``column`` and nobody works on it.

    One of an instance that we do not know is somebody else's.
    """
    with get_db_api().reader() as session:
        # Asked first: an operation that ends meanwhile has recorded its server by then.
        if operations.live_for(session, "instance", instance_id):
            return False
        instance = session.get(DBInstance, instance_id)
        return instance is not None and (instance.deleted or getattr(instance, column) != thing_id)


def _with_servers(session, server_ids):
    return session.execute(DBInstance.live().where(DBInstance.compute_instance_id.in_(server_ids))).scalars()
