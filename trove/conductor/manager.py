"""The RPC methods by which guests report. Each checks the sender; ``trove.conductor.models`` writes the rows.

A message that is forged, late, doubled or wrong is dropped, and is a security event: nobody waits for an answer. The
instance that it names may be its victim; who sent it is known where the intake of messages puts the sender's account at
the broker into the context, as ``broker_account``.
"""
import inspect
import time

from oslo_log import log as logging
from sqlalchemy import exc

from trove import rpc
from trove.common import crypto, envelope, origin, profile, security
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.common.instance import ServiceStatuses
from trove.conductor import models
from trove.conductor import spans as conductor_spans
from trove.db import get_db_api, guest_secrets, in_transaction, keys

LOG = logging.getLogger(__name__)

# Seconds by which a clock can be wrong.
_LONGEST_DIFFERENCE = 10 ** 10
# Characters of a guest's error text, and of an id.
_LONGEST_ID = 36
# How often a report is tried that the database refuses although it answers.
_ATTEMPTS = 5


def _report(account, event, method, instance_id, reason):
    security.report(event, f"dropped {security.printable(method, 64)}: {reason}", instance_id=instance_id,
                    account=account)


def _refused(context, event, method, instance_id, reason):
    """Report that a message was dropped; the arguments may be anything."""
    _report(getattr(context, "broker_account", None), event, method, instance_id, reason)


def _is_genuine(context, method, sent, proof, args):
    """Return whether the guest of ``args["instance_id"]`` sent the message; report a security event if not."""
    return _check(method, args, sent, proof, getattr(context, "broker_account", None))


def _check(method, args, sent, proof, account, known=()):
    """Return as ``_is_genuine`` does. known: as for ``Manager.is_genuine``.

    While operation_key has several keys, only the one counts that the guest's key is made from, if that was kept. The
    database is asked last: forged messages cost it nothing.
    """
    instance_id, generation = args["instance_id"], envelope.generation_of(proof)
    if not isinstance(instance_id, str) or not instance_id.isprintable() or not 0 < len(instance_id) <= _LONGEST_ID:
        _report(account, "message.malformed", method, instance_id, "instance_id is not the id of an instance")
        return False
    try:
        made_from = _key_of_proof(crypto.guest_keys(instance_id, generation), method, args, sent, proof)
        own = crypto.guest_keys(instance_id, generation, keys.of_guest(instance_id, generation))
        if made_from not in dict(own) or not _is_valid(instance_id, generation, known):
            raise envelope.BadProof("its key was replaced by a newer one, or was not given out yet",
                                    "message.forged")
    except envelope.BadProof as error:
        _report(account, error.event, method, instance_id, error)
        return False
    return True


def _key_of_proof(candidates, method, args, sent, proof):
    """Return which of the candidates [(name, key)] made the proof: its name. Raises BadProof."""
    for name, key in candidates[:-1]:
        try:
            envelope.verify(key, method, args, sent, proof)
            return name
        except envelope.BadProof as error:
            if error.event != "message.forged":
                raise
    envelope.verify(candidates[-1][1], method, args, sent, proof)
    return candidates[-1][0]


def _is_valid(instance_id, generation, known):
    """Return whether a guest may use the key of that generation. The first use of a new key ends the old one."""
    if instance_id in known:
        current, pending = known[instance_id]
    else:
        with get_db_api().reader() as session:
            current, pending = guest_secrets.generations(session, instance_id)
    if generation == pending and _end_old_key(instance_id, generation):
        if instance_id in known:
            known[instance_id] = (generation, None)
        LOG.info("instance %s: its guest has its new secrets, generation %d", instance_id, generation)
    return generation in (current, pending)


@in_transaction
def _end_old_key(session, instance_id, generation):
    return guest_secrets.heard(session, instance_id, generation)


def _join_request(context, instance_id):
    """Log from here on under the id of the request that the guest's report belongs to.

    Return its Origin, or None when the report belongs to no request.
    """
    known = origin.unseal(instance_id, context.origin)
    if known is not None:
        context.request_id, context.trace_info = known.request_id, known.trace
        context.update_store()
    return known


def _apply(context, method, instance_id, slot, sent, what, effect):
    """Run ``effect(session)`` for a live instance if the report is the newest of its slot, all in one transaction.

    what: the report in words, for the log.
    """
    if _join_request(context, instance_id):
        LOG.info("instance %s: its guest reports %s", instance_id, what)
    with profile.joined(context.trace_info), profile.span("conductor", method=method, instance=instance_id):
        in_transaction(_write)(method, instance_id, slot, sent, effect)


def _write(session, method, instance_id, slot, sent, effect):
    if not models.is_live(session, instance_id):
        LOG.info("Dropped %s for instance %s: it does not exist (any more)", method, instance_id)
    elif not models.is_newer(session, instance_id, slot, sent):
        LOG.debug("Dropped %s for instance %s: one sent later has been here", method, instance_id)
    else:
        effect(session)


def _write_heartbeat(session, beat):
    _write(session, models.HEARTBEAT, beat.instance_id, models.HEARTBEAT, beat.sent,
           lambda session_: models.record_heartbeat(session_, beat))


