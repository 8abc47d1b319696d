"""Checks of a delivery from the bus, made before anything in it is decoded or trusted. Pure: no broker, no state.

Three steps, each of which raises ``Refused``; whoever receives messages calls them in this order:

    check_frame(header_size, body_size, limit)     sizes only, before the header is parsed and the body is kept
    check(properties, headers, body_size, limit)   content type, content encoding, headers
    decode(body, REQUEST or REPLY, answered)       returns the message of oslo.messaging as a dict that is safe to use

The receiver rejects a refused delivery once, without requeueing it, and calls
``security.report(error.name, error.reason)``. ``trove.common.transport`` does both for everything that arrives through
oslo.messaging.

``decode`` guarantees: strict UTF-8 and JSON, no number that is not finite, no NUL and no lone
surrogate in any text, at most LONGEST_DEPTH levels, and values in proportion to its size; ``method`` is a text and
``args`` a dict (requests); the fields that oslo.messaging reads itself have the types that it expects.
"""
import json
import math
import re

REQUEST, REPLY = "request", "reply"
# Names that oslo.messaging gives to the queues of those who wait for answers (without [oslo_messaging_rabbit]
# use_queue_manager, which is not supported).
REPLY_QUEUE = re.compile(r"reply_[0-9a-f]{32}")
# Bytes of the properties and headers of one delivery. They are parsed recursively, so this bounds their depth as well.
LONGEST_HEADER = 2048
# Levels of nested lists and dicts.
LONGEST_DEPTH = 32
# A message may have one value for this many bytes, and FEW_VALUES in any case: many tiny values take 30 times the
# memory of their text. The list of a backup's segments, the longest genuine one, has one value in 29 bytes.
BYTES_PER_VALUE, FEW_VALUES = 16, 4096
# Headers that a broker adds by itself when it moves a message.
_KNOWN_HEADERS = frozenset({"x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason",
                            "x-last-death-exchange", "x-last-death-queue", "x-last-death-reason", "x-delivery-count"})
_ENVELOPE_VERSION = "2.0"
_VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}")
_METHOD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LONGEST_ID = 64
_REQUEST_FIELDS = frozenset({"method", "args", "version", "namespace", "_unique_id", "_msg_id", "_reply_q", "_timeout"})
_REPLY_FIELDS = frozenset({"result", "failure", "ending", "_unique_id", "_msg_id"})
# Fields of the context. The library makes keyword arguments of them.
_CONTEXT_FIELD = re.compile(r"_context_(?!self$)[a-z_]{1,64}")


class Refused(Exception):
    """A delivery that must be rejected. name: a key of ``security.KINDS``; reason: sentence for the log."""

    def __init__(self, name, reason):
        super().__init__(reason)
        self.name = name
        self.reason = reason


def _malformed(reason):
    return Refused("message.malformed", reason)


def check_frame(header_size, body_size, limit):
    """Check the sizes of a delivery, in bytes: of its header frame and of its body. limit: largest body that is taken.

    Raises Refused.
    """
    if body_size > limit:
        raise Refused("message.too_large", f"its body has {body_size} bytes; at most {limit} are taken")
    if header_size > LONGEST_HEADER:
        raise Refused("message.too_large", f"its header has {header_size} bytes; at most {LONGEST_HEADER} are taken")


def check(properties, headers, body_size, limit):
    """Check the properties of a delivery before its body is decoded.

    properties: dict of AMQP properties (``content_type``, ``content_encoding``, ...); headers: dict of its application
    headers, or None; body_size, limit: bytes. Raises Refused; a header that asks for decompression is refused.
    """
    if body_size > limit:
        raise Refused("message.too_large", f"its body has {body_size} bytes; at most {limit} are taken")
    if body_size == 0:
        raise _malformed("its body is empty")
    if properties.get("content_type") != "application/json":
        raise _malformed(f"its content type is {properties.get('content_type')!r}, not application/json")
    if properties.get("content_encoding") != "utf-8":
        raise _malformed(f"its content encoding is {properties.get('content_encoding')!r}, not utf-8")
    for name in headers or {}:
        if name not in _KNOWN_HEADERS:
            raise _malformed(f"it has the header {name!r}; messages have none")


