"""Archives of logs: rows, and which points in time can be restored with them.

An archive begins with a backup and belongs to one instance, even after that is deleted; it goes with the last backup
that needs it. How many pieces there are, and the newest time that they cover, is the guest's word; the object store is
asked before anybody relies on it.
"""
import dataclasses
import datetime
import math

import sqlalchemy

from trove.backup import archive_store
from trove.backup import models as backups
from trove.common import exception, remote
from trove.db import models
from trove.db.sqlalchemy import tables

_table, _backups = tables.archives, tables.backups


@models.registry.mapped
class DBArchive(models.Row):
    """An archive of the logs of an instance. The instance may be gone."""

    __table__ = tables.archives
    label = "archive"


@dataclasses.dataclass(frozen=True)
class Window:
    """The points in time to which an instance can be restored. earliest, latest: whole seconds since the epoch."""

    earliest: int
    latest: int


def running(session, instance_id):
    """The archive (row, locked) that the guest of an instance fills now, or None."""
    return session.execute(DBArchive.live().where(
        DBArchive.instance_id == instance_id, DBArchive.ended.is_(False)).with_for_update()).scalars().first()


def add(session, instance_id, key_id):
    """Add an archive of an instance; key_id: name of the key from which that of its pieces is made, None for none."""
    row = DBArchive(id=models.new_id(), instance_id=instance_id, key_id=key_id, pieces=0, oldest=0, ended=False,
                    signed=0.0, deleted=False)
    session.add(row)
    session.flush()
    return row


def end(session, **which):
    """Say that no further pieces come to the archives with these values of columns (id, instance_id)."""
    session.execute(sqlalchemy.update(_table).where(
        *(_table.c[name] == value for name, value in which.items())).values(ended=True))


def forget_base(session, backup_id):
    """Say that a backup cannot be brought to a later time."""
    session.execute(sqlalchemy.update(_backups).where(_backups.c.id == backup_id).values(
        archive_id=None, archive_piece=None, archive_since=None))


def window(session, instance_id):
    """The Window of the newest archive of an instance from which something can be restored, or None."""
    rows = session.execute(sqlalchemy.select(
        _table.c.covers, sqlalchemy.func.min(_backups.c.archive_since),
    ).select_from(_table.join(_backups, _backups.c.archive_id == _table.c.id)).where(
        _table.c.instance_id == instance_id, _table.c.deleted.is_(False), _table.c.covers.is_not(None),
        _backups.c.deleted.is_(False), _backups.c.state == backups.COMPLETED,
        _backups.c.archive_since.is_not(None)).group_by(_table.c.id, _table.c.covers)).all()
    found = [_window(since, covers) for covers, since in rows]
    return max((each for each in found if each), key=lambda each: each.latest, default=None)


def _window(since, covers):
    """The Window between the end of a backup and the end of its archive, None if nothing is between."""
    earliest, latest = math.ceil(since), math.floor(covers)
    return Window(earliest, latest) if earliest <= latest else None


def iso(seconds):
    """Return a time in seconds since the epoch as users write it: 2026-11-27T21:03:04Z."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text):
    """Return what ``iso`` was given; also without the Z. Raises ValueError."""
    return int(datetime.datetime.strptime(text.removesuffix("Z"), "%Y-%m-%dT%H:%M:%S").replace(
        tzinfo=datetime.UTC).timestamp())


def parse(text):
    """Return the seconds since the epoch of the time of a restore point. Raises BadValue."""
    try:
        return seconds(text)
    except ValueError:
        raise exception.BadValue(field="restorePoint.time", reason=(
            "must be a time in UTC, to the second, such as 2026-11-27T21:03:04Z.")) from None


def find_base(session, instance_id, point, context):
    """The id of the newest backup of an instance that can be brought to a point in time. Raises NotFound, BadValue.

    point: seconds since the epoch.
    """
    own = () if context.is_admin else (backups.DBBackup.tenant_id == context.project_id,)
    rows = session.execute(backups.DBBackup.live().where(
        backups.DBBackup.instance_id == instance_id, *own)).scalars().all()
    if not rows:
        raise exception.NotFound(resource="backup of the instance", id=instance_id)
    fitting = [row for row in rows if row.state == backups.COMPLETED and row.archive_since is not None
               and row.archive_since <= point]
    if fitting:
        return max(fitting, key=lambda row: row.archive_since).id
    found = window(session, instance_id)
    raise exception.BadValue(field="restorePoint.time", reason=(
        f"is before all backups of instance {instance_id}; the earliest possible time is {iso(found.earliest)}."
        if found else f"cannot be given: no logs of instance {instance_id} are archived. Take a backup to begin."))


def check_point(session, backup, point):
    """Return the archive (row) with which a backup (row) can be brought to a point in time (seconds since the epoch).

    Raises BadValue that names the times which are possible.
    """
    archive = session.get(DBArchive, backup.archive_id) if backup.archive_since is not None else None
    if archive is None or archive.deleted:
        raise exception.BadValue(field="restorePoint.time", reason=(
            f"cannot be given: no logs were archived after backup {backup.id}. Leave it out."))
    found = _window(backup.archive_since, archive.covers or 0)
    if found is None:
        raise exception.BadValue(field="restorePoint.time", reason=(
            f"cannot be given yet: no logs were archived since backup {backup.id} was complete, at "
            f"{iso(math.ceil(backup.archive_since))}."))
    if not found.earliest <= point <= found.latest:
        raise exception.BadValue(field="restorePoint.time", reason=(
            f"must be from {iso(found.earliest)} to {iso(found.latest)} for backup {backup.id}, in UTC."))
    return archive


def check_pieces(archive, first):
    """Check that the object store has all pieces of an archive (row) from number ``first`` on.

    Raises Conflict naming the first that is missing, ServiceUnavailable when the object store does not answer.
    """
    try:
        missing = archive_store.find_missing(archive.id, first, archive.pieces)
    except Exception as error:
        if remote.is_missing(error):
            raise exception.Conflict(f"restorePoint.time: the archive of logs {archive.id} is missing in the object "
                                     "store.") from error
        if remote.is_passing(error):
            raise exception.ServiceUnavailable("The object store does not answer.") from error
        raise
    if missing is not None:
        raise exception.Conflict(f"restorePoint.time: the piece {missing} of the archive of logs {archive.id} is "
                                 "missing in the object store.")
