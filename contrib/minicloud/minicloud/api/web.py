"""The small HTTP framework under all facades: routes as data, faults, authentication, pages.

A facade is a :class:`Service`: a prefix, a list of :class:`Route` (its table of contents) and the shape of its
errors. Nothing here knows Nova from Swift.
"""

import dataclasses
import http.client
import json
import logging
import re
import urllib.parse
import uuid

import werkzeug.exceptions
import werkzeug.routing
from werkzeug.wrappers import Request as BaseRequest
from werkzeug.wrappers import Response

from minicloud.host.client import HostError
from minicloud.store import Missing

LOG = logging.getLogger(__name__)
READ_METHODS = ("GET", "HEAD", "OPTIONS")
TOKEN_IN_PATH = re.compile(r"/tokens/[^/]+")  # Keystone v2.0 has tokens in its URLs; the log must not
MAX_BODY_BYTES = 64 << 20  # of JSON; a server may be given some files in it
PROJECT_ID = re.compile(r"^[0-9a-f]{32}$")


class Fault(Exception):
    """An answer that is an error: HTTP code and a sentence for the user.

    :param kind: the facade's own name of the error where its real service has one (Neutron's ``NetworkNotFound``).
    """

    def __init__(self, code, message, kind=None, headers=None):
        super().__init__(message)
        self.code, self.message, self.kind, self.headers = code, message, kind, headers or {}

    @property
    def title(self):
        """The reason phrase of the code."""
        return http.client.responses.get(self.code, "Error")


@dataclasses.dataclass(frozen=True)
class Context:
    """Who asks: read from a valid token."""

    user_id: str
    user_name: str
    project_id: str | None
    roles: tuple[str, ...]
    token: dict

    @property
    def is_admin(self):
        """May see and change what belongs to others."""
        return "admin" in self.roles

    def owns(self, document):
        """Whether the document is in the token's project, or the token is an administrator's."""
        return self.is_admin or document.get("project_id") == self.project_id

    def require_admin(self, action):
        """:raises Fault: 403 naming the refused action unless this is an administrator."""
        if not self.is_admin:
            raise Fault(403, f"Policy doesn't allow {action} to be performed.")


class Request(BaseRequest):
    """A request with its id, its context (None on public routes) and its microversion (None: the service has none)."""

    max_form_memory_size = None
    context: Context | None = None
    version: tuple[int, int] | None = None

    def __init__(self, environ):
        super().__init__(environ)
        self.request_id = f"req-{uuid.uuid4()}"
        self._text = None

    @property
    def text(self):
        """The bytes of a body that is not an upload. :raises Fault: 413 when it is too large"""
        if (self.content_length or 0) > MAX_BODY_BYTES:
            raise Fault(413, f"The request body has more than {MAX_BODY_BYTES} bytes.")
        if self._text is None:
            self._text = self.stream.read(MAX_BODY_BYTES + 1)
        if len(self._text) > MAX_BODY_BYTES:
            raise Fault(413, f"The request body has more than {MAX_BODY_BYTES} bytes.")
        return self._text

    @property
    def body(self):
        """The JSON object of the body. :raises Fault: 400 when it is not one."""
        try:
            body = json.loads(self.text)
        except ValueError as error:
            raise Fault(400, "The request body is not valid JSON.") from error
        if not isinstance(body, dict):
            raise Fault(400, "The request body must be a JSON object.")
        return body

    def flag(self, name):
        """A boolean query parameter (absent: False)."""
        value = self.args.get(name)
        return value is not None and value.lower() in ("1", "true", "yes", "on", "t", "y", "")

    def number(self, name, default=None, minimum=0):
        """An integer query parameter. :raises Fault: 400 naming it when it is not one."""
        value = self.args.get(name)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or int(value) < minimum:
            raise Fault(400, f"{name} must be an integer not less than {minimum}, not '{value}'.")
        return int(value)


@dataclasses.dataclass(frozen=True)
class Route:
    """One line of a service's table: ``Route("GET", "/servers/<id>", handler)``.

    The handler gets (request, **path parts) and returns a dict (200), (code, dict or None) or a Response.
    """

    methods: str
    path: str
    handler: object
    public: bool = False


def reply(body=None, code=200, headers=None):
    """A JSON response; without a body when ``body`` is None."""
    if body is None:
        response = Response(status=code, headers=headers)
        del response.headers["Content-Type"]
        return response
    return Response(json.dumps(body), status=code, headers=headers, content_type="application/json")


