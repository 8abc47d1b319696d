"""Rows of operations and the atomic moves between their states.

The API inserts (``begin``) in the transaction that reserves and writes the resource; a task manager claims,
advances and ends. Every move is one conditional UPDATE, so that a process that lost its lease cannot write any
more. All times are seconds since the epoch by the database's clock.
"""
import json
from typing import NamedTuple

import sqlalchemy
from cryptography import fernet
from sqlalchemy import exc

from trove.common import crypto, exception
from trove.db import get_db_api, models
from trove.db.sqlalchemy import tables
from trove.notification import events

PENDING, RUNNING, UNDOING, DONE, FAILED = "pending", "running", "undoing", "done", "failed"
LIVE_STATES = (PENDING, RUNNING, UNDOING)
# Kinds that nobody asked for: they must not stand where a user looks for what was asked for.
_CARE = ("guest.rotate",)
# Characters of encrypted secrets that the column takes in any database.
_LONGEST_SECRETS = 65535

_table = tables.operations


@models.registry.mapped
class Operation(models.Row):
    """One long-running operation.

    kind: ``<resource>.<verb>``; arguments: dict given at the start; step: name of the step to be done next;
    data: dict that steps write (ids of what they made), with ``history`` [{"step", "seconds"}].
    """

    __table__ = tables.operations
    label = "operation"

    @property
    def args(self):
        """The arguments without secrets."""
        return json.loads(self.arguments)

    @property
    def data(self):
        """The notes of the steps, a dict."""
        return json.loads(self.step_data)

    @property
    def request(self):
        """The durable part of the context of the request that began the operation."""
        return json.loads(self.context)

    def load_secrets(self):
        """The secret arguments in clear text.

        Raises TroveError when they cannot be decrypted with [DEFAULT] operation_key.
        """
        if not self.secrets:
            return {}
        try:
            return json.loads(crypto.decrypt(self.secrets))
        except fernet.InvalidToken as error:
            raise exception.TroveError(
                "The secrets of the operation cannot be read: operation_key does not have the key that the API "
                "used.") from error


def begin(session, kind, resource_type, resource_id, context, arguments=None, secrets=None, lock=None):
    """Insert a pending operation within the caller's transaction.

    arguments: JSON-able dict; secrets: JSON-able dict, stored encrypted and wiped at the end; lock: what no other
    live operation may hold, by default the resource.
    Returns the Operation. Raises UnprocessableEntity when a live operation holds the lock, OverLimit when the secrets
    are too long to be kept.
    """
    sealed = crypto.encrypt(json.dumps(secrets)) if secrets else None
    if sealed and len(sealed) > _LONGEST_SECRETS:
        raise exception.OverLimit("The users or databases of the request are too many to be kept until they are made. "
                                  "Make fewer at once; those of a new instance can be made when it is there.")
    now, key = get_db_api().clock(session), lock or f"{resource_type}:{resource_id}"
    operation = Operation(
        id=models.new_id(), kind=kind, resource_type=resource_type, resource_id=resource_id,
        lock_key=key, tenant_id=context.project_id,
        arguments=json.dumps(arguments or {}), secrets=sealed,
        context=json.dumps(context.to_durable_dict()), state=PENDING, step_data="{}", cancel=False, run_after=now,
        attempts=0, created_at=now, updated_at=now)
    session.flush()  # an error of what was added before is not this one's
    session.add(operation)
    try:
        session.flush()
    except exc.IntegrityError:  # and nothing of this transaction is written
        held, held_id = key.split(":")[:2]  # what is busy may be another resource: the instance of a backup
        raise exception.UnprocessableEntity(f"Another operation on the {held} {held_id} has not ended yet.") from None
    events.begun(session, operation)
    return operation


def live_for(session, resource_type, resource_id):
    """The live operations of a resource, oldest first."""
    return session.execute(sqlalchemy.select(Operation).where(
        Operation.resource_type == resource_type, Operation.resource_id == resource_id,
        Operation.state.in_(LIVE_STATES)).order_by(Operation.created_at)).scalars().all()