def _read_heartbeat(account, instance_id, payload, sent):
    """Return the models.Heartbeat in a genuine report; None for a wrong one, which is a security event."""
    try:
        status, version = _read_payload(payload)
        given = payload or {}
        return models.Heartbeat(
            instance_id, sent, status, version, models.replication_health(given.get("replication")),
            models.checked_facts(given.get("facts")), round(_clock_difference(payload, sent)), given.get("cause"),
            models.checked_archive(given.get("facts")))
    except ValueError as error:
        _report(account, "message.malformed", models.HEARTBEAT, instance_id, error)
        return None


def _context_of(report):
    """Return the context in which this process works on a report."""
    context = TroveContext(origin=report.origin, overwrite=False)
    context.broker_account = report.account
    context.update_store()  # what this thread logs from now on belongs to this report
    return context


def _takes(method, args):
    """Return whether a report has the arguments that its method needs, and no others."""
    try:
        inspect.signature(method).bind(None, None, **args)
    except TypeError:
        return False
    return True


def _may_be_tried_again(error):
    """Return whether an error may come from a database that does not answer, rather than from a report."""
    return isinstance(error, (exc.OperationalError, exc.InterfaceError, exc.TimeoutError))


class Manager:
    """The RPC methods that guests call. ``sent``: seconds by the guest's clock; ``proof``: see envelope."""

    def all_guests(self):
        """Return the ids of all instances whose guests may report."""
        with get_db_api().reader() as session:
            return models.all_guests(session)

    def new_guests(self):
        """Return the ids of the instances that are being built."""
        with get_db_api().reader() as session:
            return models.new_guests(session)

    def is_genuine(self, report, known=()):
        """Return whether the guest that a Report names sent it; report a security event if not.

        known: generations of guests' secrets that were read already, {id: (in use, being given out or None)}.
        """
        args = {name: value for name, value in report.args.items() if name not in ("sent", "proof")}
        if report.claimed is None:
            _report(report.account, "message.malformed", report.method, None, "it names no instance")
            return False
        return _check(report.method, args, report.args.get("sent"), report.args.get("proof"), report.account,
                      known)

    def take(self, reports):
        """Work on reports (Reports of ``trove.conductor.intake``) and mark those that are done, in the end all.

        The heartbeats among them, which most reports are, are written in one transaction. Raises an error of
        SQLAlchemy while the database does not answer: then the same reports are to be given again.
        """
        # A heartbeat that answers a command is joined to its request. Others of the same guest wait for it: a later one
        # that was written first would make it an old one.
        answering = {report.claimed for report in reports if report.method == "heartbeat" and report.origin is not None}
        beats = [report for report in reports if not report.done and report.method == "heartbeat"
                 and report.claimed not in answering]
        if len(beats) > 1:
            self._take_heartbeats(beats)
        for report in reports:
            if not report.done:
                self._take_one(report)

    def _take_heartbeats(self, reports):
        """Write heartbeats at once. If that fails they are not marked, and ``take`` does them one by one."""
        TroveContext(overwrite=False).update_store()  # nothing that is logged here belongs to a request
        writes, senders = [], {report.queue_of for report in reports if report.queue_of}
        with get_db_api().reader() as session:
            known = guest_secrets.generations_of(session, senders)
        for report in reports:
            beat = None
            if self.is_genuine(report, known):
                beat = _read_heartbeat(report.account, report.claimed, report.args.get("payload"),
                                       report.args["sent"])
            if beat is None:
                report.done = True
            else:
                writes.append((report, beat))
        # In the order of their ids: two conductors with the same guests wait for each other, and not in a ring.
        writes.sort(key=lambda pair: pair[0].claimed)

        @in_transaction
        def transaction(session):
            for beats in models.rounds(beat for _report, beat in writes):
                for beat in models.record_heartbeats(session, beats):
                    _write_heartbeat(session, beat)
                    session.flush()  # the next may be of the same guest
        try:
            transaction()
        except Exception as error:  # noqa: BLE001
            # A boundary: the database may refuse one of them. ``take`` then writes each by itself.
            LOG.warning("%d heartbeats could not be written at once: %s", len(writes), error)
            return
        for report, _beat in writes:
            report.done = True

    def _take_one(self, report):
        report.attempts += 1
        method = getattr(type(self), report.method, None)
        try:
            if not self.is_genuine(report):
                pass
            elif not getattr(method, "exposed", False):
                _report(report.account, "message.malformed", report.method, report.claimed, "there is no such report")
            elif not _takes(method, report.args):
                _report(report.account, "message.malformed", report.method, report.claimed,
                        "its arguments are not those of the report")
            else:
                method(self, _context_of(report), **report.args)
        except Exception as error:
            # A boundary: no report of a guest may stop the next one.
            if _may_be_tried_again(error):
                in_transaction(models.ask)()
                if report.attempts < _ATTEMPTS:
                    raise
            LOG.exception("Dropped %s of instance %s: it cannot be worked on", security.printable(report.method),
                          security.printable(report.claimed))
        report.done = True

    @rpc.expose
    def heartbeat(self, context, instance_id, payload=None, sent=None, proof=None):
        """A sign of life. payload: {"service_status": text, "agent_version": text}, both may be missing; with a failure
        "cause": text for the user; of a replica "replication": {"running", "lag", "error"}; "facts": see
        ``models.checked_facts``; "seconds_behind": by which
        its clock is behind, if commands came to it from the future.
        """
        if not _is_genuine(context, "heartbeat", sent, proof, {"instance_id": instance_id, "payload": payload}):
            return
        beat = _read_heartbeat(getattr(context, "broker_account", None), instance_id, payload, sent)
        if beat:
            _apply(context, models.HEARTBEAT, instance_id, models.HEARTBEAT, sent,
                   f"that its database is {beat.status.description if beat.status else 'as before'}",
                   lambda session: models.record_heartbeat(session, beat))

    @rpc.expose
    def report_spans(self, context, instance_id, spans, sent=None, proof=None):
        """Parts of the trace that the command of a guest belongs to; spans: as its agent keeps them."""
        if not _is_genuine(context, "report_spans", sent, proof, {"instance_id": instance_id, "spans": spans}):
            return
        if not _join_request(context, instance_id) or not context.trace_info:
            _refused(context, "message.replayed", "report_spans", instance_id,
                     "it was given no trace, or the time for that is over")
            return
        try:
            parts = conductor_spans.check(spans)
        except ValueError as error:
            _refused(context, "message.malformed", "report_spans", instance_id, error)
            return
        if not conductor_spans.admits(instance_id, context.trace_info, len(parts)):
            _refused(context, "message.flood", "report_spans", instance_id, "its trace has too many parts already")
            return
        if not in_transaction(models.is_first)(instance_id, proof, sent):
            _refused(context, "message.replayed", "report_spans", instance_id, "it came before")
            return
        conductor_spans.store(instance_id, context.trace_info, parts)

    @rpc.expose
    def report_root(self, context, instance_id, user=None, sent=None, proof=None):
        """Root was enabled. user: who asked for it."""
        if _is_genuine(context, "report_root", sent, proof, {"instance_id": instance_id, "user": user}):
            user = None if user is None else security.printable(user)[:255]
            _apply(context, "report_root", instance_id, "report_root", sent, "that root is enabled",
                   lambda session: models.record_root(session, instance_id, user, sent))

    @rpc.expose
    def update_backup(self, context, instance_id, backup_id, sent=None, proof=None, **fields):
        """Record news of a backup: state, size (GB), segments, uploaded (bytes), checksum; note: why it failed.

        Other fields are ignored. The task manager compares the numbers with the object store.
        """
        if not _is_genuine(context, "update_backup", sent, proof,
                           {**fields, "instance_id": instance_id, "backup_id": backup_id}):
            return
        note = fields.get("note")
        try:
            fields = models.backup_fields(backup_id, fields)
        except ValueError as error:
            _refused(context, "message.malformed", "update_backup", instance_id, error)
            return
        foreign = []

        def effect(session):
            if not models.record_backup(session, instance_id, backup_id, fields):
                models.forget_slot(session, instance_id, backup_id)  # a guest can make up any number of ids
                foreign[:] = [models.is_backup_of_another(session, instance_id, backup_id)]
                LOG.error("Dropped update_backup from instance %s: it is not taking the backup %s (any more)",
                          instance_id, backup_id)
            elif fields.get("state") == "FAILED":
                models.record_backup_cause(session, backup_id, note)
        # A slot for each backup: the last word on one must not be dropped because the next has begun.
        _apply(context, "update_backup", instance_id, backup_id, sent,
               f"that its backup is {fields.get('state', 'as before')}", effect)
        if any(foreign):
            _refused(context, "message.forged", "update_backup", instance_id,
                     f"the backup {backup_id} is one of another instance")


def _clock_difference(payload, sent):
    """Seconds by which the guest's clock is surely ahead, or negative behind, so that it refuses commands; else 0.

    A report from the past may have waited for a conductor: that its clock is behind only the guest can tell.
    """
    behind = (payload or {}).get("seconds_behind")
    if isinstance(behind, int) and not isinstance(behind, bool) and 0 < behind < _LONGEST_DIFFERENCE:
        return -behind
    ahead = 0 if sent is None else sent - time.time()
    return ahead if ahead > CONF.bus_command_validity else 0


def _read_payload(payload):
    """(ServiceStatus or None, agent version or None) of a heartbeat. Raises ValueError saying what is wrong."""
    if payload is not None and not isinstance(payload, dict):
        raise ValueError(f"its payload is {type(payload).__name__}, not a dict")
    text, version = (payload or {}).get("service_status"), (payload or {}).get("agent_version")
    version = None if version is None else security.printable(version)[:255]
    if text is None:
        return None, version
    try:
        status = ServiceStatuses.from_description(text)
    except (KeyError, TypeError):
        raise ValueError(f"there is no service status {text!r}") from None
    if status in models.NOT_FOR_GUESTS:
        raise ValueError(f"the service status {text!r} is not a guest's to report")
    return status, version
