"""Requests, controllers and faults of the API: the only place where an error becomes HTTP.

A controller method gets ``(req, **path arguments)`` (and ``body`` where the request has one), and returns a dict, None
for an empty answer, or a Result. Its ``apischema.contract`` says what bodies it takes and which status its answer has.
"""
import json
import logging as std_logging
import re
import uuid
from urllib import parse

import webob
import webob.dec
import webob.exc
from oslo_log import log as logging
from oslo_middleware import HTTPProxyToWSGI

from trove.common import apischema, exception
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)

CONTEXT_KEY = "trove.context"
ROUTE_KEY = "trove.route"  # (name of the controller's method, variables of the path)
# HTTP status -> the one top-level key of an error body.
FAULT_KEYS = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
    406: "notAcceptable", 409: "conflict", 413: "overLimit", 415: "badMediaType", 422: "unprocessableEntity",
    500: "instanceFault", 501: "notImplemented", 503: "serviceUnavailable",
}
_MEDIA_TYPES = ("application/json", "application/vnd.openstack.trove+json")

# What cannot be stored as text can reach a JSON string only as one of these escapes.
_ODD_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def _is_text(value):
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)


def _texts(value):
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


class Request(webob.Request):
    """A webob request that knows its context, its JSON body and its page."""

    @property
    def context(self):
        """The TroveContext that the context middleware made."""
        return self.environ[CONTEXT_KEY]

    def json_object(self):
        """The body as a dict; {} when there is none.

        Raises UnsupportedMediaType for another content type, BadRequest for what is not a JSON object, OverLimit for
        more than max_request_body_size bytes.
        """
        longest = CONF.max_request_body_size
        try:
            body = self.body_file.read(longest + 1)
        except OSError:
            raise exception.BadRequest("The body is shorter than announced.") from None
        if len(body) > longest:
            raise exception.OverLimit(f"The body is longer than {longest} bytes.")
        if not body:
            return {}
        if self.content_type and self.content_type != "application/json":
            raise exception.UnsupportedMediaType()
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            raise exception.BadRequest("The body is not valid JSON.") from None
        if _ODD_ESCAPE.search(body) and not all(_is_text(part) for part in _texts(value)):
            raise exception.BadRequest("The body contains NUL characters or halves of surrogate pairs.")
        if not isinstance(value, dict):
            raise exception.BadRequest("The body must be a JSON object.")
        return value

    def check_query(self):
        """Raises BadRequest when the query string is not text."""
        try:
            if all(_is_text(value) for value in self.GET.values()):
                return
        except UnicodeDecodeError:
            pass
        raise exception.BadRequest("The query string is not valid text.")

    def page(self, maximum, cap=True):
        """(limit, marker) of the query string; limit is cut down to ``maximum`` unless ``cap`` is false.

        An empty marker counts as none. Raises BadValue for a limit that is not a whole number above 0.
        """
        limit, marker = self.GET.get("limit"), self.GET.get("marker") or None
        if limit is None:
            return maximum, marker
        try:
            number = int(limit)
        except ValueError:
            number = 0
        if number <= 0:
            raise exception.BadValue(field="limit", reason="must be a whole number above 0")
        return min(number, maximum) if cap else number, marker

    def flag(self, name, default=False):
        """A boolean of the query string: true, 1 (any case) are true, everything else is false."""
        value = self.GET.get(name)
        return default if value is None else value.strip().lower() in ("true", "1")

    def check_accept(self):
        """Raises NotAcceptable when the Accept header admits nothing that we produce."""
        header = self.headers.get("Accept")
        if not header or "*/*" in header or "application/*" in header:
            return
        for part in header.split(","):
            media, *params = [piece.strip() for piece in part.split(";")]
            versions = [p.partition("=")[2].strip('"') for p in params if p.startswith("version=")]
            if media in _MEDIA_TYPES and all(version in ("1.0", "1") for version in versions):
                return
        raise exception.NotAcceptable()


