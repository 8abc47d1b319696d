"""What a long-running operation does, as frozen data, and ``advance``, which carries it out step by step.

Called by the runner for an operation that it holds. Nothing here sleeps, knows a thread or knows a resource: a step
that must wait says so, progress is committed after each step, and every commit fails once somebody else holds the
operation. So a process may die anywhere: whoever takes over repeats at most the one step that was not committed.
"""
from collections.abc import Callable
from dataclasses import dataclass

from oslo_log import log as logging

from trove.common import exception, profile, remote
from trove.common.cfg import CONF
from trove.db import get_db_api
from trove.instance.tasks import InstanceTask
from trove.notification import events
from trove.notification import models as notifications
from trove.operation import models
from trove.taskmanager import passing, usage
from trove.taskmanager.work import Again, LeaseLost, Work

LOG = logging.getLogger(__name__)

# Seconds of a step for which its SQL and its requests are part of a trace: a wait of hours would fill the store.
_TRACED = 30
# Characters of an error that are kept. A guest may have said it, and a column TEXT may take no more than 65,535 bytes.
_LONGEST_ERROR = 4000


@dataclass(frozen=True)
class Step:
    """One effect of a flow.

    do: called with the Work; returns None when its effect is there, or Again. It is repeated after a crash, so it
    looks before it acts. deadline: name of the option with the seconds it may take (the datastore's group goes
    before [DEFAULT]). error_task: the task of the instance when it fails. undo: like ``do``, takes back what ``do``
    did, wholly or in part.
    """

    name: str
    do: Callable[[Work], Again | None]
    deadline: str
    error_task: InstanceTask
    undo: Callable[[Work], Again | None] | None = None


@dataclass(frozen=True)
class Flow:
    """The ordered steps of a kind of operation, and what is written, in the transaction that ends it.

    done: called with (session, work) when all steps are done. failed: called with (session, work, step, error,
    message) as soon as a step has failed; returns whether the steps are to be undone. cancelled: called with
    (session, work) when another operation asked it to stop; nothing is undone, the other one cleans up. undone: called
    with (session, work) in the transaction that ends it after the last step was undone. cancellable: False for one that
    must come to its end, or be undone, once it was begun.
    """

    kind: str
    steps: tuple[Step, ...]
    done: Callable
    failed: Callable
    cancelled: Callable = lambda session, work: None
    undone: Callable = lambda session, work: None
    cancellable: bool = True

    def position(self, name, unknown=0):
        """Index of the step ``name``; ``unknown`` for one that only another version has: steps may be repeated."""
        return next((index for index, step in enumerate(self.steps) if step.name == name), unknown)


def advance(flows, operation_id, owner, stopping=lambda: False):
    """Carry out the steps of an operation that ``owner`` holds until one has to wait or the operation has ended.

    flows: kind -> Flow; stopping: asked before each step whether none may be begun any more.
    Returns Again, or None when it has ended. Raises LeaseLost, and what the database raises.
    """
    while True:
        if stopping():
            return Again(0)
        work = _look(operation_id, owner)
        operation = work.operation
        flow = flows[operation.kind]
        if operation.cancel and flow.cancellable:
            return _cancel(flow, work)
        if operation.state == models.PENDING:
            usage.remember(work)
            _enter(work, flow.steps[0], models.RUNNING)
            continue
        outcome = _undo_step(flow, work) if operation.state == models.UNDOING else _do_step(flow, work)
        if isinstance(outcome, Again):
            return outcome
        if outcome in (models.DONE, models.FAILED):
            return None


def _look(operation_id, owner):
    with get_db_api().reader() as session:
        operation = session.get(models.Operation, operation_id)
        now = get_db_api().now(session)
    if (operation is None or operation.owner != owner or operation.state not in models.LIVE_STATES
            or operation.lease_until is None or operation.lease_until < now):
        raise LeaseLost(operation_id)
    work = Work(operation, owner, now)
    work.context.update_store()  # what this thread logs from now on belongs to the request that began the operation
    return work


def _entering(work, step, state):
    """The columns with which ``step`` is entered; the time for it begins now, and so does the count of deaths in it."""
    work.data.update(since=work.now(), claims=work.operation.attempts)
    return {"state": state, "step": step.name, "deadline": work.now() + work.option(step.deadline)}


def _enter(work, step, state):
    with work.writing(**_entering(work, step, state)):
        pass