def decode(body, expected=REQUEST, answered=True):
    """Return the message in ``body`` as the dict that oslo.messaging would make of it.

    body: bytes or text, after ``check``; expected: REQUEST or REPLY; answered: whether the receiver answers requests
    at all. Raises Refused.
    """
    most = max(FEW_VALUES, len(body) // BYTES_PER_VALUE)
    bracket, brace = ("[", "{") if isinstance(body, str) else (b"[", b"{")
    if body.count(bracket) + body.count(brace) > most:
        raise _too_many(most)
    envelope = _load(body, "its body")
    if not isinstance(envelope, dict) or set(envelope) != {"oslo.version", "oslo.message"}:
        raise _malformed("it has no envelope with oslo.version and oslo.message")
    if envelope["oslo.version"] != _ENVELOPE_VERSION or not isinstance(envelope["oslo.message"], str):
        raise _malformed(f"its envelope is not of version {_ENVELOPE_VERSION} with a text inside")
    message = _load(envelope["oslo.message"], "the message in its envelope")
    if not isinstance(message, dict):
        raise _malformed(f"the message in its envelope is {type(message).__name__}, not a dict")
    _check_extent(message, most)
    check_texts(message)
    _check_id(message, "_unique_id")
    if expected == REPLY:
        _check_fields(message, _REPLY_FIELDS)
        _check_reply(message)
    else:
        _check_fields(message, _REQUEST_FIELDS)
        _check_request(message, answered)
    return message


def _no_constant(name):
    raise _malformed(f"it contains {name}, which is no JSON")


def _float(text):
    value = float(text)
    if not math.isfinite(value):
        raise _malformed(f"it contains the number {text[:_LONGEST_ID]}, which is too large")
    return value


def _load(text, where):
    try:
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text, parse_constant=_no_constant,
                          parse_float=_float)
    except UnicodeDecodeError as error:
        raise _malformed(f"{where} is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise _malformed(f"{where} is nested deeper than {LONGEST_DEPTH} levels") from None
    except ValueError as error:
        raise _malformed(f"{where} is not JSON: {error}") from None


def _too_many(most):
    return Refused("message.too_large", f"it has more than {most} values, too many for its size")


def _check_extent(message, most):
    level, values = [message], 0
    for _ in range(LONGEST_DEPTH):
        values += len(level)
        if values > most:
            raise _too_many(most)
        level = [inner for outer in level if isinstance(outer, (dict, list))
                 for inner in (outer.values() if isinstance(outer, dict) else outer)]
        if not level:
            return
    raise _malformed(f"it is nested deeper than {LONGEST_DEPTH} levels")


def check_texts(message):
    """Refuse NUL and lone surrogates in the texts of a JSON-able value: no database takes them. Raises Refused."""
    text = json.dumps(message, ensure_ascii=False)
    # In JSON a backslash of a text is doubled, so an odd number of them begins an escape.
    if "\\u0000" in text and re.search(r"(?<!\\)(?:\\\\)*\\u0000", text):
        raise _malformed("it contains a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _malformed("it contains a lone surrogate, which is no character") from None


def clean(value):
    """The JSON-able ``value`` with a question mark for each character that ``check_texts`` refuses."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "?")
    if isinstance(value, dict):
        return {clean(name): clean(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(inner) for inner in value]
    return value


def _check_fields(message, known):
    for name in message:
        if name not in known and not (known is _REQUEST_FIELDS and _CONTEXT_FIELD.fullmatch(name)):
            raise _malformed(f"it has a field {name[:_LONGEST_ID]!r}; there is no such field")


def _check_id(message, name, required=False):
    value = message.get(name)
    if value is None and not required:
        return
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID:
        raise _malformed(f"its {name} is no text of at most {_LONGEST_ID} characters")


def _check_reply(message):
    _check_id(message, "_msg_id", required=True)
    if not isinstance(message.get("ending", False), bool):
        raise _malformed("its field ending is neither true nor false")
    if "failure" not in message:
        raise _malformed("it is no answer: it has no field failure")
    failure = message["failure"]
    if failure is None:
        return
    # JSON once more, which the library decodes when somebody waits for it.
    decoded = _load(failure, "its failure") if isinstance(failure, str) else None
    if not isinstance(decoded, dict):
        raise _malformed("its failure is no JSON object in a text")
    _check_extent(decoded, max(FEW_VALUES, len(failure) // BYTES_PER_VALUE))
    check_texts(decoded)


def _check_request(message, answered):
    method = message.get("method")
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise _malformed("it names no method")
    if not isinstance(message.get("args"), dict):
        raise _malformed(f"the args of {method} are no dict")
    if not isinstance(message.get("version"), str) or not _VERSION.fullmatch(message["version"]):
        raise _malformed(f"the version of {method} is no number like 1.0")
    if message.get("namespace") is not None:
        raise _malformed(f"{method} has a namespace; no method has one")
    if message.get("_timeout") is not None:
        raise _malformed(f"{method} asks for signs of life while it is worked on; nobody sends them")
    _check_id(message, "_msg_id")
    queue = message.get("_reply_q")
    if queue is None and message.get("_msg_id") is None:
        return
    if not answered:
        raise Refused("message.reply_refused", f"{method} asks for an answer, and this service never answers")
    if message.get("_msg_id") is None or not isinstance(queue, str) or not REPLY_QUEUE.fullmatch(queue):
        raise Refused("message.reply_refused", f"{method} asks for an answer to {str(queue)[:_LONGEST_ID]!r}, which is "
                                               "not the name of a reply queue")