class Result:
    """What a controller answers: data (dict, bytes of JSON, or None for no body), HTTP status, further headers."""

    def __init__(self, data=None, status=200, headers=None):
        self.data = data
        self.status = status
        self.headers = headers or {}

    def response(self):
        """The webob response; the content type is JSON for an empty body too."""
        if self.status == 204:
            return webob.Response(status=204, headers=self.headers)
        body = b"" if self.data is None else self.data
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        answer = webob.Response(body=body, status=self.status, content_type="application/json")
        answer.charset = None
        answer.headers.update(self.headers)
        return answer


def fault_key(code):
    """The one key of the error body that goes with an HTTP status."""
    return FAULT_KEYS.get(code, "instanceFault" if code >= 500 else "badRequest")


def fault_response(code, message, headers=None, **more):
    """An error answer of the contract's shape: one top-level key, with code and message."""
    return Result({fault_key(code): {"code": code, "message": message, **more}}, code, headers).response()


def error_response(error, headers=None):
    """The answer to an exception: TroveErrors by their own code, anything unknown a logged 500 with an id."""
    if isinstance(error, webob.exc.HTTPException):
        return fault_response(error.status_int, error.detail or error.explanation or error.title)
    if isinstance(error, exception.TroveError) and error.code < 500 or isinstance(
            error, (exception.NotImplementedHere, exception.ServiceUnavailable)):
        LOG.debug("Refused: %s", error, exc_info=LOG.logger.isEnabledFor(std_logging.DEBUG))
        if getattr(error, "retry_after", None):
            headers = {**(headers or {}), "Retry-After": str(error.retry_after)}
        return fault_response(error.code, str(error), headers)
    reference = str(uuid.uuid4())
    LOG.error("Unexpected error %s", reference, exc_info=error)
    return fault_response(500, f"An internal error occurred; its reference is {reference}.")


class Controller:
    """Base of all controllers: dispatches to the method that the route names."""

    @webob.dec.wsgify(RequestClass=Request)
    def __call__(self, req):
        action, arguments = req.environ[ROUTE_KEY]
        try:
            req.check_accept()
            req.check_query()
            method = getattr(self, action)
            contract = getattr(method, "contract", apischema.Contract())
            if req.method in ("POST", "PUT", "PATCH"):
                body = arguments["body"] = req.json_object()
                if contract.body is not None:
                    apischema.check(contract.body, body)
            result = method(req, **arguments)
        except Exception as error:  # noqa: BLE001 - the boundary to HTTP
            return error_response(error)
        if not isinstance(result, Result):
            result = Result(result, contract.status)
        return result.response()


def object_links(req, collection, object_id):
    """The links ``self`` and ``bookmark`` of an object, with the scheme and host that the client used."""
    base = req.host_url
    return [{"rel": "self", "href": f"{base}/v1.0/{req.context.project_id}/{collection}/{object_id}"},
            {"rel": "bookmark", "href": f"{base}/{collection}/{object_id}"}]


def next_links(req, marker):
    """``{"links": [next]}`` for a page that more follows, else {}; every other query parameter is kept."""
    if marker is None:
        return {}
    query = [(name, value) for name, value in req.GET.items() if name != "marker"]
    query.append(("marker", str(marker)))
    return {"links": [{"rel": "next", "href": f"{req.path_url}?{parse.urlencode(query)}"}]}


def proxy_headers_factory(global_conf, **local_conf):
    """Paste filter factory of oslo.middleware's HTTPProxyToWSGI, which requests pass by while its option is off.

    It takes a twentieth of the time of a list, also when it does nothing.
    """
    make = HTTPProxyToWSGI.factory(global_conf, **local_conf)

    def wrap(app):
        parsing = make(app)  # registers the option

        def choose(environ, start_response):
            wanted = parsing if CONF.oslo_middleware.enable_proxy_headers_parsing else app
            return wanted(environ, start_response)
        return choose
    return wrap


def is_admin(roles):
    """Whether one of the roles is in ``admin_roles`` (compared in lower case)."""
    admins = {role.lower() for role in CONF.admin_roles}
    return any(role.lower() in admins for role in roles)
