"""Which request a command to a guest belongs to, sealed: the guest hands it back with its reports and can make none up.

Sealed where a command is sent (``guestagent.api``), opened by the conductor. Never imported by a guest.
"""
import hmac
import json
import time
from typing import NamedTuple

from trove.common import crypto


class Origin(NamedTuple):
    """request_id; trace: trace_info of the context or None."""

    request_id: str
    trace: dict | None


def _seals_of(instance_id, values):
    return crypto.seals(json.dumps(["origin", instance_id, values], sort_keys=True, separators=(",", ":")))


def seal(instance_id, context, seconds):
    """The origin of a command, as a dict for the bus.

    context: TroveContext of the request; seconds: for how long the guest may refer to it.
    """
    values = {**Origin(context.request_id, context.trace_info)._asdict(), "until": time.time() + seconds}
    return {**values, "seal": _seals_of(instance_id, values)[0]}


def unseal(instance_id, origin, now=None):
    """The Origin that a guest handed back; None when it is not that guest's or too old.

    origin: anything that came over the bus; now: seconds since the epoch.
    """
    if not isinstance(origin, dict):
        return None
    values = {name: origin.get(name) for name in (*Origin._fields, "until")}
    try:
        given = str(origin.get("seal")).encode()
        genuine = any(hmac.compare_digest(seal.encode(), given) for seal in _seals_of(instance_id, values))
    except (TypeError, ValueError):
        return None
    if not genuine:
        return None
    if (time.time() if now is None else now) > values["until"]:
        return None
    return Origin(*(values[name] for name in Origin._fields))
