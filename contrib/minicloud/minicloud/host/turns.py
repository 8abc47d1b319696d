"""Guests that boot take turns: the CPUs go to those first that were started first.

All of one age would share the CPUs, and the first of twenty would be ready when the last is. Nobody is held up while a
CPU is idle, and nothing is measured: only the weights of young guests differ. Called by the daemon.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from minicloud.host.cgroup import LEAST_WEIGHT, NORMAL_WEIGHT

BOOT_SECONDS = 60  # after which a guest counts as booted
FACTOR = 1.4  # between the weights of two guests that were started one after the other


class Turns:
    """Gives guests their weights.

    set_weight: called with a guest's id and its weight, from other threads too.
    """

    def __init__(self, set_weight: Callable[[str, int], None]):
        self._set_weight = set_weight
        self._started: dict[str, float] = {}
        self._guard = threading.Lock()

    def started(self, guest_id: str) -> None:
        """A guest was started: it comes behind all that still boot."""
        with self._guard:
            now = time.monotonic()
            self._started.pop(guest_id, None)
            self._started = {other: when for other, when in self._started.items() if now - when < BOOT_SECONDS}
            weight = max(LEAST_WEIGHT, int(NORMAL_WEIGHT / FACTOR ** len(self._started)))
            self._started[guest_id] = now
            self._set_weight(guest_id, weight)
        timer = threading.Timer(BOOT_SECONDS, self.booted, [guest_id])
        timer.daemon = True
        timer.start()

    def booted(self, guest_id: str) -> None:
        """A guest has had its time to boot: from now on it is like all others. One that was started again is not."""
        with self._guard:
            if time.monotonic() - self._started.get(guest_id, 0) >= BOOT_SECONDS:
                self._started.pop(guest_id, None)
                self._set_weight(guest_id, NORMAL_WEIGHT)