def _attempt(work, step, function, name):
    """Call ``function`` of a step. Returns None, Again, or the error for which the step has failed.

    name: what is done, for the trace.
    """
    deaths = work.operation.attempts - work.data.get("claims", work.operation.attempts)
    if deaths >= CONF.operation_step_attempts:
        return exception.TroveError(f"{deaths} task managers ended in the middle of step '{step.name}' (option "
                                    "operation_step_attempts).")
    cause = None
    work.context.trace_info = work.trace(name)
    try:
        with profile.joined(work.context.trace_info if work.waited < _TRACED else None):
            outcome = function(work)
    except LeaseLost:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary of all steps
        if not remote.is_passing(error):
            known = isinstance(error, exception.TroveError) or remote.http_status(error) is not None
            LOG.warning("%s: step %s failed: %s", _name(work), step.name, error, exc_info=not known)
            return error
        passing.log(_name(work), work.operation.id, step.name, error)
        outcome, cause = Again(CONF.operation_retry_interval), error
    if outcome is None:
        return None
    _survived(work)
    left = work.operation.deadline - work.now()
    if left > 0:
        return Again(min(outcome.seconds, left))
    timeout = exception.PollTimeOut(what=f"step '{step.name}'", seconds=work.option(step.deadline),
                                    option=step.deadline)
    timeout.__cause__ = cause
    return timeout


def _survived(work):
    """Note that a process lived through a call of the present step: it may wait as long as it likes."""
    if work.data.get("claims") != work.operation.attempts:
        work.note(claims=work.operation.attempts)


def _do_step(flow, work):
    position = flow.position(work.operation.step)
    step = flow.steps[position]
    outcome = _attempt(work, step, step.do, step.name)
    if isinstance(outcome, Again):
        return outcome
    if outcome is not None:
        return _fail(flow, work, step, outcome)
    _keep_history(work, step.name)
    if position + 1 < len(flow.steps):
        _enter(work, flow.steps[position + 1], models.RUNNING)
        return models.RUNNING
    billed = usage.results(work)
    with work.writing(**models.end_values(models.DONE)) as session:
        flow.done(session, work)
        events.ended(session, work.operation)
        for event_type, payload in billed:
            notifications.put(session, event_type, payload)
    work.report_end(models.DONE)
    LOG.info("%s is done after %.1f s", _name(work), work.now() - work.operation.created_at)
    return models.DONE


def _fail(flow, work, step, error):
    message = message_of(error)[:_LONGEST_ERROR]
    if isinstance(error, exception.TroveError):
        work.data["error_code"] = error.code
    LOG.error("%s failed in step %s: %s", _name(work), step.name, message)
    with get_db_api().writer() as session:
        undo = flow.failed(session, work, step, error, message)
        first = _next_undo(flow, flow.position(step.name)) if undo else None
        columns = {"error": message, "error_step": step.name}
        if first is None:
            columns = models.end_values(models.FAILED, **columns)
            if undo:
                flow.undone(session, work)
        else:
            columns.update(_entering(work, first, models.UNDOING))
        work.write(session, **columns)
        events.failed(session, work.operation, message, error)
    work.report_step(step.name, message)
    if first is None:
        work.report_end(models.FAILED)
    return columns["state"]


def _undo_step(flow, work):
    """Undo the present step. One that cannot be undone is noted and left: deleting will find what remains."""
    position = flow.position(work.operation.step, unknown=len(flow.steps) - 1)
    step = flow.steps[position]
    outcome = _attempt(work, step, step.undo, f"undo {step.name}") if step.undo else None
    if isinstance(outcome, Again):
        return outcome
    if outcome is not None:
        LOG.error("%s: step %s could not be undone: %s", _name(work), step.name, message_of(outcome))
        work.data.setdefault("not_undone", []).append({"step": step.name, "message": message_of(outcome)})
    _keep_history(work, f"undo {step.name}")
    following = _next_undo(flow, position - 1)
    if following is not None:
        _enter(work, following, models.UNDOING)
        return models.UNDOING
    error_step = work.operation.error_step
    with work.writing(step=error_step, **models.end_values(models.FAILED, work.operation.error, error_step)) as session:
        flow.undone(session, work)
    work.report_end(models.FAILED)
    LOG.info("%s is undone", _name(work))
    return models.FAILED


def _next_undo(flow, position):
    return next((step for step in reversed(flow.steps[:position + 1]) if step.undo), None)


def _cancel(flow, work):
    operation = work.operation
    error = operation.error or "Cancelled by a later operation."
    with work.writing(**models.end_values(models.FAILED, error, operation.error_step or operation.step)) as session:
        flow.cancelled(session, work)
        if operation.state != models.UNDOING:  # else its failure was told
            events.failed(session, operation, error)
    work.report_end(models.FAILED)
    LOG.info("%s is cancelled before step %s", _name(work), operation.step)


def _keep_history(work, name):
    seconds = round(work.waited, 3)
    work.data.setdefault("history", []).append({"step": name, "seconds": seconds})
    work.report_step(name)
    LOG.info("%s: step %s done after %.2f s", _name(work), name, seconds)


def message_of(error):
    """Return the text of an error that the user sees."""
    if isinstance(error, exception.PollTimeOut) and error.__cause__ is not None:
        return f"{error} Last error: {passing.describe(error.__cause__, where=False)}"
    if isinstance(error, exception.TroveError):
        return str(error)
    if remote.http_status(error) is not None:
        return f"The cloud refused it: {error}"
    return f"An unexpected error occurred ({type(error).__name__}); the log of the task manager says more."


def _name(work):
    operation = work.operation
    return f"{operation.kind} of {operation.resource_id} (operation {operation.id})"
