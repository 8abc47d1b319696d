"""Write the reports of guests into the rows. Only the conductor's manager calls this.

The rules, for N conductors at work on messages that come late, twice or in another order:
- A report counts once: a state if it was sent after the newest one of its kind that counted, an event if it did not
  come before; the row in conductor_lastseen is
  moved on in the same transaction as the effect, and its lock puts the conductors in line.
- Nothing is ever written for an instance that is deleted or unknown.
- A guest speaks of its database only. What the control plane alone can know (NEW, PAUSED, DELETED, FAILED_TIMEOUT)
  it cannot report.
- It cannot overwrite DELETED; nor FAILED_TIMEOUT while the instance's task is the error that the build ended with:
  an instance that was given up does not come to life by itself (an administrator may reset its task). Every other
  status gives way to the next report, PAUSED too: that is how a reboot ends.
- A guest never completes a backup: that is said when the control plane has checked the objects. What it reports of
  one that it has uploaded counts once; a backup that is being checked, or has ended, is never changed by a guest.
"""
import collections
import dataclasses
import datetime
import json
import re
import time

import sqlalchemy
from oslo_log import log as logging
from sqlalchemy import exc

from trove.common import security
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatuses
from trove.db import models
from trove.db.sqlalchemy import tables
from trove.instance import health
from trove.instance.models import (
    RUNNING_BACKUP_STATES,
    AgentHeartBeat,
    InstanceServiceStatus,
    record_fault,
    record_root_enabled,
)
from trove.instance.tasks import InstanceTasks
from trove.operation.models import LIVE_STATES

LOG = logging.getLogger(__name__)

NOT_FOR_GUESTS = (ServiceStatuses.NEW, ServiceStatuses.PAUSED, ServiceStatuses.DELETED,
                  ServiceStatuses.FAILED_TIMEOUT_GUESTAGENT)
_ERROR_TASKS = [task.code for task in InstanceTasks.all() if task.is_error]
# The state of a backup that a guest may report -> the state that is written.
_BACKUP_STATES = {**{state: state for state in (*RUNNING_BACKUP_STATES, "FAILED")}, "COMPLETED": "SAVING"}
# The states in which a guest may change a backup.
_OPEN_BACKUP_STATES = [state for state in RUNNING_BACKUP_STATES if state != "SAVING"]
_CHECKSUM = re.compile(r"[0-9a-f]{32}")
_BACKUP_ID = re.compile(r"[0-9a-f-]{36}")
_MOST_PIECES = 10 ** 8
# Bounds of the numbers that a guest reports of a backup.
_MOST_SEGMENTS, _MOST_BYTES, _MOST_GB = 10000, 2 ** 53, 2 ** 20
# Seconds. A clock further ahead than this is not believed for the order of later reports: when it is set right, the
# guest would else be unheard until the time that it once had.
_CLOCK_ALLOWANCE = 5.0
# The step of faults that guests tell.
_GUEST = "guest"
# Begins the slots of reports that count once.
_ONCE = "once:"
# Characters of a text for users that is kept.
_LONGEST_CAUSE = 1000

# The name of the report that is sent again and again, and of its slot.
HEARTBEAT = "heartbeat"
# Status codes that do not simply give way to the next report.
_FIXED = (ServiceStatuses.DELETED.code, ServiceStatuses.FAILED_TIMEOUT_GUESTAGENT.code)

_instances, _statuses, _lastseen = tables.instances, tables.service_statuses, tables.conductor_lastseen
_archives = tables.archives
_heartbeats, _backups, _operations = tables.agent_heartbeats, tables.backups, tables.operations
_faults = tables.instance_faults


@dataclasses.dataclass(frozen=True)
class Heartbeat:
    """A genuine heartbeat. sent: seconds since the epoch by the guest's clock, or None; status: ServiceStatus or None;
    version: of the agent, or None; replication: of ``replication_health``; facts: of ``checked_facts``; clock: seconds
    by which the guest's clock is ahead, negative behind, 0 when it is right; cause: of a failure, any value; archive:
    of ``checked_archive``.
    """

    instance_id: str
    sent: float | None
    status: object = None
    version: str | None = None
    replication: dict | None = None
    facts: dict = dataclasses.field(default_factory=dict)
    clock: int = 0
    cause: object = None
    archive: dict | None = None


