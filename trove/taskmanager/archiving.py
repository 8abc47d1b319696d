"""What the task manager does by the clock for archives of logs: signatures for guests, and what nobody needs any more.

Several task managers may do it at the same time.
"""
import datetime
import time

import sqlalchemy
from oslo_log import log as logging

from trove import rpc
from trove.backup import archive_store, archives
from trove.backup import models as backups
from trove.common import exception, remote
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.db import get_db_api
from trove.db import models as db_models
from trove.db.sqlalchemy import tables
from trove.instance.models import AgentHeartBeat, DBInstance
from trove.taskmanager.steps import archive as steps

LOG = logging.getLogger(__name__)

# Guests that are given signatures in one look, and archives on one page.
_BATCH = 200
# Seconds in which one look deletes; the next one goes on.
_SLICE = 60.0
# States of backups that need their archive, or may come to.
_NEEDING = (*backups.RUNNING_BACKUP_STATES, backups.COMPLETED)

_table = tables.archives


def look_at_archives():
    """Renew the signatures of guests that archive, and delete pieces, and archives, that no backup needs."""
    for row in _due():
        _renew(row)
    # From anywhere on: an archive with many pieces, as its guest says, must not keep all others waiting each time.
    end, begin = time.monotonic() + _SLICE, db_models.new_id()
    for last, stop in ((begin, None), ("", begin)):
        while page := _page(last, stop):
            for row, needed, first in page:
                try:
                    _tidy(row, needed, first, end)
                except Exception as error:  # noqa: BLE001 - one archive that cannot be deleted keeps no other
                    LOG.warning("archive %s: it could not be tidied up, the next look tries again: %s", row.id, error)
                    if remote.is_passing(error):
                        return
                if time.monotonic() > end:
                    return
            last = page[-1][0].id


def _due():
    """Return the archives whose guests are heard and have had their signatures for half of the time."""
    heard = db_models.utcnow() - datetime.timedelta(seconds=CONF.agent_heartbeat_expiry)
    with get_db_api().reader() as session:
        before = get_db_api().now(session) - CONF.archive_signature_validity / 2
        return session.execute(archives.DBArchive.live().where(
            archives.DBArchive.ended.is_(False), archives.DBArchive.signed < before,
            sqlalchemy.exists().where(AgentHeartBeat.instance_id == archives.DBArchive.instance_id,
                                      AgentHeartBeat.updated_at > heard),
        ).order_by(archives.DBArchive.signed).limit(_BATCH)).scalars().all()


def _renew(row):
    with get_db_api().writer() as session:
        # One of several task managers; and tried again soon if it dies, or the message is lost.
        now = get_db_api().now(session)
        soon = now - CONF.archive_signature_validity / 2 + 2 * CONF.archive_audit_interval
        if session.execute(sqlalchemy.update(_table).where(
                _table.c.id == row.id, _table.c.signed == row.signed, _table.c.ended.is_(False),
                _table.c.deleted.is_(False)).values(signed=soon)).rowcount != 1:
            return  # or the archive has ended: its container must not be made again
    try:
        _tell(row, steps.described(row))
    except Exception as error:  # noqa: BLE001 - of the bus or the object store: the next look tries again
        LOG.warning("archive %s: its guest was not given new signatures: %s", row.id, error)
        return
    with get_db_api().writer() as session:
        session.execute(sqlalchemy.update(_table).where(_table.c.id == row.id, _table.c.signed == soon).values(
            signed=now))


def _tell(row, archive):
    remote.guest_client(TroveContext(is_admin=True, overwrite=False), row.instance_id).renew_archive(row.id, archive)


def _page(last, stop):
    """Return [(archive, how many backups need it, number of the first piece that one needs or None)].

    The ids of the archives follow ``last``, and precede or are ``stop`` unless that is None.
    """
    backup = tables.backups.c
    up_to = () if stop is None else (archives.DBArchive.id <= stop,)
    with get_db_api().reader() as session:
        rows = session.execute(archives.DBArchive.live().where(archives.DBArchive.id > last, *up_to).order_by(
            archives.DBArchive.id).limit(_BATCH)).scalars().all()
        needs = {archive_id: (count, first) for archive_id, count, first in session.execute(sqlalchemy.select(
            backup.archive_id, sqlalchemy.func.count(), sqlalchemy.func.min(backup.archive_piece)).where(
            backup.archive_id.in_([row.id for row in rows]), backup.deleted.is_(False), backup.state.in_(_NEEDING),
        ).group_by(backup.archive_id))}
    return [(row, *needs.get(row.id, (0, None))) for row in rows]


def _tidy(row, needed, first, end):
    if not needed:
        _end(row, end)
    elif first is not None and row.oldest < min(first, row.pieces):
        oldest = archive_store.delete_pieces(row.id, row.oldest, min(first, row.pieces), end)
        LOG.info("archive %s: the pieces before %d are deleted", row.id, oldest)
        with get_db_api().writer() as session:
            session.execute(sqlalchemy.update(_table).where(_table.c.id == row.id).values(oldest=oldest))


def _end(row, end):
    """Delete an archive that no backup needs, unless one began with it just now."""
    with get_db_api().writer() as session:
        if not row.ended and archives.running(session, row.instance_id) is None:
            return
        if session.execute(sqlalchemy.select(tables.backups.c.id).where(
                tables.backups.c.archive_id == row.id, tables.backups.c.deleted.is_(False),
                tables.backups.c.state.in_(_NEEDING)).limit(1)).first():
            return
        archives.end(session, id=row.id)
        alive = session.execute(sqlalchemy.select(DBInstance.id).where(
            DBInstance.id == row.instance_id, DBInstance.deleted.is_(False))).first() is not None
    if alive:
        try:
            _tell(row, None)
        except (exception.GuestError, rpc.DeliveryFailure) as error:
            LOG.warning("archive %s: its guest was not told that it ends: %s", row.id, error)
    if archive_store.delete(row.id, end):
        LOG.info("archive %s: no backup needs it any more, and it is deleted", row.id)
        with get_db_api().writer() as session:
            session.execute(sqlalchemy.update(_table).where(_table.c.id == row.id).values(deleted=True))
