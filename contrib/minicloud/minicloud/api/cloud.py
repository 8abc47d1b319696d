"""Cloud: what all facades share. Made once by app.build_cloud and handed to every Service and domain module."""

import dataclasses
import threading
import time

from minicloud.api.jobs import Jobs
from minicloud.api.tokens import Tokens
from minicloud.config import Config
from minicloud.store import Store

GUESTS_FRESH_SECONDS = 0.5


class Guests:
    """What the host says of its guests, asked at most twice a second however many requests want to know."""

    def __init__(self, host):
        self._host = host
        self._mutex = threading.Lock()
        self._states, self._read = {}, float("-inf")

    def states(self):
        """``{guest id: "running" | "stopped" | "crashed"}``. :raises HostError: when the host does not answer."""
        with self._mutex:
            if time.monotonic() - self._read > GUESTS_FRESH_SECONDS:
                self._states = {guest["guest_id"]: guest["state"] for guest in self._host.list_guests()}
                self._read = time.monotonic()
            return self._states

    def changed(self):
        """Forget the answer: we have just changed a guest."""
        with self._mutex:
            self._read = float("-inf")


@dataclasses.dataclass
class Cloud:
    """Configuration, host and state of one running service."""

    config: Config
    host: object
    store: Store

    def __post_init__(self):
        self.jobs = Jobs(self.store)
        self.tokens = Tokens(self.store, self.config.base_url)
        self.guests = Guests(self.host)