def all_guests(session):
    """Return the ids of all instances that are not deleted."""
    return session.execute(sqlalchemy.select(_instances.c.id).where(_instances.c.deleted.is_(False))).scalars().all()


def new_guests(session):
    """Return the ids of the instances that are being built."""
    return session.execute(sqlalchemy.select(_operations.c.resource_id).where(
        _operations.c.kind == "instance.create", _operations.c.state.in_(LIVE_STATES))).scalars().all()


def ask(session):
    """Do nothing in the database, or raise an error of SQLAlchemy when it does not answer."""
    session.execute(sqlalchemy.select(1))


def is_live(session, instance_id):
    """Return whether an instance with that id exists and is not deleted."""
    return session.execute(sqlalchemy.select(_instances.c.id).where(
        _instances.c.id == instance_id, _instances.c.deleted.is_(False))).first() is not None


def _insert_unless_there(session, statement):
    """Run an INSERT that another conductor may run at the same time. Return whether this process inserted the row."""
    try:
        with session.begin_nested():
            session.execute(statement)
    except exc.IntegrityError:
        return False
    return True


def is_newer(session, instance_id, slot, sent, now=None):
    """Return whether a report of an instance is the newest of its slot, and remember its time if so.

    slot: name of the RPC method, or the id of a backup; sent: seconds since the epoch by the guest's clock, None
    is always the newest; now: seconds since the epoch by this host's clock, None means the present.
    """
    if sent is None:
        return True
    remembered = _remembered(sent, now)
    key = {"instance_id": instance_id, "method_name": slot}
    move = sqlalchemy.update(_lastseen).where(
        _lastseen.c.instance_id == instance_id, _lastseen.c.method_name == slot, _lastseen.c.sent < sent,
    ).values(sent=remembered)
    return (session.execute(move).rowcount == 1
            or _insert_unless_there(session, _lastseen.insert().values(**key, sent=remembered))
            or session.execute(move).rowcount == 1)


def _remembered(sent, now=None):
    return min(sent, (time.time() if now is None else now) + _CLOCK_ALLOWANCE)


def forget_slot(session, instance_id, slot):
    """Keep no time of the newest report of a slot, because it had no effect. slot: as for ``is_newer``."""
    session.execute(sqlalchemy.delete(_lastseen).where(
        _lastseen.c.instance_id == instance_id, _lastseen.c.method_name == slot))


def is_first(session, instance_id, key, sent, now=None):
    """Return whether a report that counts once arrives for the first time, and remember it.

    key: text with at least 31 random characters that are the same in a replay; sent, now: as for ``is_newer``.
    """
    # A report that is this old is refused anyway.
    oldest = (time.time() if now is None else now) - CONF.message_max_age
    session.execute(sqlalchemy.delete(_lastseen).where(
        _lastseen.c.instance_id == instance_id, _lastseen.c.method_name.startswith(_ONCE), _lastseen.c.sent < oldest))
    return _insert_unless_there(session, _lastseen.insert().values(
        instance_id=instance_id, method_name=(_ONCE + key)[:_lastseen.c.method_name.type.length], sent=sent))


def record_sign_of_life(session, instance_id, version=None):
    """Record the time at which the agent reported, and its version (text) if it reported one."""
    moment = models.utcnow()
    values = {"updated_at": moment, **({"guest_agent_version": version} if version else {})}
    written = session.execute(sqlalchemy.update(_heartbeats).where(
        _heartbeats.c.instance_id == instance_id).values(**values, deleted=False, deleted_at=None))
    if written.rowcount == 0:
        session.add(AgentHeartBeat(instance_id=instance_id, **values))
        session.flush()  # what else the report says is written into the same row


