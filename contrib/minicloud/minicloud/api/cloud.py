"""Cloud: what all facades share. Made once by app.build_cloud and handed to every Service and domain module."""

import dataclasses
import logging
import threading
import time

from minicloud.api.jobs import Jobs
from minicloud.api.swift_weather import Weather
from minicloud.api.tokens import Tokens
from minicloud.config import Config
from minicloud.host.client import HostError
from minicloud.store import Store

LOG = logging.getLogger(__name__)
GUESTS_FRESH_SECONDS = 0.5


class Guests:
    """What the host says of its guests, asked at most twice a second however many requests want to know."""

    def __init__(self, host):
        self._host = host
        self._mutex = threading.Lock()
        self._states, self._read = None, float("-inf")

    def states(self):
        """``{guest id: "running" | "stopped" | "crashed"}``; the last known ones while the host does not answer.

        :raises HostError: when it has never answered.
        """
        with self._mutex:
            if time.monotonic() - self._read > GUESTS_FRESH_SECONDS:
                try:
                    self._states = {guest["guest_id"]: guest["state"] for guest in self._host.list_guests()}
                except HostError as error:
                    if self._states is None:
                        raise
                    LOG.warning("showing guests as they were: %s", error.message)
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
        self.weather = Weather()
        self.objects = None  # of object_store.py
