"""Proofs of guests' messages: what fits, what was changed, what is too old."""
import json

import pytest

from trove.common import crypto, envelope

ARGS = {"instance_id": "i-1", "payload": {"service_status": "läuft", "sizes": (1, 2.5), "by_number": {2: "b", 10: "a"}}}
SENT = 1_700_000_000.123456


@pytest.fixture
def key(conf):
    return crypto.guest_key("i-1")


def test_a_proof_holds_after_the_way_over_the_bus(key):
    proof = envelope.sign(key, "heartbeat", ARGS, SENT)
    args, sent = json.loads(json.dumps([ARGS, SENT]))
    envelope.verify(key, "heartbeat", args, sent, proof, now=SENT)


@pytest.mark.parametrize("change", [
    {"method": "report_root"}, {"sent": SENT + 0.001}, {"args": {**ARGS, "payload": {}}}, {"args": {}},
    {"proof": None}, {"proof": ""}, {"proof": "ü"}, {"proof": 7}, {"proof": "0" * 64},
    {"sent": None}, {"sent": "now"}, {"sent": True}, {"sent": float("nan")}, {"sent": float("inf")},
    {"args": {"payload": float("nan")}}, {"args": {"payload": object()}}, {"key": "another"},
])
def test_a_changed_message_is_refused(key, change):
    message = {"key": key, "method": "heartbeat", "args": ARGS, "sent": SENT,
               "proof": envelope.sign(key, "heartbeat", ARGS, SENT), "now": SENT}
    envelope.verify(**message)
    with pytest.raises(envelope.BadProof):
        envelope.verify(**{**message, **change})


@pytest.mark.parametrize(("difference", "fits"), [(0, True), (-600, True), (600, True), (601, False), (-601, False)])
def test_messages_out_of_time_are_refused(conf, key, difference, fits):
    conf.set_override("message_max_age", 600)
    proof = envelope.sign(key, "heartbeat", ARGS, SENT)
    if fits:
        envelope.verify(key, "heartbeat", ARGS, SENT, proof, now=SENT + difference)
    else:
        with pytest.raises(envelope.BadProof, match="message_max_age"):
            envelope.verify(key, "heartbeat", ARGS, SENT, proof, now=SENT + difference)


def test_guests_have_different_keys_that_only_the_deployment_can_make(conf):
    first = crypto.guest_key("i-1")
    assert first == crypto.guest_key("i-1") != crypto.guest_key("i-2")
    conf.set_override("operation_key", ["another key of another deployment"])
    assert crypto.guest_key("i-1") != first
