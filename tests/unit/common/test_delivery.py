"""The checks of what arrives on the bus, kind by kind; every input is harmless by itself."""
import json

import pytest

from trove.common import delivery, security

LIMIT = 4096
PLAIN = {"content_type": "application/json", "content_encoding": "utf-8"}
REQUEST = {"method": "heartbeat", "args": {"instance_id": "i1"}, "version": "1.0", "_unique_id": "a" * 32}
CALL = {**REQUEST, "_msg_id": "b" * 32, "_reply_q": "reply_" + "0" * 32, "_timeout": None}
REPLY = {"result": 1, "failure": None, "ending": True, "_msg_id": "b" * 32, "_unique_id": "a" * 32}


def packed(message, version="2.0"):
    """The body that oslo.messaging makes of a message."""
    return json.dumps({"oslo.version": version, "oslo.message": json.dumps(message)}).encode()


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(("header", "body", "fits"), [
    (100, LIMIT, True), (delivery.LONGEST_HEADER, 0, True),
    (100, LIMIT + 1, False), (delivery.LONGEST_HEADER + 1, 10, False), (10, 100 * 1024 * 1024, False)])
def test_sizes(header, body, fits):
    if fits:
        delivery.check_frame(header, body, LIMIT)
        return
    with pytest.raises(delivery.Refused) as caught:
        delivery.check_frame(header, body, LIMIT)
    assert caught.value.name == "message.too_large"


@pytest.mark.parametrize("headers", [None, {}, {"x-death": []}])
def test_properties_of_genuine_messages(headers):
    delivery.check({**PLAIN, "delivery_mode": 2, "user_id": "guest-1"}, headers, 10, LIMIT)


@pytest.mark.parametrize(("properties", "headers", "size", "reason"), [
    ({**PLAIN, "content_type": "application/x-python-serialize"}, None, 10, "content type"),
    ({**PLAIN, "content_type": "application/data"}, None, 10, "content type"),
    ({"content_encoding": "utf-8"}, None, 10, "content type"),
    ({**PLAIN, "content_encoding": "binary"}, None, 10, "content encoding"),
    ({"content_type": "application/json"}, None, 10, "content encoding"),
    (PLAIN, {"compression": "application/x-gzip"}, 10, "header 'compression'"),
    (PLAIN, {"compression": "nonsense"}, 10, "header 'compression'"),
    (PLAIN, {"other": 1}, 10, "header 'other'"),
    (PLAIN, None, 0, "empty"),
    (PLAIN, None, LIMIT + 1, "at most 4096"),
])
def test_properties_that_are_refused(properties, headers, size, reason):
    with pytest.raises(delivery.Refused, match=reason) as caught:
        delivery.check(properties, headers, size, LIMIT)
    assert caught.value.name in security.KINDS


@pytest.mark.parametrize(("message", "expected"), [
    (REQUEST, delivery.REQUEST), (CALL, delivery.REQUEST), (REPLY, delivery.REPLY),
    ({**REPLY, "result": None, "failure": "{}"}, delivery.REPLY),
    ({**REQUEST, "args": {"text": "a\\u0000b is not the character, Ünicode 🎉 is fine"}}, delivery.REQUEST),
    ({**REQUEST, "args": {"deep": nested(delivery.LONGEST_DEPTH - 3)}}, delivery.REQUEST),
    ({**REQUEST, "args": {"numbers": [1] * 4000}}, delivery.REQUEST),
    ({**REQUEST, "args": {"segments": [["instance/backup_00000001", 16777216, "0" * 32]] * 10000}}, delivery.REQUEST),
], ids=["cast", "call", "reply", "failure", "backslashes", "deep enough", "many values", "many segments"])
def test_messages_are_decoded(message, expected):
    assert delivery.decode(packed(message), expected) == message


