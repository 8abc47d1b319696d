"""Whose turn it is: fair between guests, bounded for each, by the clock of the test; and what a delivery must be."""
import json

import pytest

from trove import rpc
from trove.common import delivery
from trove.conductor import intake


def turns_of(*guests, rate=1.0, burst=3, each=10):
    turns = intake.Turns(rate, burst)
    for guest in guests:
        for number in range(each):
            turns.add(guest, f"{guest}{number}", 0.0)
    return turns


def test_one_of_each_guest_in_turn():
    assert turns_of("a", "b", "c").take(0.0, 5) == ["a0", "b0", "c0", "a1", "b1"]


def test_who_has_spent_its_tokens_rests_and_the_others_go_on():
    turns = turns_of("a")
    assert turns.take(0.0, 100) == ["a0", "a1", "a2"]
    assert turns.rests("a")
    turns.add("b", "b0", 0.1)
    assert turns.take(0.1, 100) == ["b0"]
    assert turns.pause(0.5) == pytest.approx(0.5)
    assert turns.take(0.5, 100) == []
    assert turns.take(1.0, 100) == ["a3"]
    assert turns.take(3.0, 100) == ["a4", "a5"]


def test_tokens_grow_up_to_the_burst():
    turns = turns_of("a")
    turns.take(0.0, 100)
    assert turns.take(1000.0, 100) == ["a3", "a4", "a5"]


def test_what_a_guest_spent_is_not_forgotten_with_its_connection():
    turns = turns_of("a")
    turns.take(0.0, 100)
    turns.clear()
    assert len(turns) == 0 and turns.pause(0.0) is None
    turns.add("a", "again", 0.5)
    assert turns.take(0.5, 100) == []
    assert turns.take(1.0, 100) == ["again"]


def test_a_guest_that_rests_long_is_forgotten():
    turns = turns_of("a", each=1)
    turns.take(0.0, 100)
    turns.forget_idle(0.5)
    assert turns._tokens
    turns.forget_idle(10.0)
    assert not turns._tokens


def test_the_oldest_is_dropped():
    turns = turns_of("a", each=2)
    assert turns.drop_oldest("a") == "a0"
    assert turns.take(0.0, 100) == ["a1"]


def test_no_guest_is_left_out_however_many_there_are():
    turns = intake.Turns(5.0, 30)
    for number in range(1000):
        turns.add("flood", number, 0.0)
    for number in range(500):
        turns.add(f"g{number}", number, 0.0)
    taken = turns.take(0.0, 501)
    assert len(set(taken[1:])) == 500


def test_a_batch_begins_when_it_is_full_or_after_a_while(conf):
    conf.set_override("conductor_batch_interval", 0.1)
    conf.set_override("conductor_batch_size", 3)
    reader = intake.Intake(None)

    def hand_over(now, *guests):
        """Let guests report at that time; returns the size of the batch that begins, and ends it."""
        for guest in guests:
            reader._turns.add(guest, guest, now)
        reader._hand_over(now)
        reader._busy = False
        return 0 if reader._jobs.empty() else len(reader._jobs.get())
    assert hand_over(100.0, "a") == 1  # nobody waits when there is little to do
    assert hand_over(100.05, "b") == 0
    assert hand_over(100.06, "c", "d") == 3
    assert hand_over(100.07, "e") == 0
    assert hand_over(100.17) == 1


PROPERTIES = {"content_type": "application/json", "content_encoding": "utf-8"}


def body(**changes):
    message = {"method": "heartbeat", "args": {"instance_id": "i-1"}, "version": "1.0", "_context_origin": {"a": 1},
               **changes}
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)}).encode()


def test_a_report_is_read(conf):
    report = intake.read(PROPERTIES, body(), "i-1")
    assert (report.method, report.claimed, report.origin, report.account) == ("heartbeat", "i-1", {"a": 1}, "guest-i-1")
    assert intake.read(PROPERTIES, body(args={"instance_id": 5})).claimed is None
    assert intake.read(PROPERTIES, body()).account is None


