"""Logs of an instance as clients see them (rest-api 3.8).

Guests hold no credentials of the cloud, so nothing can be published: the log of the agent stays in the guest, and the
logs of the database server that the operator exposes stay off.
"""
from trove.common import apischema

_string, _integer = apischema.string, apischema.integer
_NOTHING = "None"  # clients print it while nothing is published
_LOG = apischema.view("Log", {
    "name": _string, "type": {"enum": ["SYS", "USER"]}, "status": {"enum": ["Unavailable", "Disabled"]},
    "published": _integer, "pending": _integer, "container": _string, "prefix": _string, "metafile": _string})
LIST = apischema.answer("logs", apischema.array(_LOG))
ITEM = apischema.answer("log", _LOG)


def logs(exposed):
    """Every log that there is.

    exposed: names of the database server's logs that users may see (option guest_log_exposed_logs), with commas.
    """
    names = [name.strip() for name in exposed.split(",") if name.strip()]
    return [_log("guest", "SYS", "Unavailable"), *(_log(name, "USER", "Disabled") for name in names)]


def _log(name, kind, status):
    return {"name": name, "type": kind, "status": status, "published": 0, "pending": 0, "container": _NOTHING,
            "prefix": _NOTHING, "metafile": _NOTHING}
