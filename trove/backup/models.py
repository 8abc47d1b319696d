"""Rows of backups, and the queries over chains of them."""
import sqlalchemy

from trove.db import models
from trove.db.sqlalchemy import tables
from trove.instance.models import RUNNING_BACKUP_STATES

NEW, BUILDING, SAVING, COMPLETED, FAILED, DELETE_FAILED = (
    "NEW", "BUILDING", "SAVING", "COMPLETED", "FAILED", "DELETE_FAILED")


@models.registry.mapped
class DBBackup(models.Row):
    """A backup of an instance; increments have a parent. The instance may be gone."""

    __table__ = tables.backups
    label = "backup"

    @property
    def is_running(self):
        """Whether it is still being taken."""
        return self.state in RUNNING_BACKUP_STATES


def lock(session, backup_id, context):
    """The live row of a backup, held against other writers until the end of the transaction. Raises NotFound."""
    query = DBBackup.live().where(DBBackup.id == backup_id).with_for_update()
    if not context.is_admin:
        query = query.where(DBBackup.tenant_id == context.project_id)
    row = session.execute(query).scalars().one_or_none()
    return row if row is not None else DBBackup.get(session, backup_id, context)


def page(session, limit, marker, tenant_id=None, instance_id=None, version_ids=None):
    """Return one page of backups, the newest first.

    marker: id of the last backup of the page before, number (int) of backups before the page, or None; tenant_id,
    instance_id: None for all; version_ids: of the datastore versions that are wanted, None for all.
    Raises BadValue for an unknown marker.
    """
    query, values = DBBackup.live(), {}
    if isinstance(marker, int):
        query = query.offset(marker)
    elif marker is not None:
        own = (DBBackup.tenant_id == tenant_id,) if tenant_id is not None else ()
        values = models.find_marker(session, DBBackup, marker, *own)
        query = query.where(models.beyond_marker(DBBackup, newest_first=True))
    if tenant_id is not None:
        query = query.where(DBBackup.tenant_id == tenant_id)
    if instance_id is not None:
        query = query.where(DBBackup.instance_id == instance_id)
    if version_ids is not None:
        query = query.where(DBBackup.datastore_version_id.in_(version_ids))
    index = "backups_of_instance" if instance_id is not None else (
        "backups_of_tenant" if tenant_id is not None else "backups_live")
    order = [column.desc() for column in models.oldest_first(DBBackup)]
    query = models.along(query.order_by(*order).limit(limit), tables.backups, index)
    return session.execute(query, values).scalars().all()


def chain(session, backup):
    """The backups that a restore of ``backup`` (row) needs: the full one first, it itself last. Raises NotFound."""
    found = [backup]
    while found[0].parent_id:
        found.insert(0, DBBackup.get(session, found[0].parent_id))
    return found


def descendants(session, backup):
    """``backup`` (row) and all that have it as an ancestor, locked; children come before their parents."""
    found, generation = [backup], [backup]
    while generation:
        generation = session.execute(DBBackup.live().where(
            DBBackup.parent_id.in_([row.id for row in generation])).order_by(DBBackup.id).with_for_update(),
        ).scalars().all()
        found[:0] = generation
    return found


def newest_completed(session, instance_id):
    """The newest backup of an instance that succeeded, or None."""
    return session.execute(DBBackup.live().where(
        DBBackup.instance_id == instance_id, DBBackup.state == COMPLETED,
    ).order_by(DBBackup.created.desc(), DBBackup.updated.desc(), DBBackup.id).limit(1)).scalars().first()


def keep_key(session, backup_id, key_id):
    """Keep the name of the key that a backup is encrypted with, unless it has one."""
    session.execute(sqlalchemy.update(tables.backups).where(
        tables.backups.c.id == backup_id, tables.backups.c.key_id.is_(None)).values(key_id=key_id))


def move(session, backup_id, state, expected=RUNNING_BACKUP_STATES, **columns):
    """Give a live backup another state and write ``columns``, if it is in one of ``expected``; returns whether."""
    table = tables.backups
    return session.execute(sqlalchemy.update(table).where(
        table.c.id == backup_id, table.c.deleted.is_(False), table.c.state.in_(expected),
    ).values(state=state, updated=models.utcnow(), **columns)).rowcount == 1
