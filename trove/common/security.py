"""Security events: the one way to report that something from outside was refused as forged, malformed or too much.

Call ``report`` at the place that refuses. It writes one log line and hands the event to the sinks that the process
registered (a counter, the infrastructure database, a notification). It never raises because of a text it is given.
"""
import collections
import dataclasses
import threading
import time

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

# Longest text, in characters, that an event keeps of each of its parts.
LONGEST = 300
# Most events that one process logs in one second; all of them are counted and reach the sinks.
_LINES_PER_SECOND = 50

# name of the event -> when it is reported
KINDS = {
    "message.malformed": "a message on the bus has a wrong content type, encoding, header or shape",
    "message.too_large": "a message on the bus is larger than its receiver allows",
    "message.forged": "the proof of a message does not fit the instance or the operation that the message names",
    "message.replayed": "a command or report came a second time, or after its validity ended",
    "message.reply_refused": "a message asked for a reply where none may be sent",
    "message.flood": "a guest sends more than its share, and messages of it were dropped",
    "backup.mismatch": "the objects of a backup differ from what its guest reported",
    "path.refused": "a text from outside would have left its place in a path or URL",
    "tenant.refused": "a request of the API came with the token of one tenant and the address of another",
    "queue.foreign": "a queue or exchange at the broker belongs to no instance, or has a name that imitates one",
}


@dataclasses.dataclass(frozen=True)
class Event:
    """name: a key of KINDS; reason: sentence; instance_id: the instance that the message claims, which may be the
    victim; account: user at the broker that sent it, None where the broker does not say; time: seconds since the epoch.
    """

    name: str
    reason: str
    instance_id: str | None
    account: str | None
    time: float


_sinks = []
_lock = threading.Lock()
_counts = collections.Counter()


def add_sink(sink):
    """Call ``sink(event)`` for every event of this process from now on. A sink must return quickly and not raise."""
    if sink not in _sinks:
        _sinks.append(sink)


def escaped(text):
    """Return ``text`` with control characters, line ends and characters without a glyph as backslash escapes."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape", "backslashreplace").decode("ascii")
                   for each in text)


def printable(value, longest=LONGEST):
    """Return ``value`` as text for one line: control characters and line ends escaped, cut after ``longest``."""
    text = str(value)
    shown = escaped(text[:longest])
    return shown[:longest] + ("..." if len(text) > longest or len(shown) > longest else "")


class _Lines:
    """The number of events that may be logged in the present second."""

    def __init__(self):
        self._second, self._used, self._skipped = 0, 0, 0

    def take(self, now):
        """Return the number of events that were not logged since the last one, or None not to log this one either."""
        if int(now) != self._second:
            self._second, self._used = int(now), 0
        if self._used >= _LINES_PER_SECOND:
            self._skipped += 1
            return None
        self._used += 1
        skipped, self._skipped = self._skipped, 0
        return skipped


_lines = _Lines()


def counts():
    """Return how many events of each name this process has reported since its start: {name: number}."""
    with _lock:
        return dict(_counts)


def report(name, reason, *, instance_id=None, account=None):
    """Report one event. See ``Event`` for the arguments; their texts may come from outside. Raises KeyError for a name
    that KINDS does not have.
    """
    KINDS[name]
    event = Event(name, printable(reason), None if instance_id is None else printable(instance_id, 64),
                  None if account is None else printable(account, 64), time.time())
    with _lock:
        _counts[name] += 1
        skipped = _lines.take(event.time)
    if skipped is not None:
        LOG.warning("security event %s: %s (claimed instance %s, account %s%s)", event.name, event.reason,
                    event.instance_id or "-", event.account or "-",
                    f"; {skipped} more events were not logged" if skipped else "")
    for sink in list(_sinks):
        try:
            sink(event)
        except Exception:  # the place that refuses a message must go on, whatever becomes of the report
            LOG.exception("A sink of security events failed")