@pytest.mark.parametrize(("properties", "content", "name"), [
    ({}, body(), "message.malformed"),
    (PROPERTIES, b"x", "message.malformed"),
    (PROPERTIES, body(args=[]), "message.malformed"),
    (PROPERTIES, body(_msg_id="m", _reply_q="reply_" + 32 * "0"), "message.reply_refused"),
    (PROPERTIES, body(args={"instance_id": "i-1", "payload": "x" * 300000}), "message.too_large"),
])
def test_what_is_no_report_is_refused(conf, properties, content, name):
    with pytest.raises(delivery.Refused) as caught:
        intake.read(properties, content, "i-1")
    assert caught.value.name == name


class Broker:
    """Queues at a broker as a connection of the intake sees them. ``waits``: how often somebody waited for it."""

    def __init__(self, queues):
        self.queues, self.waits, self.consumed = set(queues), 0, []

    def channel(self):
        """Open a channel."""
        self.waits += 1
        return Channel(self)


class Channel:
    """A channel, which the broker closes at the first queue that is not there."""

    def __init__(self, broker):
        self._broker, self._failed = broker, False

    def queue_declare(self, name, passive, nowait=False):
        """Ask for a queue."""
        assert passive
        self._failed |= name not in self._broker.queues
        if not nowait:
            self._broker.waits += 1
            if self._failed:
                self._failed = False  # the library opens the same channel again
                raise rpc.NO_SUCH_QUEUE("no such queue")

    def basic_consume(self, name, **options):
        """Read from a queue."""
        assert name in self._broker.queues and options["nowait"]
        self._broker.consumed.append(name)

    def basic_cancel(self, guest, nowait):
        """Stop that."""
        self._broker.consumed.remove(f"trove-conductor.{guest}")


def followed(conf, guests, missing=()):
    """Let an intake follow the list of its guests until it is through; returns it and its broker."""
    broker = Broker(f"trove-conductor.{guest}" for guest in guests if guest not in missing)
    reader = intake.Intake(None)
    reader._connection, reader._channel, reader._probe = broker, Channel(broker), Channel(broker)
    reader._wanted = frozenset(guests)
    while reader._follow(100.0):
        pass
    return reader, broker


def test_ten_thousand_queues_are_subscribed_to_in_fifty_waits(conf):
    """Not one for each: the broker is asked for 200 at once."""
    guests = [f"g{number}" for number in range(10000)]
    _reader, broker = followed(conf, guests)
    assert sorted(broker.consumed) == sorted(f"trove-conductor.{guest}" for guest in guests)
    assert broker.waits == 50


def test_one_missing_queue_costs_some_waits_and_no_other_guest(conf):
    guests = [f"g{number}" for number in range(200)]
    reader, broker = followed(conf, guests, missing={"g7"})
    assert len(broker.consumed) == 199
    assert broker.waits < 30
    waits = broker.waits
    assert not reader._follow(100.1) and broker.waits == waits  # not looked for again at once
    broker.queues.add("trove-conductor.g7")
    reader._wanted = frozenset(guests)
    assert not reader._follow(100.2) and broker.waits == waits  # a new list of the same guests changes nothing
    assert not reader._follow(101.0)
    assert len(broker.consumed) == 200


def test_a_list_that_has_not_changed_costs_nothing(conf, monkeypatch):
    """It is followed for each report that comes."""
    reader, _broker = followed(conf, [f"g{number}" for number in range(100)])

    class Untouched(set):
        """Fails whoever looks at all of it."""

        def __iter__(self):
            raise AssertionError("all guests were looked at")
        __eq__ = __sub__ = __rsub__ = lambda *_: pytest.fail("all guests were looked at")
        __hash__ = None
    reader._consumed = Untouched(reader._consumed)
    assert not reader._follow(100.0)


def test_queues_of_guests_that_are_gone_are_left(conf):
    reader, broker = followed(conf, ["a", "b"])
    reader._wanted = frozenset(["b", "c"])
    broker.queues.add("trove-conductor.c")
    assert not reader._follow(100.0)
    assert sorted(broker.consumed) == ["trove-conductor.b", "trove-conductor.c"]