def live_ids(session, resource_type, resource_id, kinds, limit):
    """The ids of at most ``limit`` live operations of some kinds on a resource, oldest first."""
    return session.execute(sqlalchemy.select(_table.c.id).where(
        _table.c.resource_type == resource_type, _table.c.resource_id == resource_id,
        _table.c.kind.in_(list(kinds)), _table.c.state.in_(LIVE_STATES),
    ).order_by(_table.c.created_at, _table.c.id).limit(limit)).scalars().all()


class Outcome(NamedTuple):
    """How an operation ended. state: DONE or FAILED; error: text for the user; code: HTTP status that goes with it,
    None for no fault of the request; cancelled: whether it was told to stop.
    """

    id: str
    state: str
    error: str | None
    code: int | None
    cancelled: bool


def outcomes(session, operation_ids):
    """The Outcome of each of some operations that has ended."""
    columns = _table.c
    rows = session.execute(sqlalchemy.select(
        columns.id, columns.state, columns.error, columns.step_data, columns.cancel,
    ).where(columns.id.in_(list(operation_ids)), columns.state.in_((DONE, FAILED)))).all()
    return [Outcome(row.id, row.state, row.error, json.loads(row.step_data).get("error_code"), row.cancel)
            for row in rows]


def holder_of(session, lock):
    """Return the live operation that holds a lock (see ``begin``), or None."""
    return session.execute(sqlalchemy.select(Operation).where(Operation.lock_key == lock)).scalars().first()


def live_of(session, kinds):
    """The live operations of some kinds."""
    return session.execute(sqlalchemy.select(Operation).where(
        Operation.kind.in_(kinds), Operation.state.in_(LIVE_STATES))).scalars().all()


class Current(NamedTuple):
    """What is shown of the newest operation of a resource; see Operation."""

    kind: str
    state: str
    step: str | None
    created_at: float
    error: str | None


def newest_id(resource_type, resource_id):
    """The id of the newest operation of a resource, live or ended, as part of another statement.

    resource_type: text; resource_id: text or column. The deployment's care of guests does not count.
    """
    operation = tables.operations.alias()
    return sqlalchemy.select(operation.c.id).where(
        operation.c.resource_type == resource_type, operation.c.resource_id == resource_id,
        operation.c.kind.not_in(_CARE)).order_by(
        operation.c.created_at.desc()).limit(sqlalchemy.literal_column("1")).scalar_subquery()


def newest_for(session, resource_type, resource_id):
    """The newest operation of a resource, or None; see ``newest_id``."""
    return session.execute(sqlalchemy.select(Operation).where(
        Operation.id == newest_id(resource_type, resource_id))).scalars().first()


def load(session, operation_id, resource=None):
    """Return the operation with that id, live or ended.

    resource: (type, id) of the resource it must be on, None for any. Raises NotFound.
    """
    found = session.get(Operation, operation_id)
    if found is None or resource not in (None, (found.resource_type, found.resource_id)):
        raise exception.NotFound(resource=Operation.label, id=operation_id)
    return found


def load_page(session, limit, marker=None, resource=None, states=None):
    """Return one page of operations, the newest first: (list of Operation, marker of the next page or None).

    limit: rows of a page; marker: id of the last operation of the page before; resource: (type, id) of the resource
    they are on, None for all; states: those they are in, None for any. Raises BadValue for a marker that is unknown or
    an operation on another resource.
    """
    query = sqlalchemy.select(Operation).order_by(Operation.created_at.desc(), Operation.id.desc()).limit(limit + 1)
    if resource is not None:
        query = query.where(Operation.resource_type == resource[0], Operation.resource_id == resource[1])
    if states is not None:
        query = query.where(Operation.state.in_(states))
    if marker is not None:
        last = session.get(Operation, marker)
        if last is None or resource not in (None, (last.resource_type, last.resource_id)):
            raise exception.BadValue(field="marker", reason="there is no operation with this id.")
        query = query.where(sqlalchemy.or_(Operation.created_at < last.created_at, sqlalchemy.and_(
            Operation.created_at == last.created_at, Operation.id < last.id)))
    found = session.execute(query).scalars().all()
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def request_cancel(session, resource_type, resource_id, keep=None):
    """Ask every live operation of a resource, but the one with id ``keep``, to stop before its next step."""
    session.execute(sqlalchemy.update(_table).where(
        _table.c.resource_type == resource_type, _table.c.resource_id == resource_id,
        _table.c.state.in_(LIVE_STATES), _table.c.id != (keep or "")).values(cancel=True))


