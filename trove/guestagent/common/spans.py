"""What a command does in the guest, for the trace of the request that it belongs to: parts with their times.

A guest holds no key of a trace and knows no store: it sends its parts to the conductor, as it reports, and only for a
command that came with a trace (``trove.common.origin``). ``trove.cmd.guest`` puts ``command`` around each.
"""
import contextlib
import threading
import time

from oslo_log import log as logging

from trove import rpc
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.conductor import api as conductor_api

LOG = logging.getLogger(__name__)

# Parts of one command that are told, the first ones; characters of a name. The conductor takes no more either.
MOST, LONGEST = 100, 100

_local = threading.local()


@contextlib.contextmanager
def command(context, method):
    """Around a command of the bus. context: the dict that came with it; method: its name."""
    origin = context.get("origin")
    if not isinstance(origin, dict) or not origin.get("trace"):
        yield
        return
    _local.parts, _local.inner = [], []
    try:
        with span("guest", method):
            yield
    finally:
        parts, _local.parts = _local.parts, None
        _send(origin, parts)


@contextlib.contextmanager
def span(name, detail):
    """Around a part of a command; without a trace it costs nothing.

    name: kind of the part; detail: which one it is, never a secret.
    """
    parts = getattr(_local, "parts", None)
    if parts is None or len(parts) >= MOST:
        yield
        return
    part = {"name": name, "detail": str(detail)[:LONGEST], "inside": _local.inner[-1] if _local.inner else None,
            "begun": time.time(), "ended": None}
    parts.append(part)
    _local.inner.append(len(parts) - 1)
    try:
        yield
    except BaseException as error:
        part["error"] = type(error).__name__[:LONGEST]
        raise
    finally:
        _local.inner.pop()
        part["ended"] = time.time()


def _send(origin, parts):
    # Ages instead of times: the guest's clock may differ from the others'.
    now = time.time()
    for part in parts:
        part["begun"], part["ended"] = now - part["begun"], now - part["ended"]
    try:
        conductor_api.API(TroveContext(origin=origin, overwrite=False)).report_spans(CONF.guest_id, parts)
    except rpc.DeliveryFailure as error:
        LOG.warning("%s: the parts of a trace could not be sent: %s", CONF.guest_id, error)