def record_heartbeat(session, beat):
    """Write one Heartbeat, which is the newest one of a live instance."""
    if not record_status(session, beat.instance_id, beat.status) and beat.status is not None:
        LOG.info("Instance %s reports %s; the status that it was given stays", beat.instance_id,
                 beat.status.description)
    record_sign_of_life(session, beat.instance_id, beat.version)
    before = session.execute(sqlalchemy.select(_heartbeats.c.replication, _heartbeats.c.facts).where(
        _heartbeats.c.instance_id == beat.instance_id)).one()
    after = _notes(beat, before)
    if after != tuple(before):
        session.execute(sqlalchemy.update(_heartbeats).where(
            _heartbeats.c.instance_id == beat.instance_id).values(replication=after[0], facts=after[1]))
    record_archives(session, [beat])
    if beat.status == ServiceStatuses.FAILED:
        record_cause(session, beat.instance_id, beat.cause)


def record_archives(session, beats):
    """Write what Heartbeats say of the archives of logs that these guests fill; neither number ever goes back.

    A guest that has given its archive up ends it.
    """
    # A guest may name the archive of another one, which hears its own guest alone.
    told = {(beat.archive["id"], beat.instance_id): beat for beat in beats if beat.archive is not None}
    if not told:
        return
    now, changed = time.time(), []
    for row in session.execute(sqlalchemy.select(_archives).where(
            _archives.c.id.in_({archive_id for archive_id, _guest in told}), _archives.c.ended.is_(False),
    ).order_by(_archives.c.id).with_for_update()).all():
        beat = told.get((row.id, row.instance_id))
        if beat is None:
            continue
        # No time that has not been yet can be covered; the numbers of an unfinished report do not fit together.
        pieces, covers = beat.archive["pieces"], min(beat.archive["covers"], now)
        if row.pieces > pieces or (row.covers is not None and row.covers >= covers):
            pieces, covers = row.pieces, row.covers
        ended = beat.facts.get("archive") in health.ARCHIVE_ENDED
        if ended or (pieces, covers) != (row.pieces, row.covers):
            changed.append({"id": row.id, "instance_id": row.instance_id, "pieces": pieces, "covers": covers,
                            "ended": ended})
    if changed:
        models.upsert(session, _archives, changed)


def rounds(beats):
    """Return lists of the Heartbeats in their order, with at most one of each guest in a list."""
    found, counts = [], collections.Counter()
    for beat in beats:
        number = counts[beat.instance_id]
        counts[beat.instance_id] += 1
        if number == len(found):
            found.append([])
        found[number].append(beat)
    return found


def record_heartbeats(session, beats):
    """Write Heartbeats of different guests with the same few statements for all of them, by the rules of ``is_newer``.

    Returns those that must be written one by one instead: of guests that report for the first time, that are not live,
    or whose status does not simply give way to the next report, and failures.
    """
    given = {beat.instance_id: beat for beat in beats if beat.sent is not None}
    # Locked in the order of the ids: two conductors wait for each other, and not in a ring.
    seen = dict(session.execute(sqlalchemy.select(_lastseen.c.instance_id, _lastseen.c.sent).where(
        _lastseen.c.instance_id.in_(list(given)), _lastseen.c.method_name == HEARTBEAT,
    ).order_by(_lastseen.c.instance_id).with_for_update()).all())
    rows = {row.instance_id: row for row in session.execute(sqlalchemy.select(
        _heartbeats, _statuses.c.status_id,
    ).join(_instances, _instances.c.id == _heartbeats.c.instance_id).join(
        _statuses, _statuses.c.instance_id == _heartbeats.c.instance_id).where(
        _heartbeats.c.instance_id.in_(list(seen)), _instances.c.deleted.is_(False)))}
    known = {id_: row for id_, row in rows.items()
             if row.status_id not in _FIXED and given[id_].status != ServiceStatuses.FAILED}
    newer = {id_: row for id_, row in known.items() if seen[id_] < given[id_].sent}
    if newer:
        _write_heartbeats(session, [(given[id_], newer[id_]) for id_ in sorted(newer)])
    for id_ in known.keys() - newer.keys():
        LOG.debug("Dropped heartbeat for instance %s: one sent later has been here", id_)
    return [beat for beat in beats if beat.instance_id not in known]


