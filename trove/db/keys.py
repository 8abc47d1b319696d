"""Which of the deployment's keys the rows belong to, and moving them to the newest one (trove-manage rekey).

Rows name a key of [DEFAULT] operation_key or backup_encryption_key as ``crypto.key_id`` does; NULL stands for the
oldest key of the option. SQL over the tables of several resources, so it belongs to none of them.
"""
import dataclasses
import json

import sqlalchemy
from cryptography import fernet

from trove.common import crypto
from trove.common.cfg import CONF
from trove.db import get_db_api, guest_secrets, in_transaction
from trove.db.sqlalchemy import tables

# Rows in one transaction; the contents of a module may have 16 MB.
BATCH = 20
_BUS_PASSWORD = "bus_password"  # noqa: S105 - the name of a note in operations.step_data
# Backups in these states may yet get the name of a key from their operation.
_RUNNING = ("NEW", "BUILDING", "SAVING")
# The names of backups that are encrypted with a key made from backup_encryption_key end with this.
_ENCRYPTED = ".gcm"


def of_guest(instance_id, generation=0):
    """Return the name of the operation_key that the secrets of a guest are made from; None when it is not kept.

    generation: of the secrets; 0 stands for the password of a replica too. Asks the database only if there is more than
    one key.
    """
    if len(CONF.operation_key) < 2:
        return None
    with get_db_api().reader() as session:
        return guest_secrets.made_from(session, instance_id, generation)


def guest_key(instance_id, generation=0):
    """Return the key with which commands to the guest of an instance are signed, of a generation of its secrets."""
    return crypto.guest_key(instance_id, generation, of_guest(instance_id, generation))


@dataclasses.dataclass
class Progress:
    """Counts of a run of rekey for one kind of secrets. changed: encrypted anew; failed: no key opened them."""

    changed: int = 0
    failed: int = 0


def _in_notes(text):
    notes = json.loads(text)
    token = crypto.reencrypt(notes[_BUS_PASSWORD]) if _BUS_PASSWORD in notes else None
    return token and json.dumps({**notes, _BUS_PASSWORD: token})


# The encrypted columns: name in messages -> (table, column, function that returns the new value, or None to keep it).
SECRETS = {
    "secrets of operations": (tables.operations, "secrets", crypto.reencrypt),
    "passwords in notes of operations": (tables.operations, "step_data", _in_notes),
    "contents of modules": (tables.modules, "contents", crypto.reencrypt),
}


@in_transaction
def _rekey_batch(session, table, column, renew, after):
    """Encrypt one batch anew. Return (last id or None at the end, Progress)."""
    value, progress = table.c[column], Progress()
    # A deleted module has empty contents.
    query = sqlalchemy.select(table.c.id, value).where(table.c.id > after, value.is_not(None), value != "")
    if renew is _in_notes:
        query = query.where(value.like(f"%{_BUS_PASSWORD}%"))
    rows = session.execute(query.order_by(table.c.id).limit(BATCH).with_for_update()).all()
    for row_id, old in rows:
        try:
            new = renew(old)
        except (fernet.InvalidToken, ValueError):
            progress.failed += 1
            continue
        if new is not None:
            session.execute(sqlalchemy.update(table).where(table.c.id == row_id).values({column: new}))
            progress.changed += 1
    return (rows[-1][0] if rows else None), progress


def rekey():
    """Encrypt every stored secret with the first operation_key. May be cut off and repeated: what is done stays done.

    Returns {name of SECRETS: Progress}.
    """
    done = {}
    for name, (table, column, renew) in SECRETS.items():
        total, after = Progress(), ""
        while after is not None:
            after, part = _rekey_batch(table, column, renew, after)
            total.changed += part.changed
            total.failed += part.failed
        done[name] = total
    return done


@in_transaction
def _name_batch(session, table, column, name, *where):
    ids = session.execute(sqlalchemy.select(table.c.id).where(table.c[column].is_(None), *where).limit(200)
                          ).scalars().all()
    session.execute(sqlalchemy.update(table).where(table.c.id.in_(ids), table.c[column].is_(None)).values(
        {column: name}))
    return len(ids)


def name_oldest():
    """Write the name of the oldest key into the rows that name none, so that it stays true when a key is removed."""
    instances, backups = tables.instances, tables.backups
    while _name_batch(instances, "guest_key_id", crypto.operation_key_ids()[-1], instances.c.deleted.is_(False)):
        pass
    if CONF.backup_encryption_key:
        while _name_batch(backups, "key_id", crypto.backup_key_ids()[-1], backups.c.deleted.is_(False),
                          backups.c.state.not_in(_RUNNING), backups.c.location.like(f"%{_ENCRYPTED}")):
            pass


def uses():
    """Count the live rows that need a key: ({name of an operation_key: instances}, {name of a backup key: backups}).

    An instance needs the keys of the secrets that its guest has and is being given, and a replica that of its password.
    """
    instances, backups, secrets = tables.instances, tables.backups, tables.guest_secrets
    replaced = secrets.c.generation > 0
    live = sqlalchemy.select(instances.c.id).select_from(instances.outerjoin(
        secrets, secrets.c.instance_id == instances.c.id)).where(instances.c.deleted.is_(False))
    needed = sqlalchemy.union(  # which drops what comes twice
        live.add_columns(sqlalchemy.case((replaced, secrets.c.key_id), else_=instances.c.guest_key_id).label("name")),
        live.add_columns(secrets.c.pending_key_id).where(secrets.c.pending.is_not(None)),
        live.add_columns(instances.c.guest_key_id).where(instances.c.slave_of_id.is_not(None))).subquery()
    count = sqlalchemy.func.count()
    with get_db_api().reader() as session:
        return tuple(dict(map(tuple, session.execute(query).all())) for query in (
            sqlalchemy.select(needed.c.name, count).group_by(needed.c.name),
            sqlalchemy.select(backups.c.key_id, count).where(backups.c.deleted.is_(False)).group_by(backups.c.key_id)))
