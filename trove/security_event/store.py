"""The sink of a control plane process: collects security events in memory and writes them from a thread of its own.

A flood of hostile messages costs the thread that reports them a look into a table, and the database a bounded number of
rows. A process that is killed loses what it has collected since the last write; its log has the lines.
"""
import os
import threading
import time

from oslo_log import log as logging

from trove.common import security
from trove.common.cfg import CONF
from trove.db import get_db_api, in_transaction
from trove.security_event import models

LOG = logging.getLogger(__name__)

# What a message claims is its sender's choice. In one window (models.WINDOW) a process makes at most so many rows with
# the same name and account, and so many in all; further events are counted in one row without an instance.
MOST_OF_AN_ACCOUNT, MOST = 20, 200
_PURGE_BATCH = 500


class Store:
    """Collects events. ``add`` is the sink; ``flush`` writes."""

    def __init__(self):
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._waiting = {}  # (name, instance, account) -> [reason, count, first, last], times by the monotonic clock
        self._admitted, self._per_account = set(), {}  # keys of this window; (name, account) -> number of keys
        self._window_end = 0.0
        self._changed = threading.Event()
        self._thread, self._process = None, None

    def add(self, event):
        """Take an event; returns at once."""
        now = time.monotonic()
        with self._lock:
            key = self._key(event, now)
            known = self._waiting.setdefault(key, [event.reason, 0, now, now])
            known[0], known[1], known[3] = event.reason, known[1] + 1, now
            self._start()
        self._changed.set()

    def _key(self, event, now):
        if now > self._window_end:
            self._admitted, self._per_account, self._window_end = set(), {}, now + models.WINDOW
        key = (event.name, event.instance_id, event.account)
        if key in self._admitted:
            return key
        account = (event.name, event.account)
        number = self._per_account.get(account, 0)
        if len(self._admitted) >= MOST or len(self._waiting) >= 2 * MOST:  # the latter while the database is away
            return (event.name, None, None)
        if number >= MOST_OF_AN_ACCOUNT:
            return (event.name, None, event.account)
        self._admitted.add(key)
        self._per_account[account] = number + 1
        return key

    def _start(self):
        """Start the thread unless this process has it: a worker that was forked off has not."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._thread = threading.Thread(target=self._run, name="security events", daemon=True)
            self._thread.start()

    def _run(self):
        failing = False
        while True:
            self._changed.wait()
            time.sleep(CONF.security_event_interval)
            self._changed.clear()
            try:
                self.flush()
                failing = False
            except Exception as error:  # noqa: BLE001 - the boundary of a thread; what was collected is kept
                self._changed.set()
                if not failing:
                    LOG.error("Security events are not stored now, and are tried again every %s s: %s",
                              CONF.security_event_interval, error)
                failing = True

    def flush(self):
        """Write what was collected. Raises the database's errors; nothing is lost then."""
        with self._flushing:
            with self._lock:
                taken, self._waiting = self._waiting, {}
            if not taken:
                return
            now = time.monotonic()
            # Always in the same order: two processes that write the same rows must not wait for each other.
            batches = [models.Batch(*key, reason, count, now - first, now - last)
                       for key, (reason, count, first, last) in sorted(taken.items(), key=_sortable)]
            try:
                in_transaction(models.record)(batches)
            except BaseException:
                with self._lock:
                    for key, (reason, count, first, last) in taken.items():
                        known = self._waiting.setdefault(key, [reason, 0, first, last])
                        known[1:] = known[1] + count, first, max(known[3], last)
                raise


def _sortable(item):
    return tuple(part or "" for part in item[0])


_store = Store()


def start():
    """Store the security events of this process from now on. May be called again, and after a fork."""
    security.add_sink(_store.add)


def stop(seconds=2.0):
    """Write what is still in memory, for at most ``seconds``; a database that does not answer keeps nobody longer."""
    thread = threading.Thread(target=_flush_quietly, name="last security events", daemon=True)
    thread.start()
    thread.join(seconds)


def _flush_quietly():
    try:
        _store.flush()
    except Exception as error:  # noqa: BLE001 - the process ends; the log has the events
        LOG.error("The last security events were not stored: %s", error)


def forget_old():
    """Delete rows that are older than security_event_retention seconds or too many; called by the clock."""
    while True:
        with get_db_api().writer() as session:
            count = models.purge(session, get_db_api().now(session) - CONF.security_event_retention,
                                 CONF.security_event_rows, _PURGE_BATCH)
        if count < _PURGE_BATCH:
            return
