"""The proof that a message is genuine: of a guest's report for the conductor, of a command for a guest's agent.

HMAC-SHA256 with the guest's own key (``crypto.guest_key``) over the method, its arguments and the time of sending; of
a command also over its order: an id that is used once, its sender, its number there, and for how long it is valid.
Imports nothing heavy: it is part of every guest's start.
"""
import dataclasses
import hashlib
import hmac
import itertools
import json
import re
import time
import uuid

from trove.common.cfg import CONF

# As ``crypto.guest_key`` writes it.
_GENERATION = re.compile(r"([1-9][0-9]{0,8})\.")


class BadProof(Exception):
    """A message that must be dropped; the text says why. event: name of the security event that it is."""

    def __init__(self, text, event="message.malformed"):
        super().__init__(text)
        self.event = event


class Replayed(BadProof):
    """A genuine command that came before. Its sender has its answer already, or gets it from the first one."""


class OutOfTime(BadProof):
    """A genuine command outside of its validity. difference: seconds by which it is older than this clock says."""

    def __init__(self, text, difference):
        super().__init__(text)
        self.difference = difference


@dataclasses.dataclass(frozen=True)
class Order:
    """The fields that make a command unique.

    id: hexadecimal text; sender: id of the process that sent it; number: counts the commands of that process; sent:
    seconds since the epoch by the sender's clock; valid: seconds from then on.
    """

    id: str
    sender: str
    number: int
    sent: float
    valid: float


_sender = uuid.uuid4().hex
_numbers = itertools.count(1)


def new_order(valid):
    """The order of a command that this process sends now. valid: seconds."""
    return Order(uuid.uuid4().hex, _sender, next(_numbers), time.time(), float(valid))


def _canonical(value):
    # There and back first: what the other side gets from the bus has lists for tuples and text for number keys.
    plain = json.loads(json.dumps(value, allow_nan=False))
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def _proof(key, value):
    made = hmac.new(key.encode(), _canonical(value), hashlib.sha256).hexdigest()
    generation = generation_of(key)
    return f"{generation}.{made}" if generation else made


def _check_proof(key, value, proof):
    if not isinstance(proof, str) or not proof.isascii():
        raise BadProof("it carries no proof")
    try:
        expected = _proof(key, value)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadProof(f"its arguments are not JSON: {error}") from error
    if not hmac.compare_digest(expected, proof):
        raise BadProof("its proof does not fit the instance", "message.forged")


def _is_number(value):
    return type(value) in (int, float) and -2 ** 63 < value < 2 ** 63  # also keeps out NaN and infinities


def sign(key, method, args, sent):
    """The proof of one report, as hexadecimal text, after the generation of the key if that names one.

    key: the guest's key (text); method: name of the RPC method; args: dict of its other arguments, JSON-able, without
    ``sent`` and the proof; sent: seconds since the epoch (float) by the guest's clock.
    Raises TypeError or ValueError for arguments that JSON cannot carry.
    """
    return _proof(key, [method, args, float(sent)])


def generation_of(text):
    """Return the generation that a key or a proof names, 0 for none; any value of ``text`` is allowed."""
    found = _GENERATION.match(text) if isinstance(text, str) else None
    return int(found[1]) if found else 0


def verify(key, method, args, sent, proof, now=None):
    """Check the proof and the age of one report.

    key, method, args, sent: as for ``sign``; proof: what came with the message; now: seconds since the epoch.
    Both clocks may differ, and messages may have waited for a conductor: what is older or newer than
    [DEFAULT] message_max_age seconds is refused. Raises BadProof.
    """
    if not _is_number(sent):
        raise BadProof("it does not say when it was sent")
    _check_proof(key, [method, args, float(sent)], proof)
    difference = (time.time() if now is None else now) - sent
    if abs(difference) > CONF.message_max_age:
        raise BadProof(f"it was sent {difference:.0f} s ago by the guest's clock; option message_max_age allows "
                       f"{CONF.message_max_age} s, either way", "message.replayed")


def sign_command(key, method, args, order, next_key=None):
    """Return the dict that is sent with one command: its order and its proof.

    key, method, args: as for ``sign``; order: Order.

    next_key: the new key of the guest while its key is replaced; a proof made with it is added.
    Raises TypeError or ValueError for arguments that JSON cannot carry.
    """
    ordered = dataclasses.asdict(order)
    value = ["command", method, args, ordered]
    return {**ordered, "proof": _proof(key, value), **({"next_proof": _proof(next_key, value)} if next_key else {})}


def verify_command(key, method, args, given):
    """Check the proof of one command and return its Order. ``check_age`` checks its age.

    key, method, args: as for ``sign``; given: the value that came with the command, of any type. Raises BadProof.
    """
    given = given if isinstance(given, dict) else {}
    ordered = {field.name: given.get(field.name) for field in dataclasses.fields(Order)}
    if not all(_is_number(ordered[name]) for name in ("number", "sent", "valid")):
        raise BadProof("it does not say when it was sent")
    # Of two proofs that one counts whose generation is the key's.
    name = "next_proof" if generation_of(given.get("next_proof")) == generation_of(key) != 0 else "proof"
    _check_proof(key, ["command", method, args, ordered], given.get(name))
    return Order(**ordered)


def check_age(order, now=None):
    """Refuse a command that was sent longer ago, or further in the future, than it is valid.

    order: Order; now: seconds since the epoch, None means the present. Raises OutOfTime."""
    difference = (time.time() if now is None else now) - order.sent
    if abs(difference) > order.valid:
        raise OutOfTime(f"by this guest's clock it was sent {abs(difference):.0f} s "
                        f"{'ago' if difference > 0 else 'in the future'} and is valid for {order.valid:.0f} s; it "
                        "waited too long, came again, or the clock of the guest is wrong", difference)
