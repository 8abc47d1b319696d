"""Views of operations: a short form inside the resource that is worked on, and the whole list of steps.

Plain dicts made of rows. No query, no remote call.
"""
import datetime

from trove.common import apischema
from trove.db import models
from trove.operation.models import LIVE_STATES

_string, _text, _time = apischema.string, apischema.or_null(apischema.string), apischema.timestamp
# Inside the view of an instance or a backup: one short line of a client's table.
CURRENT = apischema.view("Operation", {
    "kind": _string, "state": _string, "step": _text, "since": _time}, {"error": _string})
WHOLE = apischema.view("OperationWithSteps", {
    "id": apischema.uuid, "kind": _string, "state": _string, "step": _text, "started": _time,
    "ended": apischema.or_null(_time), "seconds": apischema.number, "request_id": _text,
    "steps": apischema.array(apischema.view("Step", {"name": _string, "seconds": apischema.number}))},
    {"error": _string, "error_step": _text, "replicas": apischema.array(apischema.uuid),
     "volume": apischema.view("VolumeOfOperation", {"size": apischema.integer})})
SHOW = apischema.answer("operation", WHOLE)
LIST = apischema.page("operations", WHOLE)


def _iso(seconds):
    return models.iso(datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None))


def current(operation):
    """Return the short view of an operation: which one, its step, and since when it has been going on.

    operation: models.Operation or models.Current.
    """
    view = {"kind": operation.kind, "state": operation.state, "step": operation.step,
            "since": _iso(operation.created_at)}
    if operation.error:
        view["error"] = operation.error
    return view


def whole(operation, now):
    """Return the view of an operation with the seconds of each finished step.

    operation: models.Operation; now: seconds since the epoch by the database's clock.
    """
    live = operation.state in LIVE_STATES
    view = {
        "id": operation.id, "kind": operation.kind, "state": operation.state, "step": operation.step,
        "started": _iso(operation.created_at), "ended": None if live else _iso(operation.updated_at),
        "seconds": round(max(0.0, (now if live else operation.updated_at) - operation.created_at), 3),
        "request_id": operation.request.get("request_id"),
        "steps": [{"name": entry["step"], "seconds": entry["seconds"]} for entry in operation.data.get("history", ())],
    }
    if operation.error:
        view.update(error=operation.error, error_step=operation.error_step)
    if operation.kind == "instance.resize_volume":
        view.update(volume={"size": operation.args["size"]}, replicas=sorted(operation.args.get("replicas", ())))
    return view
