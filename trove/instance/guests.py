"""The API's door to guests. What a guest does not answer holds a thread of the API until its deadline, so one tenant's
guests may hold only some of them: whoever has root in a guest could else keep everybody out.
"""
import collections
import contextlib
import threading

from trove.common import exception, remote
from trove.common.cfg import CONF

_changed = threading.Condition()
_waiting = collections.Counter()  # tenant -> calls under way in this process; no entry for none


@contextlib.contextmanager
def _place(tenant):
    """Raises ServiceUnavailable when too many calls to guests of the tenant are under way and none ends soon."""
    with _changed:
        if not _changed.wait_for(lambda: _waiting[tenant] < CONF.guest_calls_per_tenant, CONF.guest_call_wait):
            raise exception.ServiceUnavailable(
                f"{_waiting[tenant]} requests already wait for instances of this tenant; try again when they are "
                "answered.")
        _waiting[tenant] += 1
    try:
        yield
    finally:
        with _changed:
            _waiting[tenant] -= 1
            if not _waiting[tenant]:
                del _waiting[tenant]
            _changed.notify_all()


class _Bounded:
    """A guest client each of whose calls takes a place of the tenant while it lasts."""

    def __init__(self, client, tenant):
        self._client = client
        self._tenant = tenant

    def __getattr__(self, name):
        method = getattr(self._client, name)

        def call(*args, **kwargs):
            with _place(self._tenant):
                return method(*args, **kwargs)
        return call


def client(context, loaded):
    """The client for the guest of an instance.

    loaded: instance.loading.Loaded. Its methods are those of ``guestagent.api.API``; each raises ServiceUnavailable
    as well, when guest_calls_per_tenant of them are under way for guests of the same tenant.
    """
    return _Bounded(remote.guest_client(context, loaded.id, loaded.manager), loaded.row.tenant_id)
