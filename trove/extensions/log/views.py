"""Logs of an instance as clients see them (rest-api 3.8)."""
from trove.common import apischema
from trove.common.cfg import CONF
from trove.extensions.log import store
from trove.guestagent.api import LOG_STATES

_string, _integer = apischema.string, apischema.integer
_NOTHING = "None"  # clients print it while nothing is published
_LOG = apischema.view("Log", {
    "name": _string, "type": {"enum": ["SYS", "USER"]}, "status": {"enum": list(LOG_STATES)},
    "published": _integer, "pending": _integer, "container": _string, "prefix": _string, "metafile": _string})
LIST = apischema.answer("logs", apischema.array(_LOG))
ITEM = apischema.answer("log", _LOG)


def log(loaded, found):
    """The view of a log.

    loaded: instance.loading.Loaded; found: what its guest says of the log.
    """
    view = {"name": found["name"], "type": found["type"], "status": found["status"],
            "published": int(found["published"]), "pending": max(int(found["pending"]), 0), "container": _NOTHING,
            "prefix": _NOTHING, "metafile": _NOTHING}
    if view["published"] > 0:
        start = store.prefix(loaded.id, loaded.manager, found["name"])
        view.update(container=CONF.guest_log_container_name, prefix=start, metafile=store.metafile(start))
    return view


def unknown(names):
    """The logs that there are, of a guest that cannot be asked now."""
    return [{"name": name, "type": "SYS" if name == "guest" else "USER", "status": "Unavailable", "published": 0,
             "pending": 0, "container": _NOTHING, "prefix": _NOTHING, "metafile": _NOTHING} for name in names]
