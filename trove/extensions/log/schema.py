"""JSON schema of the body that says what to do with a log; it has no wrapper."""
from trove.common import apischema
from trove.common.apischema import compiled, or_null

_flag = or_null(apischema.flag)
action = compiled({"type": "object", "required": ["name"], "properties": {
    "name": apischema.text255, **dict.fromkeys(("enable", "disable", "publish", "discard"), _flag)}})
