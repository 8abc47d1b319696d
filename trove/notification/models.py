"""The outbox: notifications are written in the transaction of what they tell of, and sent later by a task manager.

So nothing that is committed goes untold and nothing untrue is told, whichever process dies. What was sent but not yet
removed when a task manager died is sent again: at least once.
"""
import json

import sqlalchemy
from sqlalchemy import exc

from trove.common.cfg import CONF
from trove.db import get_db_api
from trove.db.sqlalchemy import tables
from trove.notification import bus

_table, _runs = tables.notifications, tables.notification_runs
# Seconds for which one task manager alone sends what it took.
LEASE = 60


def enabled():
    """Whether anybody wants notifications; if not, none is written."""
    return bool(bus.drivers())


def put(session, event_type, payload):
    """Tell ``payload`` (JSON-able dict) as ``event_type`` when the caller's transaction is committed."""
    put_all(session, [(event_type, payload)])


def put_all(session, events):
    """The same for any number of (event type, payload), in their order."""
    now = get_db_api().now(session)
    rows = [{"event_type": event_type, "publisher": CONF.host, "payload": json.dumps(payload), "created_at": now}
            for event_type, payload in events]
    if rows:
        session.execute(_table.insert(), rows)


def waits(session):
    """Whether any notification waits to be sent."""
    return session.execute(sqlalchemy.select(_table.c.id).limit(1)).first() is not None


def take(session, limit):
    """Take the oldest notifications, if nobody else is sending: [(id, event type, publisher, payload)]."""
    now = get_db_api().now(session)
    rows = session.execute(sqlalchemy.select(_table).order_by(_table.c.id).limit(limit).with_for_update()).all()
    # One at a time, or an end might be sent before its start. Any row tells: the oldest of those that another has taken
    # need not be the oldest any more, as ids are given before a transaction is committed.
    if any((row.lease_until or 0) > now for row in rows):
        return []
    if rows:
        session.execute(sqlalchemy.update(_table).where(_table.c.id.in_([row.id for row in rows])).values(
            lease_until=now + LEASE))
    return [(row.id, row.event_type, row.publisher, json.loads(row.payload)) for row in rows]


def remove(session, ids):
    """Forget notifications that were sent."""
    session.execute(sqlalchemy.delete(_table).where(_table.c.id.in_(ids)))


def give_back(session, ids):
    """Let notifications that could not be sent be taken again."""
    session.execute(sqlalchemy.update(_table).where(_table.c.id.in_(ids)).values(lease_until=None))


def last_run(session, name):
    """When periodic notifications were last made (seconds since the epoch by the database's clock), or None."""
    return session.execute(sqlalchemy.select(_runs.c.last_run).where(_runs.c.name == name)).scalar()


def claim_run(session, name, before, now):
    """Note a run of periodic notifications; returns whether it is this process's, which then makes them.

    before: what ``last_run`` said; now: the present time. Of several task managers one wins.
    """
    if before is None:
        try:
            with session.begin_nested():
                session.execute(_runs.insert().values(name=name, last_run=now))
        except exc.IntegrityError:
            return False
        return True
    return session.execute(sqlalchemy.update(_runs).where(
        _runs.c.name == name, _runs.c.last_run == before).values(last_run=now)).rowcount == 1
