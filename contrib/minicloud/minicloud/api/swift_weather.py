"""The troubles of a real Swift, to be switched on by tests: ``cloud.weather`` of a running service.

Each is as Swift 2.38.3 was seen to behave while some of its servers do not run. Nothing here changes what is stored.
"""

import contextlib
import dataclasses
import time

from minicloud.api import temp_url
from minicloud.api.web import Fault


@dataclasses.dataclass
class Weather:
    """Switches; by default all is well.

    away           servers that do not run: "account", "container", "object" or "proxy" (then nothing but 503 is
                   answered, as a load balancer does)
    lagging        containers list only what was written before; see ``lag``
    strips         metadata of objects are taken out of every request, as by a proxy before Swift
    refusals       how many of the next requests are answered with ``refusal``
    refusal        that status, such as 498
    without        features that /info does not have: "tempurl", "bulk_delete"; "info" for no /info at all
    """

    away: set = dataclasses.field(default_factory=set)
    lagging: float | None = None
    strips: bool = False
    refusals: int = 0
    refusal: int = 498
    without: set = dataclasses.field(default_factory=set)

    def clear(self):
        """All is well again."""
        self.__init__()

    @contextlib.contextmanager
    def without_servers(self, *names):
        """Within it, these servers do not run."""
        self.away.update(names)
        try:
            yield
        finally:
            self.away.difference_update(names)

    def lag(self):
        """From now on, no listing has what is written later, also the one that makes up a dynamic large object."""
        self.lagging = time.time()

    def lists(self, object):
        """Whether a listing has an object."""
        return self.lagging is None or object.modified <= self.lagging

    def check(self, request, container, name):
        """Refuse a request that the servers that are away would have to answer. :raises Fault:"""
        if "proxy" in self.away:
            raise Fault(503, "Service Unavailable")
        if self.refusals:
            self.refusals -= 1
            raise Fault(self.refusal, "Slow down")
        if name and temp_url.is_signed(request) and self.away & {"account", "container"}:
            raise Fault(401, "Temp URL invalid")  # its keys cannot be read
        if "account" in self.away:
            if not container or request.method == "PUT" and not name:
                raise Fault(503, "Service Unavailable")
            if not name or request.method not in ("GET", "HEAD"):
                raise Fault(404, "Not Found")
        if "container" in self.away and container or "object" in self.away and name:
            raise Fault(503, "Service Unavailable")
