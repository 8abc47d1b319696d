"""How full an instance's data file system is: the one thing that a show asks of the guest, and only of one that lives.

An answer is good for ``report_interval`` seconds, as what the guest reports by itself. A guest that did not answer is
not asked again until it has given a new sign of life: it may slow one request down, not every one.
"""
import threading
import time

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.instance import guests

LOG = logging.getLogger(__name__)

_MOST_REMEMBERED = 10000

_lock = threading.Lock()
_answers = {}  # instance id -> (when it answered by the monotonic clock, GB)
_unanswered = {}  # instance id -> its last sign of life when it did not answer


def _remember(memory, instance_id, value):
    with _lock:
        if len(memory) >= _MOST_REMEMBERED:
            memory.clear()
        memory[instance_id] = value


def used_gb(context, loaded):
    """GB used on the data file system, or None when it cannot be known within ``agent_call_low_timeout`` seconds."""
    if not loaded.guest_answers:
        return None
    answered, used = _answers.get(loaded.id, (None, None))
    if answered is not None and time.monotonic() - answered < CONF.report_interval:
        return used
    if _unanswered.get(loaded.id) == loaded.last_seen:
        return None
    try:
        used = guests.client(context, loaded).get_filesystem_stats()["used"]
    except exception.GuestTimeout:
        LOG.warning("instance %s: its guest did not say how full it is; not asked again before its next sign of life",
                    loaded.id)
        _remember(_unanswered, loaded.id, loaded.last_seen)
        return None
    except exception.TroveError as error:
        LOG.warning("instance %s: its guest could not say how full it is: %s", loaded.id, error)
        return None
    _remember(_answers, loaded.id, (time.monotonic(), used))
    return used
