"""The outermost filter: gives each request an id, makes every error answer one of ours, and logs one line per request.

Named first in the paste file; it knows no token and no route.
"""
import json
import re
import time
import urllib.parse

import webob
from oslo_context import context as oslo_context
from oslo_log import log as logging

from trove.common import exception, wsgi
from trove.common.context import TroveContext

LOG = logging.getLogger(__name__)

REQUEST_ID_KEY = "openstack.request_id"
GLOBAL_REQUEST_ID_KEY = "trove.global_request_id"  # the caller's own id, if it sent one
REQUEST_ID_HEADER = "x-openstack-request-id"
_REQUEST_ID = re.compile(r"req-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z")
# A foreign error answer that is rewritten gets one of our messages and keeps these headers.
_MESSAGES = {error.code: error.message for error in (
    exception.Unauthorized, exception.OverLimit, exception.ServiceUnavailable)}
_KEPT = frozenset(("www-authenticate", "retry-after", "allow"))


class FaultWrapper:
    """Runs the rest of the pipeline; nothing but an answer leaves it."""

    def __init__(self, app):
        self._app = app

    def __call__(self, environ, start_response):
        begun = time.monotonic()
        request_id = environ[REQUEST_ID_KEY] = oslo_context.generate_request_id()
        given = environ.get("HTTP_X_OPENSTACK_REQUEST_ID", "")
        environ[GLOBAL_REQUEST_ID_KEY] = given if _REQUEST_ID.match(given) else None
        # Log lines find the ids through the thread's context; the context filter puts the caller's in its place.
        TroveContext(request_id=request_id, global_request_id=environ[GLOBAL_REQUEST_ID_KEY])
        try:
            status, headers, body = webob.Request(environ).call_application(self._app)
        except Exception as error:  # noqa: BLE001 - the boundary to HTTP
            status, headers, body = webob.Request(environ).call_application(wsgi.error_response(error))
        if status >= "400":
            status, headers, body = _as_fault(status, headers, body, request_id)
        headers = [*headers, (REQUEST_ID_HEADER, request_id)]
        LOG.info("%s %s %s in %.1f ms", environ["REQUEST_METHOD"], _quoted_path(environ), status[:3],
                 (time.monotonic() - begun) * 1000)
        start_response(status, headers)
        return body


def _quoted_path(environ):
    """The path as it was on the wire: a line feed in it must not begin a line of the log."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return urllib.parse.quote(path.encode("latin-1"), safe="/@:")


def filter_factory(_global_conf, **_local_conf):
    """Paste filter factory."""
    return FaultWrapper


def _as_fault(status, headers, body, request_id):
    """An error answer with the request's id in its body; one that has not the contract's shape (token middleware,
    WebOb) is rewritten to it.
    """
    content = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    code, _, reason = status.partition(" ")
    fault = _read_fault(int(code), content)
    if fault is None:
        headers = [(name, value) for name, value in headers if name.lower() in _KEPT]
        fault = {"code": int(code), "message": _MESSAGES.get(int(code), f"{reason or 'Error'}.")}
    kept = {name: value for name, value in headers if name.lower() not in ("content-length", "content-type")}
    answer = wsgi.Result({wsgi.fault_key(int(code)): {**fault, "request_id": request_id}}, status, kept).response()
    return answer.status, answer.headerlist, [answer.body]


def _read_fault(code, content):
    """What is in a body of the contract's shape, or None for another body."""
    try:
        value = json.loads(content)
    except ValueError:
        return None
    if not isinstance(value, dict) or list(value) != [wsgi.fault_key(code)]:
        return None
    return value[wsgi.fault_key(code)]
