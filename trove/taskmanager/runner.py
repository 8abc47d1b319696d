"""The threads of one task manager process that claim operations and carry them out.

A bounded pool does the work; an operation that waits holds no thread, only its lease and a place in a heap of due
times. Beside the pool one thread renews the leases, also while a step blocks, and one sweeps the database for
operations that nobody works on: a message on the bus is only a wake-up. What an operation does is ``flow``'s.
"""
import heapq
import os
import threading
import time
import uuid

from oslo_log import log as logging

from trove.common import remote
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.db import get_db_api
from trove.db.sqlalchemy.session import retry_lost_races
from trove.operation import models
from trove.taskmanager import flow, passing

LOG = logging.getLogger(__name__)

# Operations fetched by one sweep, and ended ones deleted in one transaction.
BATCH = 200


class Periodic:
    """A thread that calls a function every so many seconds; an error is logged and the next call is made all the same.

    interval: function that returns the seconds.
    """

    def __init__(self, name, function, interval):
        self._function = function
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self):
        """Begin; the first call is made at once."""
        self._thread.start()

    def stop(self, timeout):
        """Make no further call and wait at most ``timeout`` seconds for one that is being made."""
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self):
        while not self._stopping.is_set():
            try:
                self._function()
            except Exception as error:  # noqa: BLE001 - the boundary of a periodic task
                if remote.is_passing(error):
                    LOG.warning("The periodic task %s is tried again in %s s: %s", self._thread.name,
                                self._interval(), passing.describe(error))
                else:
                    LOG.exception("The periodic task %s failed", self._thread.name)
            self._stopping.wait(self._interval())


class Runner:
    """Carries out the operations whose kinds are in ``flows`` (kind -> Flow)."""

    def __init__(self, flows):
        self._flows = flows
        self.owner = f"{CONF.host}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._changed = threading.Condition()
        self._due = {}  # operation id -> when to look at it next, by the monotonic clock
        self._heap = []  # (when, operation id); an entry counts while _due says the same
        self._busy = set()
        self._held = set()
        self._stopping = False
        self._workers = [threading.Thread(target=self._work, name=f"operations-{number}", daemon=True)
                         for number in range(CONF.taskmanager_threads)]
        self._periodic = [Periodic("leases", self.renew, lambda: CONF.operation_lease / 3),
                          Periodic("sweep", self.sweep, lambda: CONF.operation_sweep_interval)]

    def start(self):
        """Start the threads."""
        LOG.info("The task manager %s works on up to %d operations at once", self.owner, len(self._workers))
        for thread in (*self._workers, *self._periodic):
            thread.start()

    def stop(self):
        """Begin no further step, wait at most operation_drain_timeout for those under way, let others take over."""
        end = time.monotonic() + CONF.operation_drain_timeout
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._workers:
            thread.join(max(0.0, end - time.monotonic()))
        for periodic in self._periodic:
            periodic.stop(max(0.0, end - time.monotonic()))
        with self._changed:
            idle = self._held - self._busy
        with get_db_api().writer() as session:
            models.release(session, idle, self.owner)
        LOG.info("The task manager %s has stopped; it left %d operations to others", self.owner, len(self._held))

    def wake(self, operation_id):
        """Look at an operation as soon as a thread is free, unless one is at it already."""
        self._schedule(operation_id, time.monotonic())

    def sweep(self):
        """Find operations that nobody works on, and own ones that wait although they have been asked to stop."""
        with get_db_api().reader() as session:
            now = get_db_api().now(session)
            found = models.claimable(session, now, BATCH, kinds=list(self._flows))
            found.extend(models.cancelled_of(session, self.owner))
        for operation_id in found:
            self.wake(operation_id)

    @retry_lost_races
    def renew(self):
        """Renew the lease of all that this process holds."""
        with self._changed:
            held = list(self._held)
        if held:
            with get_db_api().writer() as session:
                models.renew(session, held, self.owner, CONF.operation_lease)

    def _schedule(self, operation_id, when):
        with self._changed:
            if operation_id in self._busy or self._due.get(operation_id, when + 1) <= when:
                return
            self._due[operation_id] = when
            heapq.heappush(self._heap, (when, operation_id))
            self._changed.notify()

    def _next(self):
        """Wait for an operation that is due and mark it busy. None when the runner stops."""
        with self._changed:
            while not self._stopping:
                pause = None
                while self._heap:
                    when, operation_id = self._heap[0]
                    if self._due.get(operation_id) != when:
                        heapq.heappop(self._heap)
                        continue
                    pause = when - time.monotonic()
                    if pause > 0:
                        break
                    heapq.heappop(self._heap)
                    del self._due[operation_id]
                    self._busy.add(operation_id)
                    return operation_id
                self._changed.wait(pause)
        return None

    def _work(self):
        while (operation_id := self._next()) is not None:
            outcome = self._attempt(operation_id)
            with self._changed:
                self._busy.discard(operation_id)
                if outcome is None:
                    self._held.discard(operation_id)
            if outcome is not None:
                self._schedule(operation_id, time.monotonic() + outcome.seconds)

    def _attempt(self, operation_id):
        """Claim the operation if need be and carry it on. Returns Again, or None when there is nothing to do."""
        try:
            if operation_id not in self._held and not self._claim(operation_id):
                return None
            return flow.advance(self._flows, operation_id, self.owner, stopping=lambda: self._stopping)
        except flow.LeaseLost:
            LOG.warning("The operation %s is not held any more by %s", operation_id, self.owner)
            return None
        except Exception:  # noqa: BLE001 - the boundary of the flow runner
            LOG.exception("The operation %s could not be carried on and is tried again", operation_id)
            return flow.Again(CONF.operation_retry_interval)

    @retry_lost_races
    def _claim(self, operation_id):
        with get_db_api().writer() as session:
            operation = models.claim(session, operation_id, self.owner, CONF.operation_lease)
        if operation is None:
            return False
        TroveContext.from_dict(operation.request).update_store()  # for the log, as with each step
        LOG.info("%s of %s (operation %s) is claimed, attempt %d", operation.kind, operation.resource_id,
                 operation_id, operation.attempts)
        with self._changed:
            self._held.add(operation_id)
        return True
