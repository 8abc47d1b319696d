"""A client that writes to whichever server of a replication takes it, as applications behind a list of hosts do."""
import threading
import time

from onebox.settings import SetupError

# Seconds: an application gives up on a host that does not answer, and looks at the next one.
_CONNECT, _ANSWER, _PAUSE = 0.5, 2, 0.01


class Writer(threading.Thread):
    """Inserts rising numbers at a rate and remembers which were acknowledged, and when.

    hosts: addresses, replaced at will while it runs; probe: called with an address and options, makes a
    ``probes.base.Probe``; rate: numbers a second; acknowledged: [(number, time by the monotonic clock)].
    """

    def __init__(self, hosts, probe, rate=200):
        super().__init__(name="writer", daemon=True)
        self.hosts, self.probe, self.rate = list(hosts), probe, rate
        self.acknowledged = []
        self._ending = threading.Event()

    def __enter__(self):
        self.start()
        self.wait_more(20)
        return self

    def __exit__(self, *_error):
        self._ending.set()
        self.join(30)

    def wait_more(self, count, timeout=60):
        """Return when ``count`` more numbers were acknowledged. Raises SetupError."""
        wanted, end = len(self.acknowledged) + count, time.monotonic() + timeout
        while len(self.acknowledged) < wanted:
            if time.monotonic() > end:
                raise SetupError(f"Nothing could be written to {', '.join(self.hosts)} for {timeout} s")
            time.sleep(0.01)

    def gap(self, since=0.0):
        """The longest time between two acknowledgements, the second of them after ``since``."""
        times = [moment for _, moment in list(self.acknowledged)]
        return max((later - earlier for earlier, later in zip(times, times[1:], strict=False) if later > since),
                   default=0.0)

    def missing(self, host):
        """The numbers that were acknowledged and are not on a host."""
        with self.probe(host) as probe:
            return sorted({number for number, _ in self.acknowledged} - probe.keys())

    def run(self):
        """See the class."""
        number, next_at = 0, time.monotonic()
        while not self._ending.is_set():
            for host in list(self.hosts):
                number, next_at = self._write(host, number, next_at)
            time.sleep(_PAUSE)

    def _write(self, host, number, next_at):
        """Write to one host until it refuses."""
        with self.probe(host, connect_timeout=_CONNECT, answer_timeout=_ANSWER) as probe:
            try:
                while not self._ending.is_set():
                    # What was not acknowledged may be there: no number is used twice.
                    number += 1
                    probe.put(number, "")
                    self.acknowledged.append((number, time.monotonic()))
                    next_at = max(next_at + 1 / self.rate, time.monotonic() - 1)
                    time.sleep(max(0.0, next_at - time.monotonic()))
            except probe.errors:
                return number, time.monotonic()
        return number, next_at
