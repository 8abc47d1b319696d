"""Rows that say which secrets a guest has. A guest without a row has those that it was made with: generation 0.

A generation is the number of a set of secrets: the guest's key, its broker account and its certificate. A new one is
given out beside the one in use (``pending``); the first message that the guest signs with it ends the old one
(``heard``). Broker accounts are removed afterwards, by the operation or by the next one.
"""
import sqlalchemy
from sqlalchemy import exc

from trove.common import crypto
from trove.db.sqlalchemy import tables

_table, _instances = tables.guest_secrets, tables.instances


def generations(session, instance_id):
    """Return (generation in use, generation that is being given out or None)."""
    row = _row(session, instance_id)
    return (row.generation, row.pending) if row else (0, None)


def made_from(session, instance_id, generation):
    """Return the name of the operation_key that a generation of a guest's secrets is made from; None if not kept."""
    row = _row(session, instance_id) if generation else None
    if row is not None and generation == row.pending:
        return row.pending_key_id
    if row is not None and generation == row.generation:
        return row.key_id
    return session.execute(sqlalchemy.select(_instances.c.guest_key_id).where(_instances.c.id == instance_id)).scalar()


def generations_of(session, instance_ids):
    """Return {id of an instance: what ``generations`` returns for it}."""
    found = session.execute(sqlalchemy.select(_table).where(_table.c.instance_id.in_(list(instance_ids))))
    return {**dict.fromkeys(instance_ids, (0, None)),
            **{row.instance_id: (row.generation, row.pending) for row in found}}


def accounts(session, instance_id):
    """Return the generations whose broker accounts may exist: (those in use or given out, older ones)."""
    row = _row(session, instance_id)
    if row is None:
        return [0], []
    return ([row.generation] + ([row.pending] if row.pending else []), list(range(row.oldest_account, row.generation)))


def renew(session, instance_id):
    """Return the generation to give out now: the one that is given out already, or else a new one."""
    _ensure(session, instance_id)
    session.execute(sqlalchemy.update(_table).where(
        _table.c.instance_id == instance_id, _table.c.pending.is_(None),
    ).values(pending=_table.c.generation + 1, pending_key_id=crypto.operation_key_ids()[0]))
    return _row(session, instance_id).pending


def heard(session, instance_id, generation):
    """Put a generation that was given out into use; returns whether it was the pending one."""
    return session.execute(sqlalchemy.update(_table).where(
        _table.c.instance_id == instance_id, _table.c.pending == generation,
    ).values(generation=generation, pending=None, key_id=_table.c.pending_key_id)).rowcount == 1


def forget_accounts(session, instance_id, before):
    """Note that no broker account of a generation lower than ``before`` is left."""
    session.execute(sqlalchemy.update(_table).where(
        _table.c.instance_id == instance_id, _table.c.oldest_account < before).values(oldest_account=before))


def record_certificate(session, instance_id, until):
    """Note when the certificate that the guest uses ends: seconds since the epoch, None for no certificate."""
    _ensure(session, instance_id)
    session.execute(sqlalchemy.update(_table).where(
        _table.c.instance_id == instance_id).values(certificate_until=until))


def record_attempt(session, instance_id, now):
    """Note that a rotation is begun at ``now`` (seconds since the epoch)."""
    _ensure(session, instance_id)
    session.execute(sqlalchemy.update(_table).where(_table.c.instance_id == instance_id).values(tried_at=now))


def due(session, ends_before, tried_before, limit):
    """Return [(instance id, whether its certificate must be replaced)]: those tried longest ago first.

    Besides certificates that end before ``ends_before`` it finds rotations that did not come to their end. Guests of
    which the last attempt was made after ``tried_before`` are left out. Times are seconds since the epoch.
    """
    columns = _table.c
    ends = sqlalchemy.and_(columns.certificate_until.is_not(None), columns.certificate_until < ends_before)
    tried = sqlalchemy.func.coalesce(columns.tried_at, 0)
    found = session.execute(sqlalchemy.select(columns.instance_id, columns.certificate_until).join(
        _instances, _instances.c.id == columns.instance_id).where(
        _instances.c.deleted.is_(False), tried < tried_before,
        sqlalchemy.or_(ends, columns.pending.is_not(None), columns.oldest_account < columns.generation),
    ).order_by(tried, columns.instance_id).limit(limit))
    return [(row.instance_id, row.certificate_until is not None and row.certificate_until < ends_before)
            for row in found]


def forget(session, instance_id):
    """Remove the row of an instance that is deleted."""
    session.execute(sqlalchemy.delete(_table).where(_table.c.instance_id == instance_id))


def _row(session, instance_id):
    return session.execute(sqlalchemy.select(_table).where(_table.c.instance_id == instance_id)).first()


def _ensure(session, instance_id):
    if _row(session, instance_id) is None:
        try:
            with session.begin_nested():
                session.execute(_table.insert().values(instance_id=instance_id, generation=0, oldest_account=0))
        except exc.IntegrityError:
            return  # another process was faster
