"""Rows of security events: those of the same name, claimed instance and account share a row for some minutes.

Times are seconds since the epoch by the database's clock.
"""
import dataclasses

import sqlalchemy

from trove.db import get_db_api
from trove.db.sqlalchemy import tables
from trove.notification import models as notifications

# Seconds after its first event during which a row takes further events of the same kind.
WINDOW = 300.0
# The largest number that the column holds on every engine.
_MOST = 2 ** 31 - 1

_table = tables.security_events


@dataclasses.dataclass
class Batch:
    """Events of one key that a process has collected. age_first, age_last: seconds ago; reason: of the last one."""

    name: str
    instance_id: str | None
    account: str | None
    reason: str
    count: int
    age_first: float
    age_last: float


def record(session, batches):
    """Write ``batches`` (list of Batch). Each new row also sends the operator a notification, if those are enabled."""
    now = get_db_api().now(session)
    for batch in batches:
        key = {"name": batch.name, "instance_id": batch.instance_id or "", "account": batch.account or ""}
        last = now - batch.age_last
        row = session.execute(sqlalchemy.select(_table.c.id, _table.c.count, _table.c.last_seen).where(
            *(_table.c[column] == value for column, value in key.items()), _table.c.first_seen > now - WINDOW,
        ).order_by(_table.c.id.desc()).limit(1).with_for_update()).first()
        if row is not None:
            session.execute(sqlalchemy.update(_table).where(_table.c.id == row.id).values(
                count=min(row.count + batch.count, _MOST), last_seen=max(row.last_seen, last), reason=batch.reason))
            continue
        session.execute(_table.insert().values(**key, reason=batch.reason, count=min(batch.count, _MOST),
                                               first_seen=now - batch.age_first, last_seen=last))
        if notifications.enabled():
            notifications.put(session, f"trove.security.{batch.name}", {
                "name": batch.name, "reason": batch.reason, "instance_id": batch.instance_id,
                "account": batch.account, "count": batch.count})


def newest(session, seconds, limit):
    """Return at most ``limit`` rows with an event in the last ``seconds``, the newest first, as dicts:
    {"name", "reason", "instance_id", "account", "count", "first", "last"}.
    """
    rows = session.execute(sqlalchemy.select(_table).where(
        _table.c.last_seen > get_db_api().now(session) - seconds).order_by(
        _table.c.last_seen.desc(), _table.c.id.desc()).limit(limit))
    return [{"name": row.name, "reason": row.reason, "instance_id": row.instance_id or None,
             "account": row.account or None, "count": row.count, "first": row.first_seen, "last": row.last_seen}
            for row in rows]


def purge(session, before, most, limit):
    """Delete at most ``limit`` rows, the oldest first: those whose last event was before ``before``, and those beyond
    the number ``most``. Return how many.
    """
    surplus = session.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(_table)).scalar() - most
    ids = session.execute(sqlalchemy.select(_table.c.id).where(_table.c.last_seen < before).order_by(
        _table.c.last_seen).limit(limit)).scalars().all()
    if not ids and surplus > 0:
        ids = session.execute(sqlalchemy.select(_table.c.id).order_by(_table.c.last_seen).limit(
            min(limit, surplus))).scalars().all()
    session.execute(sqlalchemy.delete(_table).where(_table.c.id.in_(ids)))
    return len(ids)
