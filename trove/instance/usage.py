"""How full an instance's data file system is: the one thing that a show asks of the guest, and only of one that lives.

A guest that did not answer is not asked again until it has given a new sign of life: it may slow one request down, not
every one.
"""
import threading

from oslo_log import log as logging

from trove.common import exception, remote

LOG = logging.getLogger(__name__)

# In these words the guest is busy or not there.
_UNASKED = frozenset(("BUILD", "REBOOT", "RESIZE", "PROMOTE", "EJECT"))
_MOST_REMEMBERED = 10000

_lock = threading.Lock()
_unanswered = {}  # instance id -> its last sign of life when it did not answer


def _is_mute(loaded):
    with _lock:
        return _unanswered.get(loaded.id) == loaded.last_seen and loaded.id in _unanswered


def _remember(loaded):
    with _lock:
        if len(_unanswered) >= _MOST_REMEMBERED:
            _unanswered.clear()
        _unanswered[loaded.id] = loaded.last_seen


def used_gb(context, loaded):
    """GB used on the data file system, or None when it cannot be known within ``agent_call_low_timeout`` seconds."""
    if loaded.status in _UNASKED or not loaded.guest_answers or _is_mute(loaded):
        return None
    try:
        return remote.guest_client(context, loaded.id).get_filesystem_stats()["used"]
    except exception.GuestTimeout:
        LOG.warning("instance %s: its guest did not say how full it is; not asked again before its next sign of life",
                    loaded.id)
        _remember(loaded)
    except exception.TroveError as error:
        LOG.warning("instance %s: its guest could not say how full it is: %s", loaded.id, error)
    return None