def claimable(session, now, limit, kinds=None):
    """Ids of live operations that are due and that nobody holds, oldest first; of ``kinds`` only, if given."""
    return session.execute(sqlalchemy.select(_table.c.id).where(
        _table.c.state.in_(LIVE_STATES), _table.c.run_after <= now,
        _table.c.kind.in_(kinds) if kinds is not None else sqlalchemy.true(),
        sqlalchemy.or_(_table.c.lease_until.is_(None), _table.c.lease_until < now),
    ).order_by(_table.c.created_at).limit(limit)).scalars().all()


def claim(session, operation_id, owner, lease):
    """Take an operation that nobody holds for ``lease`` seconds. Returns it, or None if somebody was faster."""
    now = get_db_api().now(session)
    taken = session.execute(sqlalchemy.update(_table).where(
        _table.c.id == operation_id, _table.c.state.in_(LIVE_STATES),
        sqlalchemy.or_(_table.c.lease_until.is_(None), _table.c.lease_until < now),
    ).values(owner=owner, lease_until=now + lease, attempts=_table.c.attempts + 1, updated_at=now))
    if taken.rowcount != 1:
        return None
    return session.get(Operation, operation_id, populate_existing=True)


def update_held(session, operation_id, owner, **values):
    """Write ``values`` if ``owner`` still holds the operation; returns whether it does.

    Renewing the lease, advancing a step, changing the state and ending all go through here.
    """
    values["updated_at"] = get_db_api().now(session)
    written = session.execute(sqlalchemy.update(_table).where(
        _table.c.id == operation_id, _table.c.owner == owner, _table.c.state.in_(LIVE_STATES),
    ).values(**values))
    return written.rowcount == 1


def renew(session, operation_ids, owner, lease):
    """Hold those of the operations that are still ``owner``'s for ``lease`` seconds from now."""
    session.execute(sqlalchemy.update(_table).where(
        _table.c.id.in_(operation_ids), _table.c.owner == owner, _table.c.state.in_(LIVE_STATES),
    ).values(lease_until=get_db_api().now(session) + lease))


def release(session, operation_ids, owner):
    """Let others take operations of ``owner`` at once."""
    session.execute(sqlalchemy.update(_table).where(
        _table.c.id.in_(operation_ids), _table.c.owner == owner, _table.c.state.in_(LIVE_STATES),
    ).values(lease_until=None))


def cancelled_of(session, owner):
    """Ids of the live operations of ``owner`` that have been asked to stop."""
    return session.execute(sqlalchemy.select(_table.c.id).where(
        _table.c.owner == owner, _table.c.state.in_(LIVE_STATES), _table.c.cancel.is_(True))).scalars().all()


def purge(session, before, limit):
    """Delete at most ``limit`` operations that ended before ``before``. Returns how many."""
    ids = session.execute(sqlalchemy.select(_table.c.id).where(
        _table.c.state.in_((DONE, FAILED)), _table.c.updated_at < before).limit(limit)).scalars().all()
    session.execute(sqlalchemy.delete(_table).where(_table.c.id.in_(ids)))
    return len(ids)


def end_values(state, error=None, error_step=None):
    """The column values that end an operation: the lock, the lease and the secrets go."""
    return {"state": state, "error": error, "error_step": error_step, "lock_key": None, "lease_until": None,
            "secrets": None}
