"""Traces (osprofiler) in the services of the control plane: what one request costs, over all processes, with its SQL.

``setup`` is called once by each process; while [profiler] enabled is false nothing here costs anything. A trace is
begun by a client that knows a key of [profiler] hmac_keys. The key stays in the services: neither contexts nor
operations carry it, and a guest gets only what ``trove.common.origin`` seals.
"""
import atexit
import contextlib
import datetime
import queue
import threading
import time
import uuid

import sqlalchemy
from oslo_log import log as logging
from osprofiler import (
    notifier,
    opts,  # noqa: F401 - registers [profiler]
    profiler,
    web,
)

from trove.common import cfg
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)

# Points that wait for a store that is slow; those above are dropped.
_MOST_WAITING = 20000
# Seconds: a store's connection that was not used for so long is not trusted any more; and how long an end waits.
_IDLE, _PATIENCE = 30, 5

_store = None


class _Store:
    """Hands points to osprofiler's driver in a thread of its own: drivers keep one connection, which threads must not
    share, and a store that hangs must not slow requests down.
    """

    def __init__(self, service, host):
        self._service, self._host = service, host
        self._points = queue.Queue(_MOST_WAITING)
        threading.Thread(target=self._run, name="traces", daemon=True).start()

    def put(self, point):
        """Take a point, unless too many wait."""
        try:
            self._points.put_nowait(point)
        except queue.Full:
            LOG.warning("The store of traces is too slow, a point of trace %s is dropped", point["base_id"])

    def flush(self):
        """Wait some seconds for what is still to be written."""
        end = time.monotonic() + _PATIENCE
        while self._points.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)

    def _run(self):
        driver = None
        while True:
            try:
                point = self._points.get(timeout=_IDLE)
            except queue.Empty:
                driver = None
                continue
            try:
                driver = driver or self._open()
                driver.notify(point)
            except Exception:  # noqa: BLE001 - the boundary to the store; a trace is not worth more than a log line
                LOG.exception("A point of trace %s was not stored", point["base_id"])
                driver = None
            finally:
                self._points.task_done()

    def _open(self):
        from osprofiler.drivers import base  # imports many libraries
        return base.get_driver(CONF.profiler.connection_string, project="trove", service=self._service,
                               host=self._host, context={}, conf=CONF)


def setup(service, host):
    """Begin to collect traces of this process if the operator wants them; after a fork, once.

    service: name of the process, for example "api"; host: where it runs.
    Raises SystemExit when [profiler] hmac_keys is not set or a placeholder: whoever knows it can start traces.
    """
    global _store
    if not CONF.profiler.enabled:
        return
    cfg.require_secret("profiler.hmac_keys")
    _store = _Store(service, host)
    atexit.register(_store.flush)
    notifier.set(_store.put)
    web.enable(CONF.profiler.hmac_keys)
    if CONF.profiler.trace_sqlalchemy:
        for name, function in LISTENERS:
            sqlalchemy.event.listen(sqlalchemy.engine.Engine, name, function)


def _begin_statement(_connection, _cursor, statement, _parameters, _context, _many):
    # Without the parameters: some are secrets, if only encrypted ones.
    profiler.start("db", info={"db": {"statement": statement}})


def _end_statement(*_arguments):
    profiler.stop()


def _fail_statement(context):
    if context.statement is not None and context.execution_context is not None:  # else it was not begun
        profiler.stop(info={"etype": type(context.original_exception).__name__})


# Of every engine of the process.
LISTENERS = (("before_cursor_execute", _begin_statement), ("after_cursor_execute", _end_statement),
             ("handle_error", _fail_statement))


def filter_factory(_global_conf, **_local_conf):
    """Paste filter factory: traces requests that carry a signed trace header."""
    if not CONF.profiler.enabled:
        return lambda app: app
    return lambda app: web.WsgiMiddleware(app, hmac_keys=CONF.profiler.hmac_keys, enabled=True)


def current():
    """{"base_id", "parent_id"} with which the work of this thread goes on elsewhere, or None without a trace."""
    found = profiler.get()
    return {"base_id": found.get_base_id(), "parent_id": found.get_id()} if found else None


@contextlib.contextmanager
def joined(trace_info):
    """Around work that belongs to a trace begun elsewhere. trace_info: as ``current`` gave it, or None."""
    if not trace_info or _store is None:
        yield
        return
    profiler.clean()
    # The key signs the requests that the clients of the cloud make in this thread.
    profiler.init(CONF.profiler.hmac_keys.split(",")[0], trace_info["base_id"], trace_info["parent_id"])
    try:
        yield
    finally:
        profiler.clean()


@contextlib.contextmanager
def span(name, **info):
    """Around a part of the work that is a node of its own in the trace, if there is one. info: JSON-able details."""
    with profiler.Trace(name, info=info):
        yield


def span_id(*parts):
    """The id of a node that several processes speak of, made of what they all know."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(parts)))


def report(trace_info, name, begun, ended, node=None, info=None, **where):
    """Store a node that is already over, below the one that ``trace_info`` names. Returns the node's id.

    begun, ended: seconds since the epoch; node: its id, a fresh one if None; where: service and host, if not these.
    """
    node = node or str(uuid.uuid4())
    if _store is not None:
        point = {"base_id": trace_info["base_id"], "parent_id": trace_info["parent_id"], "trace_id": node, **where}
        _store.put({**point, "name": f"{name}-start", "timestamp": _stamp(begun), "info": info or {}})
        _store.put({**point, "name": f"{name}-stop", "timestamp": _stamp(ended), "info": {}})
    return node


def _stamp(moment):
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