@pytest.mark.parametrize(("body", "reason"), [
    (b"", "not JSON"), (b"\xff\xfe", "not UTF-8"), (b"{", "not JSON"), (b"[]", "no envelope"), (b"1", "no envelope"),
    (json.dumps(REQUEST).encode(), "no envelope"), (packed(REQUEST, "3.0"), "version 2.0"),
    (packed(REQUEST, None), "version 2.0"), (b'{"oslo.version": "2.0", "oslo.message": {}}', "version 2.0"),
    (packed([]), "list, not a dict"), (packed(None), "NoneType, not a dict"),
    (b'{"oslo.version": "2.0", "oslo.message": "{"}', "not JSON"),
    (packed({**REQUEST, "args": {"n": float("nan")}}), "NaN"),
    (packed({**REQUEST, "args": {"n": float("inf")}}), "Infinity"),
    (packed({**REQUEST, "args": {"n": 12345.5}}).replace(b"12345.5", b"1e999"), "1e999"),
    (packed({**REQUEST, "args": {"n": 12345.5}}).replace(b"12345.5", b"-1e999"), "-1e999"),
    (packed({**REQUEST, "args": {"deep": nested(delivery.LONGEST_DEPTH)}}), "nested deeper"),
    (packed({**REQUEST, "args": {"n": [1] * 20000}}), "too many for its size"),
    (packed({**REQUEST, "args": {"n": [[]] * 20000}}), "too many for its size"),
    (packed({**REQUEST, "args": {"text": "\ud800"}}), "surrogate"),
    (packed({**REQUEST, "args": {"\udfff": 1}}), "surrogate"),
    (packed({**REQUEST, "args": {"text": "a\0b"}}), "NUL"),
    (packed({**REQUEST, "args": {"text": "\\\0"}}), "NUL"),
    (packed({**REQUEST, "args": {"a\0": 1}}), "NUL"),
    (packed({key: value for key, value in REQUEST.items() if key != "method"}), "names no method"),
    (packed({**REQUEST, "method": 5}), "names no method"), (packed({**REQUEST, "method": "a b"}), "names no method"),
    (packed({**REQUEST, "method": "m" * 65}), "names no method"),
    (packed({**REQUEST, "args": [1]}), "no dict"), (packed({**REQUEST, "args": None}), "no dict"),
    (packed({**REQUEST, "version": 1}), "version"), (packed({**REQUEST, "version": "1.x"}), "version"),
    (packed({**REQUEST, "namespace": "x"}), "namespace"), (packed({**REQUEST, "_timeout": 5}), "signs of life"),
    (packed({**REQUEST, "more": 1}), "no such field"), (packed({**REQUEST, "_context_self": 1}), "no such field"),
    (packed({**REQUEST, "_context_A-1": 1}), "no such field"),
    (packed({**REQUEST, "_unique_id": {}}), "_unique_id"), (packed({**CALL, "_msg_id": [1]}), "_msg_id"),
    (packed({**CALL, "_msg_id": "x" * 65}), "_msg_id"),
])
def test_bodies_that_are_refused(body, reason):
    with pytest.raises(delivery.Refused, match=reason) as caught:
        delivery.decode(body)
    assert caught.value.name in ("message.malformed", "message.too_large")


@pytest.mark.parametrize("queue", [
    "trove-conductor", "guestagent.i1", "reply_", "reply_" + "0" * 31, "reply_" + "0" * 33, "reply_" + "G" * 32,
    "reply_" + "0" * 32 + "\n", "xreply_" + "0" * 32, 5, ["reply_"], None, "", "reply_host:process:1"])
def test_reply_queues_that_are_refused(queue):
    with pytest.raises(delivery.Refused, match="name of a reply queue") as caught:
        delivery.decode(packed({**CALL, "_reply_q": queue}))
    assert caught.value.name == "message.reply_refused"


def test_a_reply_queue_without_an_id_is_refused():
    with pytest.raises(delivery.Refused, match="name of a reply queue"):
        delivery.decode(packed({**CALL, "_msg_id": None}))


def test_who_never_answers_refuses_calls():
    with pytest.raises(delivery.Refused, match="never answers") as caught:
        delivery.decode(packed(CALL), answered=False)
    assert caught.value.name == "message.reply_refused"
    assert delivery.decode(packed(REQUEST), answered=False) == REQUEST


@pytest.mark.parametrize("change", [
    {"_msg_id": None}, {"_msg_id": 5}, {"ending": "yes"}, {"failure": {"class": "x"}}, {"_unique_id": 1}, {"more": 1},
    {"_context_a": 1}, {"failure": "x"}, {"failure": "[]"}, {"failure": json.dumps({"message": "\ud800"})},
    {"failure": json.dumps({"message": "a\0"})}, {"failure": json.dumps({"args": nested(40)})},
    {"failure": json.dumps({"args": [[]] * 10000})}])
def test_replies_that_are_refused(change):
    with pytest.raises(delivery.Refused):
        delivery.decode(packed({**REPLY, **change}), delivery.REPLY)


def test_a_request_is_no_reply():
    with pytest.raises(delivery.Refused):
        delivery.decode(packed(REQUEST), delivery.REPLY)
    with pytest.raises(delivery.Refused):
        delivery.decode(packed(REPLY), delivery.REQUEST)


def test_what_is_cleaned_is_taken():
    dirty = {"a\0": ["\ud800", ("b\0", 1, None, True)], "fine": "Ü🎉"}
    clean = delivery.clean(dirty)
    assert clean == {"a?": ["?", ["b?", 1, None, True]], "fine": "Ü🎉"}
    delivery.check_texts(clean)
    with pytest.raises(delivery.Refused):
        delivery.check_texts(dirty)


def test_text_bodies_are_decoded_like_bytes():
    assert delivery.decode(packed(REQUEST).decode()) == REQUEST
