"""The proof that a message comes from the guest for which it speaks: made in the guest, checked by the conductor.

HMAC-SHA256 with the guest's own key (``crypto.guest_key``) over the method, its arguments and the time of sending.
Imports nothing heavy: it is part of every guest's start.
"""
import hashlib
import hmac
import json
import math
import time

from trove.common.cfg import CONF


class BadProof(Exception):
    """A message that must be dropped; the text says why, for the log."""


def _canonical(value):
    # There and back first: what the other side gets from the bus has lists for tuples and text for number keys.
    plain = json.loads(json.dumps(value, allow_nan=False))
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def sign(key, method, args, sent):
    """The proof of one message, as hexadecimal text.

    key: the guest's key (text); method: name of the RPC method; args: dict of its other arguments, JSON-able, without
    ``sent`` and the proof; sent: seconds since the epoch (float) by the guest's clock.
    Raises TypeError or ValueError for arguments that JSON cannot carry.
    """
    return hmac.new(key.encode(), _canonical([method, args, float(sent)]), hashlib.sha256).hexdigest()


def verify(key, method, args, sent, proof, now=None):
    """Check the proof and the age of one message.

    key, method, args, sent: as for ``sign``; proof: what came with the message; now: seconds since the epoch.
    Both clocks may differ, and messages may have waited for a conductor: what is older or newer than
    [DEFAULT] message_max_age seconds is refused. Raises BadProof.
    """
    if not isinstance(sent, (int, float)) or isinstance(sent, bool) or not math.isfinite(sent):
        raise BadProof("it does not say when it was sent")
    if not isinstance(proof, str) or not proof.isascii():
        raise BadProof("it carries no proof")
    try:
        expected = sign(key, method, args, sent)
    except (TypeError, ValueError) as error:
        raise BadProof(f"its arguments are not JSON: {error}") from error
    if not hmac.compare_digest(expected, proof):
        raise BadProof("its proof does not fit the instance")
    difference = (time.time() if now is None else now) - sent
    if abs(difference) > CONF.message_max_age:
        raise BadProof(f"it was sent {difference:.0f} s ago by the guest's clock; option message_max_age allows "
                       f"{CONF.message_max_age} s, either way")
