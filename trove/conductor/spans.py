"""Parts of a trace as guests tell them, made into nodes of that trace; called by the conductor's manager only.

A guest's word counts for its own command and no more: the trace and the place in it are what the control plane sealed
into the command, ids are made here, and size and number are bounded.
"""
import collections
import threading
import time

from trove.common import profile

# Of one message; of one instance in one trace as this process saw them; instances and traces that are remembered.
MOST, MOST_OF_A_TRACE, _REMEMBERED = 100, 1000, 1000
_LONGEST = 100
# A part may have begun so many seconds ago: the longest that a command takes.
_OLDEST = 24 * 3600

_lock = threading.Lock()
_counts = collections.OrderedDict()


def _text(value):
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
        raise ValueError(f"a text is longer than {_LONGEST} characters or not printable")
    return value


def _age(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _OLDEST:
        raise ValueError("a time is not a number of seconds that have passed")
    return value


def check(given):
    """The parts of a message as [(name, detail, position of the part around it or None, begun, ended, error or None)].

    begun, ended: seconds ago. Raises ValueError saying what is wrong.
    """
    if not isinstance(given, list) or len(given) > MOST or not all(isinstance(part, dict) for part in given):
        raise ValueError(f"the spans are not a list of at most {MOST} objects")
    parts = []
    for position, part in enumerate(given):
        inside = part.get("inside")
        if inside is not None and (type(inside) is not int or not 0 <= inside < position):
            raise ValueError("a span is inside of none before it")
        parts.append((_text(part.get("name")).replace("-", " "), _text(part.get("detail")), inside,
                      _age(part.get("begun")), _age(part.get("ended")), _text(part.get("error") or "")))
    return parts


def admits(instance_id, trace_info, number):
    """Whether so many more parts of an instance may go into a trace."""
    key = (instance_id, trace_info["base_id"])
    with _lock:
        count = _counts.pop(key, 0) + number
        _counts[key] = count
        while len(_counts) > _REMEMBERED:
            _counts.popitem(last=False)
    return count <= MOST_OF_A_TRACE


def store(instance_id, trace_info, parts):
    """Put parts, as ``check`` gives them, into a trace below the node that ``trace_info`` names."""
    now, nodes = time.time(), []
    for name, detail, inside, begun, ended, error in parts:
        below = trace_info if inside is None else {**trace_info, "parent_id": nodes[inside]}
        nodes.append(profile.report(
            below, name, now - begun, now - min(begun, ended),
            info={"what": detail, "instance": instance_id, **({"error": error} if error else {})},
            service="guestagent", host=instance_id))
