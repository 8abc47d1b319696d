"""Answers of the cloud that hold for every tenant, kept for a while so that requests do not wait for them."""
import threading
import time
import weakref

from oslo_log import log as logging

from trove.common import exception

LOG = logging.getLogger(__name__)

_all = weakref.WeakSet()


class Cached:
    """One answer, its age, and the lock under which one thread at a time asks.

    service: what errors call the service, as in "the compute service"; load: function that asks it.
    """

    def __init__(self, service, load):
        self._service, self._load = service, load
        self._lock = threading.Lock()
        self._value, self._loaded = None, 0.0
        _all.add(self)

    def get(self, max_age):
        """Return the answer, at most ``max_age`` seconds old.

        Returns an older answer while another thread asks, and while the service does not answer. Raises
        ServiceUnavailable if the service does not answer and no older answer is kept.
        """
        if self._value is not None and time.monotonic() - self._loaded < max_age:
            return self._value
        if not self._lock.acquire(blocking=self._value is None):
            return self._value
        try:
            if self._value is None or time.monotonic() - self._loaded >= max_age:
                self._ask()
            return self._value
        finally:
            self._lock.release()

    def forget(self):
        """Ask again at the next use."""
        self._value = None

    def _ask(self):
        try:
            self._value = self._load()
        except Exception as error:  # noqa: BLE001 - the clients' errors have no common base
            LOG.warning("The %s service did not answer: %s", self._service, error, exc_info=True)
            if self._value is None:
                raise exception.ServiceUnavailable(f"The {self._service} service does not answer.") from error
        # Also after a failure: the next try is due after the interval, not at once.
        self._loaded = time.monotonic()


class Access:
    """The projects that may use each private thing of a service (a flavor, a volume type).

    load: function of the thing's id that asks the service and returns the ids of the projects.
    """

    def __init__(self, service, load):
        self._service, self._load = service, load
        self._lists = {}

    def allows(self, thing_id, project_id, max_age):
        """Return whether the project may use the private thing. Arguments and errors are those of ``Cached.get``.

        thing_id: an id that the service has listed; ids from requests do not belong here.
        """
        found = self._lists.setdefault(thing_id, Cached(self._service, lambda: frozenset(self._load(thing_id))))
        return project_id in found.get(max_age)


def forget():
    """Ask for everything again at the next use (tests)."""
    for each in _all:
        each.forget()
