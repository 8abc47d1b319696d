"""Whose turn it is: fair between guests, bounded for each, by the clock of the test; and what a delivery must be."""
import json

import pytest

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