class Service:
    """Base of the facades. Subclasses set ``prefix`` and ``routes`` and may override the hooks."""

    prefix = ""
    project_in_path = False
    request_id_header = "x-openstack-request-id"

    def __init__(self, cloud):
        self.cloud = cloud
        self.store = cloud.store
        self._map = werkzeug.routing.Map(
            [
                werkzeug.routing.Rule(route.path, methods=route.methods.split(), endpoint=route)
                for route in self.routes()
            ],
            strict_slashes=False,
            merge_slashes=False,
        )

    def routes(self):
        """All :class:`Route` of the service, paths below ``prefix``."""
        return []

    def dispatch(self, request, path):
        """Answer a request; ``path`` is what follows the prefix. :raises Fault:"""
        path, project_id = self.split_project(path)
        adapter = self._map.bind("service", default_method=request.method)
        route, arguments = adapter.match(path or "/", method=request.method)
        if not route.public:
            request.context = self.cloud.tokens.authenticate(request)
            self.authorize(request, project_id)
        self.negotiate(request)
        answer = route.handler(request, **arguments)
        if isinstance(answer, dict):
            answer = (200, answer)
        return reply(answer[1], answer[0]) if isinstance(answer, tuple) else answer

    def split_project(self, path):
        """Take the project id out of ``/<version>/<project id>/...`` where the service's URLs may carry one."""
        parts = path.split("/", 3)
        if self.project_in_path and len(parts) > 2 and PROJECT_ID.match(parts[2]):
            return "/".join(parts[:2] + parts[3:]), parts[2]
        return path, None

    def authorize(self, request, project_id):
        """What holds for every call: a project, the same one as in the URL, and more than the reader role to write."""
        context = request.context
        if context.project_id is None:
            raise Fault(403, "This request needs a token that is scoped to a project.")
        if project_id and project_id != context.project_id and not context.is_admin:
            raise Fault(
                400,
                f"Malformed request URL: URL's project_id '{project_id}' doesn't match "
                f"Context's project_id '{context.project_id}'",
            )
        if request.method not in READ_METHODS and set(context.roles) <= {"reader"}:
            raise Fault(403, "Policy doesn't allow this action to be performed with the role reader.")

    def negotiate(self, request):
        """Set ``request.version`` from the headers. :raises Fault: 406 for one that is not offered."""

    def fault(self, fault):
        """The Response for a Fault in the service's own shape."""
        body = {"error": {"code": fault.code, "title": fault.title, "message": fault.message}}
        return reply(body, fault.code, fault.headers)

    def finish(self, request, response):
        """Headers that every answer of the service carries."""
        response.headers[self.request_id_header] = request.request_id


def convert(error, path):
    """The Fault for whatever a handler raised."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, Missing):
        return Fault(
            404,
            f"{error.kind.capitalize().replace('_', ' ')} {error.id} could not be found.",
            kind=error.kind,
        )
    if isinstance(error, HostError):
        codes = {"not_found": 404, "conflict": 409, "bad_request": 400}
        return Fault(codes.get(error.code, 503), error.message)
    if isinstance(error, werkzeug.exceptions.HTTPException) and error.code:
        headers = {"Allow": ", ".join(error.valid_methods)} if getattr(error, "valid_methods", None) else {}
        message = "The resource could not be found." if error.code == 404 else error.description
        return Fault(error.code, message, headers=headers)
    LOG.error("request for %s failed", TOKEN_IN_PATH.sub("/tokens/***", path), exc_info=error)
    return Fault(
        500,
        "An unexpected error prevented the server from fulfilling your request; see the log of minicloud.",
    )


class Dispatcher:
    """The WSGI application: picks the service by the longest prefix of the path, answers every error in its shape."""

    def __init__(self, services, root):
        """:param root: the Service for paths that belong to none."""
        self._services = sorted(services, key=lambda service: -len(service.prefix))
        self._root = root

    def __call__(self, environ, start_response):
        request = Request(environ)
        path = environ.get("PATH_INFO", "/").encode("latin-1").decode("utf-8", "replace")
        service = next(
            (s for s in self._services if path == s.prefix or path.startswith(s.prefix + "/")), self._root
        )
        try:
            response = service.dispatch(request, path[len(service.prefix) :])
        except Exception as error:  # noqa: BLE001
            # The boundary of the HTTP side: convert() logs what it does not know, nobody sees a traceback.
            response = service.fault(convert(error, path))
        service.finish(request, response)
        # Successful reads are many (clients poll) and say little.
        quiet = request.method in READ_METHODS and response.status_code < 400
        LOG.log(
            logging.DEBUG if quiet else logging.INFO,
            "%s %s %s %s %s",
            request.request_id,
            request.context and request.context.project_id,
            request.method,
            TOKEN_IN_PATH.sub("/tokens/***", path),
            response.status_code,
        )
        return response(environ, start_response)


def page(request, items, key="id", maximum=1000):
    """One page of a list by the query's ``marker`` and ``limit``.

    :returns: (items of the page, query string of the next page or None)
    :raises Fault: 400 when the marker is not in the list.
    """
    marker, limit = request.args.get("marker"), request.number("limit")
    if marker:
        position = next((n for n, item in enumerate(items) if item[key] == marker), None)
        if position is None:
            raise Fault(400, f"marker [{marker}] not found")
        items = items[position + 1 :]
    size = min(limit or maximum, maximum)
    if limit == 0 or len(items) <= size:
        return items[:size] if limit != 0 else [], None
    query = [(name, value) for name, value in request.args.items(multi=True) if name != "marker"]
    return items[:size], urllib.parse.urlencode([*query, ("marker", items[size - 1][key])])


def next_link(request, query, name, base_url, path):
    """The ``*_links`` member of a list answer: empty, or one with the next page."""
    return {f"{name}_links": [{"rel": "next", "href": f"{base_url}{path}?{query}"}]} if query else {}


def sort(request, items, allowed, default=("created_at", "desc")):
    """Sort documents by the query's ``sort_key``/``sort_dir`` (repeatable) or ``sort=key:dir,...``.

    :raises Fault: 400 for a key that is not in ``allowed``.
    """
    pairs = [
        tuple((part + ":desc").split(":")[:2]) for part in request.args.get("sort", "").split(",") if part
    ]
    keys, directions = request.args.getlist("sort_key"), request.args.getlist("sort_dir")
    pairs += [(key, directions[n] if n < len(directions) else "desc") for n, key in enumerate(keys)]
    pairs = pairs or [default]
    if pairs[0][1] == "desc":
        items = items[
            ::-1
        ]  # sorted() keeps the order of equals: of those made in the same second, the newest first
    for key, direction in reversed(pairs):
        if key not in allowed or direction not in ("asc", "desc"):
            raise Fault(400, f"Invalid sort key or direction: {key}:{direction}.")
        items = sorted(
            items,
            key=lambda item, key=key: (item.get(key) is not None, item.get(key) or ""),
            reverse=direction == "desc",
        )
    return items
