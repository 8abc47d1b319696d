"""The conductor's intake: takes what guests report out of their queues in fair turns, and hands it over in batches.

Each guest with an account of its own has a queue at the broker that holds some of its reports and drops the oldest.
A conductor holds at most ``conductor_guest_prefetch`` of each guest in memory and works on them at
``conductor_guest_rate``; those of a guest that sends more stay in its queue. So a flood costs its own guest's reports
and nobody else's, and the conductor's memory is bounded by the number of guests.

A report is acknowledged when it has been worked on: what a killed conductor held, the broker gives to another.
Several conductors may run; each consumes from every queue.
"""
import collections
import dataclasses
import heapq
import queue
import threading
import time

from oslo_log import log as logging

from trove import rpc
from trove.common import delivery, security, transport
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)

# Seconds: longest pause of the loop that reads from the broker, the same while a batch is worked on, and between two
# looks whether the broker still answers.
_PAUSE, _BUSY_PAUSE, _HEARTBEAT = 1.0, 0.005, 5.0
# Seconds between two events about the same guest.
_FLOOD_INTERVAL = 60.0
# Queues that are subscribed to at once, before the loop reads again; seconds before a missing one is looked for again.
_SUBSCRIBE, _MISSING, _LONGEST_MISSING = 200, 0.5, 60.0
# Reports in memory out of the queue that several guests share, as a multiple of the batch size.
_SHARED = 2


@dataclasses.dataclass(slots=True, eq=False)
class Report:
    """One report of a guest.

    method: name; args: dict, not checked yet; origin: the origin that came with the command it answers, or None;
    queue_of: id of the instance whose account alone can have sent it, None out of the shared queue; done: whether it
    has been worked on; attempts: how often that failed.
    """

    method: str
    args: dict
    origin: object = None
    queue_of: str | None = None
    done: bool = False
    attempts: int = 0
    tag: int = 0
    generation: int = 0

    @property
    def account(self):
        """The user at the broker that sent it, or None where that is not known."""
        return None if self.queue_of is None else transport.guest_account(self.queue_of)

    @property
    def claimed(self):
        """The id of the instance that it is about, by its own words; anything but a text counts as none."""
        value = self.args.get("instance_id")
        return value if isinstance(value, str) else None


class Turns:
    """Reports that wait, and whose turn it is: one of each guest in turn, as long as the guest has tokens.

    A guest gets ``rate`` tokens a second and keeps at most ``burst``; a report costs one. Times are of any clock.
    """

    def __init__(self, rate, burst):
        self.rate, self.burst = rate, burst
        self._waiting, self._tokens = {}, {}
        self._ready, self._resting, self._rests = collections.deque(), [], set()

    def __len__(self):
        return sum(map(len, self._waiting.values()))

    def add(self, guest, report, now):
        """Let a report wait for its guest's turn; returns how many of the guest wait now."""
        waiting = self._waiting.get(guest)
        if waiting is None:
            self._waiting[guest] = collections.deque([report])
            self._queue(guest, now)
            return 1
        waiting.append(report)
        return len(waiting)

    def drop_oldest(self, guest):
        """Take the oldest report of a guest out without its being worked on, and return it."""
        return self._waiting[guest].popleft()

    def _refill(self, guest, now):
        tokens, since = self._tokens.get(guest, (self.burst, now))
        return min(self.burst, tokens + (now - since) * self.rate)

    def _queue(self, guest, now):
        tokens = self._refill(guest, now)
        if tokens >= 1:
            self._ready.append(guest)
        else:
            heapq.heappush(self._resting, (now + (1 - tokens) / self.rate, guest))
            self._rests.add(guest)

    def take(self, now, limit):
        """Return up to ``limit`` reports whose turn it is."""
        while self._resting and self._resting[0][0] <= now:
            guest = heapq.heappop(self._resting)[1]
            self._rests.discard(guest)
            self._ready.append(guest)
        taken = []
        while self._ready and len(taken) < limit:
            guest = self._ready.popleft()
            taken.append(self._waiting[guest].popleft())
            # A wait for a token ends by the clock, whose last digit may say that it is not quite there.
            self._tokens[guest] = (max(0.0, self._refill(guest, now) - 1), now)
            if self._waiting[guest]:
                self._queue(guest, now)
            else:
                del self._waiting[guest]
        return taken

    def has(self, number):
        """Return whether so many guests have a report whose turn it is."""
        return len(self._ready) >= number

    def pause(self, now):
        """Return the seconds until a report's turn comes; None while none waits."""
        if self._ready:
            return 0.0
        return max(0.0, self._resting[0][0] - now) if self._resting else None

    def rests(self, guest):
        """Return whether a guest has more reports than tokens."""
        return guest in self._rests

    def clear(self):
        """Forget what waits; tokens stay spent."""
        self._waiting.clear()
        self._ready.clear()
        self._resting.clear()
        self._rests.clear()

    def forget_idle(self, now):
        """Forget the guests that have all their tokens again."""
        for guest in [each for each in self._tokens if each not in self._waiting
                      and self._refill(each, now) >= self.burst]:
            del self._tokens[guest]