def _write_heartbeats(session, pairs):
    """Write Heartbeats. pairs: [(Heartbeat, row of agent_heartbeats as it is)], in the order of their ids."""
    moment, statuses, beating, changed = models.utcnow(), {}, [], []
    models.upsert(session, _lastseen, [{
        "instance_id": beat.instance_id, "method_name": HEARTBEAT, "sent": _remembered(beat.sent)}
        for beat, _row in pairs])
    for beat, row in pairs:
        statuses.setdefault(beat.status, []).append(beat.instance_id)
        columns = {"guest_agent_version": beat.version or row.guest_agent_version, "deleted": False,
                   "deleted_at": None,
                   **dict(zip(("replication", "facts"), _notes(beat, (row.replication, row.facts)), strict=True))}
        if all(row._mapping[name] == value for name, value in columns.items()):
            beating.append(beat.instance_id)
        else:
            changed.append({"id": row.id, "instance_id": beat.instance_id, "updated_at": moment, **columns})
    record_archives(session, [beat for beat, _row in pairs])
    for status, ids in statuses.items():
        values = {} if status is None else {"status_id": status.code, "status_description": status.description}
        session.execute(sqlalchemy.update(_statuses).where(
            _statuses.c.instance_id.in_(ids), _statuses.c.status_id.not_in(_FIXED)).values(
            updated_at=moment, **values))
    if beating:
        session.execute(sqlalchemy.update(_heartbeats).where(
            _heartbeats.c.instance_id.in_(beating)).values(updated_at=moment))
    if changed:
        models.upsert(session, _heartbeats, changed)


def _notes(beat, before):
    """Return what is to be kept of a Heartbeat, and log changes: texts (replication, facts), None for none.

    before: what was kept before, likewise.
    """
    replication = before[0] if beat.replication is None else _replication_text(
        beat.instance_id, beat.replication, before[0])
    return replication, facts_text(beat.instance_id, beat.facts, before[1], beat.replication, beat.clock)


def _replication_text(instance_id, health, before):
    """Return as JSON what the guest of a replica says of its replication, and log changes.

    health: of ``replication_health``; before: what was kept before, as JSON, or None.
    """
    text = json.dumps(health)
    if text == before:
        return text
    was = json.loads(before) if before else {}
    if not health["running"] and (was.get("running", True) or was.get("error") != health["error"]):
        LOG.warning("Instance %s: its replication has stopped: %s", instance_id, health["error"] or "no cause given")
    elif health["running"] and not was.get("running", True):
        LOG.info("Instance %s: its replication goes on, %s s behind its source", instance_id, health["lag"])
    return text


def facts_text(instance_id, news, before_text, replication=None, clock=0, now=None):
    """Return as JSON the facts to keep of a guest, None for none, and log when a problem begins or ends.

    news: dict of ``checked_facts``; before_text: what was kept before; replication: of a replica; clock: seconds by
    which its clock is ahead, negative behind, 0 when it is right; now: seconds since the epoch.
    """
    if not (before_text or news or replication or clock):
        return None
    before = json.loads(before_text) if before_text else {}
    facts = health.merged(before, news, replication, clock, time.time() if now is None else now)
    text = json.dumps(facts, sort_keys=True)
    if text == before_text:
        return text
    for kind, sentence in health.problems(facts).items():
        if kind not in before.get("since", {}):
            LOG.warning("Instance %s: %s", instance_id, sentence)
    for kind in before.get("since", {}):
        if kind not in facts["since"] and kind != "replication":
            LOG.info("Instance %s: its problem with '%s' is over", instance_id, kind)
    if facts.get("repairs", 0) > before.get("repairs", 0):
        LOG.warning("Instance %s: accounts of Trove in its database were damaged and repaired, %d times since its "
                    "agent was started", instance_id, facts["repairs"])
    return text


