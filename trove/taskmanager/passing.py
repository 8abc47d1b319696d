"""Passing errors of steps: said in the log now and then instead of at every try, and in words for users. Called by
``flow``.
"""
import re
import time

from oslo_log import log as logging

from trove.common import exception, remote

LOG = logging.getLogger(__name__)

# Seconds for which a further error of the same step is only counted.
_SILENCE = 60.0
_said = {}  # (operation id, step) -> (when it was last said, errors since)


def log(name, operation_id, step, error):
    """Say that a step met a passing error, unless that was said in the last minute; name: what the log calls it."""
    now = time.monotonic()
    last, silent = _said.get((operation_id, step), (None, 0))
    if last is not None and now - last < _SILENCE:
        _said[operation_id, step] = (last, silent + 1)
        return
    more = f" ({silent} more times since this was last said)" if silent else ""
    LOG.warning("%s: step %s met a passing error and is tried again%s: %s", name, step, more, describe(error))
    LOG.debug("The passing error in full", exc_info=error)
    for key in [key for key, (when, _) in _said.items() if now - when > 10 * _SILENCE]:
        del _said[key]  # its step has ended long ago
    _said[operation_id, step] = (now, 0)


def describe(error, where=True):
    """An error of a service that may be gone soon, in words: not how our code noticed.

    where: whether the service's address is told; to users it is not, it is no tenant's business.
    """
    if isinstance(error, exception.TroveError) or remote.http_status(error) is not None:
        return str(error)
    asked = getattr(getattr(error, "request", None), "url", None) or str(error)
    found = re.search(r"(https?://)(?:[^\s/@]*@)?([^\s/]+)", asked)  # without a name and a password
    if found:
        place = f"at {found[1]}{found[2]}" if where else "where a service of the cloud should"
        return f"Nothing answers {place} ({type(error).__name__})."
    return exception.sentence(error)