class Intake:
    """Threads that read from the broker, look for guests, and work; they begin with ``start`` and end with ``stop``.

    manager: has ``take(reports)``, which raises when it is to be called again with the same reports,
    ``is_genuine(report)``, and ``all_guests()`` and ``new_guests()``, which return ids.
    """

    def __init__(self, manager):
        self._manager = manager
        self._turns = Turns(CONF.conductor_guest_rate, CONF.conductor_guest_burst)
        self._stopping = threading.Event()
        self._wanted = frozenset()
        self._jobs, self._results = queue.Queue(), queue.Queue()
        self._connection = self._channel = None
        self._generation, self._busy, self._handed_over = 0, False, 0.0
        # Those of the guests in ``_followed`` whose queues are read; those to subscribe to; those without a queue, with
        # the time of the next look and the pause before it.
        self._followed, self._consumed, self._new, self._missing = None, set(), collections.deque(), {}
        self._looked, self._noted = 0.0, {}
        self._threads = [threading.Thread(target=target, name=name, daemon=True) for name, target in (
            ("reports", self._read), ("guests", self._look), ("work", self._work))]

    def start(self):
        """Begin; a broker or database that does not answer is waited for."""
        for thread in self._threads:
            thread.start()

    def stop(self):
        """End: finish the batch that is worked on, acknowledge it, and leave the rest to the broker."""
        self._stopping.set()
        self._threads[0].join(CONF.conductor_drain_timeout + 2)
        self._jobs.put(None)

    # The thread that looks for guests.

    def _look(self):
        listed = 0.0
        while not self._stopping.is_set():
            try:
                if time.monotonic() >= listed:
                    self._wanted = frozenset(self._manager.all_guests())
                    listed = time.monotonic() + CONF.conductor_guest_list_interval
                new = self._manager.new_guests()
                if not self._wanted.issuperset(new):
                    self._wanted |= frozenset(new)
            except Exception as error:  # noqa: BLE001
                # A boundary: guests that are known are served on while the database is away.
                LOG.warning("The list of guests cannot be read: %s", security.printable(error))
                self._stopping.wait(CONF.conductor_retry_interval)
            self._stopping.wait(CONF.conductor_new_guest_interval)

    # The thread that works.

    def _work(self):
        while (batch := self._jobs.get()) is not None:
            while True:
                try:
                    self._manager.take(batch)
                    break
                except Exception as error:  # noqa: BLE001
                    # A boundary: nothing of what guests send may end this thread.
                    LOG.error("%d reports could not be written and are tried again: %s", len(batch),
                              security.printable(error))
                    if self._stopping.wait(CONF.conductor_retry_interval):
                        break
            self._results.put(batch)

    # The thread that reads from the broker.

    def _read(self):
        while not self._stopping.is_set():
            try:
                self._connect()
                LOG.info("trove-conductor serves the topic %s", CONF.conductor_queue)
                self._serve()
            except rpc.CONNECTION_ERRORS as error:
                LOG.warning("The broker does not answer, trying again in %s s: %s", CONF.conductor_retry_interval,
                            security.printable(error))
                self._disconnect()
                self._stopping.wait(CONF.conductor_retry_interval)
            except Exception:
                # A boundary: after any error a new connection starts with empty state.
                LOG.exception("The intake failed; it connects again")
                self._disconnect()
                self._stopping.wait(CONF.conductor_retry_interval)
        self._disconnect()

    def _connect(self):
        self._connection = rpc.open_guests_connection()
        self._channel = rpc.prepare_reports(self._connection, CONF.conductor_queue)
        self._channel.basic_qos(0, _SHARED * CONF.conductor_batch_size, False)
        self._subscribe(None, CONF.conductor_queue)
        self._channel.basic_qos(0, CONF.conductor_guest_prefetch, False)
        self._probe = self._connection.channel()

    def _disconnect(self):
        """Forget the connection and what came over it: the broker gives it again to whoever connects."""
        self._generation += 1
        connection, self._connection = self._connection, None
        self._turns.clear()
        self._followed = None
        self._consumed.clear()
        self._missing.clear()
        if connection is not None:
            try:
                connection.release()
            except rpc.CONNECTION_ERRORS as error:
                LOG.debug("The connection was lost before it was closed: %s", error)

    def _serve(self):
        checked = time.monotonic()
        while not self._stopping.is_set():
            now = time.monotonic()
            behind = self._follow(now)
            self._hand_over(now)
            if now - checked > _HEARTBEAT:
                checked = now
                self._connection.heartbeat_check()
                self._turns.forget_idle(now)
            pause = _PAUSE if (due := self._turns.pause(now)) is None else min(due, _PAUSE)
            self._drain(_BUSY_PAUSE if self._busy or behind else max(pause, _BUSY_PAUSE))
            self._settle()
        for tag in (CONF.conductor_queue, *self._consumed):  # no more reports come while the batch is finished
            self._channel.basic_cancel(tag, nowait=True)
        end = time.monotonic() + CONF.conductor_drain_timeout
        while self._busy and time.monotonic() < end:
            self._drain(_BUSY_PAUSE)
            self._settle()

    def _drain(self, pause):
        try:
            self._connection.drain_events(timeout=pause)
        except TimeoutError:
            return

    def _follow(self, now):
        """Subscribe to the queues of guests that are new, and leave those of guests that are gone.

        Returns whether there are more of them to come.
        """
        if self._wanted is not self._followed:
            self._followed = self._wanted
            for guest in self._consumed - self._followed:
                self._channel.basic_cancel(guest, nowait=True)
                self._consumed.discard(guest)
            later = {guest for guest, (due, _pause) in self._missing.items() if due < float("inf")}
            self._missing = {guest: when for guest, when in self._missing.items() if guest in self._followed}
            self._new = collections.deque(self._followed - self._consumed - later)
        # This is called for each report: what takes time for each guest is done now and then.
        if self._missing and now >= self._looked + _MISSING / 2:
            self._looked = now
            for guest, (due, pause) in self._missing.items():
                if due <= now:
                    self._missing[guest] = (float("inf"), pause)
                    self._new.append(guest)
        if not self._new:
            return False
        batch = [self._new.popleft() for _ in range(min(_SUBSCRIBE, len(self._new)))]
        existing = set(self._existing(batch))
        for guest in batch:
            if guest in existing:
                self._subscribe(guest, _queue_of(guest))
                self._consumed.add(guest)
                self._missing.pop(guest, None)
            else:
                pause = min(2 * self._missing.get(guest, (0, _MISSING / 2))[1], _LONGEST_MISSING)
                self._missing[guest] = (now + pause, pause)
        return bool(self._new)

    def _existing(self, guests):
        """Return those guests of a list whose queues exist.

        The broker is waited for once if all do; it closes the channel at the first that does not, and then each half of
        the list is asked for by itself.
        """
        try:
            for guest in guests[:-1]:
                self._probe.queue_declare(_queue_of(guest), passive=True, nowait=True)
            self._probe.queue_declare(_queue_of(guests[-1]), passive=True)
        except rpc.NO_SUCH_QUEUE:
            pass  # The library has opened the channel again. Another one would be one more each time.
        else:
            return guests
        if len(guests) == 1:
            return []
        half = len(guests) // 2
        return [*self._existing(guests[:half]), *self._existing(guests[half:])]

    def _subscribe(self, guest, name):
        def cancelled(_tag):
            # The queue was deleted: with its guest, or by somebody who makes it again.
            self._consumed.discard(guest)
            self._missing[guest] = (time.monotonic() + _MISSING, _MISSING)
        self._channel.basic_consume(name, consumer_tag=guest or name, nowait=guest is not None, on_cancel=cancelled,
                                    callback=lambda message: self._receive(guest, message))

    def _receive(self, guest, message):
        tag, now = message.delivery_info["delivery_tag"], time.monotonic()
        account = None if guest is None else transport.guest_account(guest)
        try:
            report = read(message.properties, message.body, guest)
        except delivery.Refused as error:
            self._channel.basic_ack(tag)
            self._note(error.name, error.reason, guest, guest, account, now)
            return
        report.tag, report.generation = tag, self._generation
        if guest is None:
            # Anybody can name anybody in the shared queue: only what is genuine counts for a guest's share.
            if not self._manager.is_genuine(report):
                self._channel.basic_ack(tag)
                return
            guest = report.claimed
        elif report.claimed != guest:
            self._channel.basic_ack(tag)
            self._note("message.forged", f"Dropped {report.method}: it came with the account of another instance",
                       guest, report.claimed, account, now)
            return
        if self._turns.add(guest, report, now) > CONF.conductor_guest_burst:
            self._channel.basic_ack(self._turns.drop_oldest(guest).tag)
        if self._turns.rests(guest):
            self._note("message.flood", f"It sends more than {CONF.conductor_guest_rate:g} reports a second; the "
                       "oldest of its reports are dropped", guest, guest, account, now)

    def _note(self, name, reason, guest, claimed, account, now):
        """Report a security event, each kind of a guest once a minute."""
        key = (name, guest)
        if now - self._noted.get(key, -_FLOOD_INTERVAL) < _FLOOD_INTERVAL:
            return
        for old in [each for each, when in self._noted.items() if now - when >= _FLOOD_INTERVAL]:
            del self._noted[old]
        self._noted[key] = now
        security.report(name, reason, instance_id=claimed, account=account)

    def _hand_over(self, now):
        """Begin a batch: a full one, or after a while since the last one began whatever there is."""
        if self._busy or not (now >= self._handed_over + CONF.conductor_batch_interval
                              or self._turns.has(CONF.conductor_batch_size)):
            return
        if batch := self._turns.take(now, CONF.conductor_batch_size):
            self._busy, self._handed_over = True, now
            self._jobs.put(batch)

    def _settle(self):
        """Acknowledge what was worked on."""
        try:
            batch = self._results.get_nowait()
        except queue.Empty:
            return
        self._busy = False
        for report in batch:
            if report.done and report.generation == self._generation:
                self._channel.basic_ack(report.tag)


def _queue_of(guest):
    return f"{CONF.conductor_queue}.{guest}"


def read(properties, body, queue_of=None):
    """Return the Report in a delivery. queue_of: as of Report. Raises delivery.Refused."""
    size = len(body) if isinstance(body, bytes) else len(body.encode("utf-8", "surrogateescape"))
    delivery.check(properties, properties.get("application_headers"), size, CONF.conductor_report_max_size)
    message = delivery.decode(body, delivery.REQUEST, answered=False)
    return Report(message["method"], message["args"], message.get("_context_origin"), queue_of)