def checked_facts(given):
    """Return the facts of a guest's report as ``instance.health`` takes them; other names are left out.

    given: {"access": bool, "repairs": number, "binary_log": word, "follows": bool, "volume_full": bool, "saves": bool,
    "used": GB, "archive": {"state": word, and what ``checked_archive`` reads}}, each may be missing; None for none.
    Raises ValueError naming what is wrong.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ValueError("facts must be an object")
    facts = {}
    for name in ("access", "follows", "saves", "volume_full"):
        if name in given:
            if not isinstance(given[name], bool):
                raise ValueError(f"facts.{name} must be true or false")
            facts[name] = given[name]
    if "repairs" in given:
        repairs = given["repairs"]
        if isinstance(repairs, bool) or not isinstance(repairs, int) or not 0 <= repairs < 2 ** 31:
            raise ValueError("facts.repairs must be a whole number from 0 to 2147483647")
        facts["repairs"] = repairs
    if "used" in given:
        used = given["used"]
        if isinstance(used, bool) or not isinstance(used, (int, float)) or not 0 <= used <= _MOST_GB:
            raise ValueError(f"facts.used must be a number of GB from 0 to {_MOST_GB}")
        facts["used"] = used
    if "binary_log" in given:
        if given["binary_log"] not in health.BINARY_LOG:
            raise ValueError(f"facts.binary_log must be one of {', '.join(health.BINARY_LOG)}")
        facts["binary_log"] = given["binary_log"]
    if "archive" in given:
        state = given["archive"].get("state") if isinstance(given["archive"], dict) else None
        if state not in health.ARCHIVE:
            raise ValueError(f"facts.archive must be an object whose state is one of {', '.join(health.ARCHIVE)}")
        facts["archive"] = state
    return facts


def checked_archive(given):
    """Return what the facts of a guest's report say of its archive of logs: {"id", "pieces", "covers": seconds since
    the epoch}; None for none. given: facts that ``checked_facts`` has accepted. Raises ValueError naming what is wrong.
    """
    told = (given or {}).get("archive")
    if told is None:
        return None
    archive_id, pieces, covers = told.get("id"), told.get("pieces"), told.get("covers")
    if not isinstance(archive_id, str) or not _BACKUP_ID.fullmatch(archive_id):
        raise ValueError("facts.archive.id must be a UUID")
    if isinstance(pieces, bool) or not isinstance(pieces, int) or not 0 <= pieces <= _MOST_PIECES:
        raise ValueError(f"facts.archive.pieces must be a whole number from 0 to {_MOST_PIECES}")
    if isinstance(covers, bool) or not isinstance(covers, (int, float)) or not 0 <= covers < 2 ** 33:
        raise ValueError("facts.archive.covers must be a time in seconds since the epoch")
    return {"id": archive_id, "pieces": pieces, "covers": covers}


def replication_health(given):
    """{"running", "lag" (seconds or None), "error" (text or None)} out of a guest's report, None for none.

    Raises ValueError saying what is wrong.
    """
    if given is None:
        return None
    if not isinstance(given, dict) or not isinstance(given.get("running"), bool):
        raise ValueError("replication must be an object that says whether it is running")
    lag, error = given.get("lag"), given.get("error")
    if lag is not None and (isinstance(lag, bool) or not isinstance(lag, int) or not 0 <= lag < 2 ** 31):
        raise ValueError("replication.lag must be a number of seconds")
    if error is not None and not isinstance(error, str):
        raise ValueError("replication.error must be a text")
    return {"running": given["running"], "lag": lag, "error": error and _cause(error)}


def record_status(session, instance_id, status=None):
    """Write what the guest says of its database; None, or what the rules keep out, only renews ``updated_at``.

    Returns whether ``status`` was written.
    """
    moment = models.utcnow()
    row = sqlalchemy.update(_statuses).where(
        _statuses.c.instance_id == instance_id, _statuses.c.status_id != ServiceStatuses.DELETED.code)
    if status is not None:
        given_up = sqlalchemy.exists().where(
            _instances.c.id == instance_id, _instances.c.task_id.in_(_ERROR_TASKS))
        written = session.execute(row.where(~sqlalchemy.and_(
            _statuses.c.status_id == ServiceStatuses.FAILED_TIMEOUT_GUESTAGENT.code, given_up,
        )).values(status_id=status.code, status_description=status.description, updated_at=moment))
        if written.rowcount:
            return True
    if session.execute(row.values(updated_at=moment)).rowcount or status is None:
        return False
    if session.execute(sqlalchemy.select(_statuses.c.id).where(_statuses.c.instance_id == instance_id)).first():
        return False
    session.add(InstanceServiceStatus(instance_id=instance_id, status=status))
    return True


def record_root(session, instance_id, user, sent):
    """Note that root was enabled at ``sent`` (seconds since the epoch); what was disabled later stays so."""
    # Stored times have no fractions.
    moment = None if sent is None else datetime.datetime.fromtimestamp(int(sent), datetime.UTC).replace(tzinfo=None)
    record_root_enabled(session, instance_id, user, moment)


def record_backup(session, instance_id, backup_id, fields):
    """Write ``fields`` into the backup if the instance is still uploading it. Return whether that is so."""
    return session.execute(sqlalchemy.update(_backups).where(
        _backups.c.id == backup_id, _backups.c.instance_id == instance_id, _backups.c.deleted.is_(False),
        _backups.c.state.in_(_OPEN_BACKUP_STATES),
    ).values(**fields, updated=models.utcnow())).rowcount == 1


def is_backup_of_another(session, instance_id, backup_id):
    """Return whether the backup exists and belongs to another instance."""
    owner = session.execute(sqlalchemy.select(_backups.c.instance_id).where(_backups.c.id == backup_id)).first()
    return owner is not None and owner.instance_id != instance_id


def _cause(text):
    """Return a cause with control characters escaped: a terminal obeys them, and some databases store no NUL."""
    return security.printable(text, _LONGEST_CAUSE)


def record_backup_cause(session, backup_id, cause):
    """Leave why a backup failed for the operation that waits for it."""
    if isinstance(cause, str) and cause:
        session.execute(sqlalchemy.update(tables.operations).where(
            tables.operations.c.resource_type == "backup", tables.operations.c.resource_id == backup_id,
            tables.operations.c.state.in_(LIVE_STATES)).values(error=_cause(cause)))


def record_cause(session, instance_id, cause):
    """Leave why a guest could not be built for the operation that waits for it, and for the user."""
    if isinstance(cause, str) and cause:
        _record_guest_fault(session, instance_id, _cause(cause))


def _record_guest_fault(session, instance_id, text):
    """Keep a fault that a guest told. It replaces the one before, as a guest may tell any number of them."""
    session.execute(sqlalchemy.delete(_faults).where(
        _faults.c.instance_id == instance_id, _faults.c.details == _GUEST))
    record_fault(session, instance_id, text, _GUEST)


def backup_fields(backup_id, given):
    """Return the columns that a guest may write, taken from its message; unknown names are left out.

    Names and places of objects are not among them: the control plane computes them. Raises ValueError naming a field
    with an impossible value.
    """
    if not isinstance(backup_id, str) or not _BACKUP_ID.fullmatch(backup_id):
        raise ValueError("backup_id must be a UUID")
    fields = {}
    checksum = given.get("checksum")
    if checksum is not None:
        if not isinstance(checksum, str) or not _CHECKSUM.fullmatch(checksum):
            raise ValueError("checksum must be an MD5 in hexadecimal, 32 small letters and digits")
        fields["checksum"] = checksum
    for name, low, high in (("segments", 1, _MOST_SEGMENTS), ("uploaded", 0, _MOST_BYTES)):
        number = given.get(name)
        if number is not None:
            if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
                raise ValueError(f"{name} must be a whole number from {low} to {high}")
            fields[name] = number
    size = given.get("size")
    if size is not None:
        if isinstance(size, bool) or not isinstance(size, (int, float)) or not 0 <= size <= _MOST_GB:
            raise ValueError(f"size must be a number of GB from 0 to {_MOST_GB}")
        fields["size"] = size
    state = given.get("state")
    if state is not None:
        if not isinstance(state, str) or state not in _BACKUP_STATES:
            raise ValueError(f"state must be one of {', '.join(_BACKUP_STATES)}")
        fields["state"] = _BACKUP_STATES[state]
    return fields
