"""Answers that wait for the end of the operations which a request has begun, for a short and bounded time.

Clients look at once for what they have asked for. A request that waits holds a thread of the API, so only some may wait
in a process, and only some of one tenant; the others are answered at once, as are all when the time is over.
"""
import collections
import contextlib
import threading
import time

from oslo_log import log as logging

from trove.common import exception, remote, wsgi
from trove.common.cfg import CONF
from trove.db import get_db_api
from trove.operation import models

LOG = logging.getLogger(__name__)

ID_HEADER, STATE_HEADER = "X-Operation-Id", "X-Operation-State"
# Ids in a header: a group may be attached to many instances.
MOST_IDS = 20
# Seconds between two looks at the operations; each pause is twice the one before.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.03, 0.5

_lock = threading.Lock()
_waiting = collections.Counter()  # tenant -> its requests that wait in this process; no entry for none


@contextlib.contextmanager
def _place(tenant):
    """Whether one more request of the tenant may wait."""
    with _lock:
        granted = (_waiting.total() < CONF.answer_waiters
                   and _waiting[tenant] < CONF.answer_waiters_per_tenant)
        if granted:
            _waiting[tenant] += 1
    try:
        yield granted
    finally:
        with _lock:
            _waiting[tenant] -= granted
            if not _waiting[tenant]:
                del _waiting[tenant]


def _wait(context, ids):
    """Wait for the end of operations. Returns ([models.Outcome] of those that ended)."""
    left, ended = set(ids), []
    deadline, pause = time.monotonic() + CONF.answer_wait, _FIRST_PAUSE
    with _place(context.project_id) as granted:
        while left and granted and (rest := deadline - time.monotonic()) > 0:
            time.sleep(min(pause, rest))
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                with get_db_api().reader() as session:
                    found = models.outcomes(session, left)
            except Exception as error:
                if not remote.is_passing(error):
                    raise
                # What was begun goes on, whatever this look meets.
                LOG.warning("Cannot look how far operations are: %s", error)
                continue
            ended += found
            left -= {outcome.id for outcome in found}
    return ended


def when_done(req, begun, status=202, replaceable=False):
    """Return the empty answer to a request, at the end of the operations that it began or answer_wait seconds later.

    req: wsgi.Request; begun: [(instance id, operation id)]; status: of the answer; replaceable: whether a later
    request may have stopped such an operation because its own does the same. The headers say which operations there
    are, and whether they go on. Raises an error with the code and the message with which one of them has failed.
    """
    if not begun:
        return wsgi.Result(None, status)
    instances = {operation_id: instance_id for instance_id, operation_id in begun}
    ended = {outcome.id: outcome for outcome in _wait(req.context, instances)}
    replaced = {outcome.id for outcome in ended.values() if replaceable and outcome.cancelled
                and outcome.state == models.FAILED}
    for outcome in ended.values():
        if outcome.state == models.FAILED and outcome.id not in replaced:
            raise _failure(instances[outcome.id], outcome)
    going_on = [operation_id for operation_id in instances if operation_id not in ended.keys() - replaced]
    headers = {STATE_HEADER: "running" if going_on else "done",
               ID_HEADER: ", ".join((going_on or list(instances))[:MOST_IDS])}
    if len(going_on) == 1:
        headers["Location"] = (f"{req.host_url}/v1.0/{req.context.project_id}/instances/{instances[going_on[0]]}"
                               f"/operations/{going_on[0]}")
    return wsgi.Result(None, status, headers)


def _failure(instance_id, outcome):
    message = f"{outcome.error.rstrip('.')} (instance {instance_id}, operation {outcome.id})."
    if outcome.cancelled:
        return exception.Conflict(message)
    if outcome.code is None or outcome.code >= 500:
        return exception.ServiceUnavailable(message)
    return exception.Refused(message, outcome.code)
