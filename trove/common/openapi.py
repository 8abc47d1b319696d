"""The document of the API (OpenAPI 3.1), made of the route tables and of the contracts of the controllers' methods.

Served at /v1.0/openapi.json without a token, written to doc/openapi.json by ``tools/docs``. Nothing is described here
but what holds for every route. Routes of plug-ins are not in it.
"""
import functools
import inspect
import json
import re

from trove import versions
from trove.common import api, apischema, policy, wsgi
from trove.common.apischema import contract
from trove.common.routing import Route, Router
from trove.common.strategies import strategy

PREFIX = "/v1.0"
PATH = f"{PREFIX}/openapi.json"
_BODY_METHODS = ("POST", "PUT", "PATCH")
_JSON = "application/json"
_DESCRIPTIONS = {
    400: "The request is not valid, or the guest refused it.", 401: "There is no valid token.",
    403: "The caller may not do this.", 404: "There is no such thing, or it is another tenant's.",
    406: "Only JSON can be produced.", 409: "The present state of something does not allow this for good.",
    413: "Too large, over a quota or over a rate limit.", 415: "The body is not JSON.",
    422: "The present state of something does not allow this now.", 501: "Not supported here.",
    503: "A service that is needed does not answer.",
}
# Of answers that wait for the end of operations which the request began (trove.operation.answer). All are missing where
# it began none.
_OPERATION_HEADERS = {name: {"description": description, "schema": {"type": "string"}} for name, description in {
    "X-Operation-State": "done: the change has been made. running: it goes on in the background.",
    "X-Operation-Id": "Ids, with commas between them, of at most 20 operations: those that go on, or all that are "
                      "done. GET /v1.0/{tenant_id}/instances/{instance_id}/operations lists them.",
    "Location": "The address of the operation, if one alone goes on.",
}.items()}


class DocumentController(wsgi.Controller):
    """The document itself."""

    @contract(answer={"type": "object", "required": ["openapi", "info", "paths"]})
    def show(self, req):
        """The description of the API that is being read."""
        return wsgi.Result(_text())


def app_factory(_global_conf, **_local_conf):
    """The application of the paste file for the document."""
    _text()  # a mistake in a contract stops the start
    return Router([Route("/", "GET", f"{__name__}.{DocumentController.__name__}", "show")], guarded=False)


@functools.cache
def _text():
    return json.dumps(document()).encode()


@functools.cache
def document():
    """The document, as a dict that is never changed. Raises ValueError when two schemas have one title."""
    described = _Document()
    for row in versions.ROUTES:
        described.add("", row)
    described.add("", Route(PATH, "GET", f"{__name__}.{DocumentController.__name__}", "show"))
    for row in api.ROUTES:
        described.add(PREFIX, row)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Database service", "version": "1.0", "description": (
            "Databases as a service: every route, what it takes and what it answers. Errors have one top-level key, "
            "which goes with the status; unknown keys of a body are ignored unless its schema says otherwise.")},
        "servers": [{"url": "/"}],
        "paths": described.paths,
        "components": {
            "schemas": dict(sorted(described.schemas.items())),
            "responses": {f"{code}": _error(code) for code in sorted(_DESCRIPTIONS)},
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
    }


class _Document:
    """Paths and schemas that grow row by row."""

    def __init__(self):
        self.paths = {}
        self.schemas = {}

    def add(self, prefix, row):
        """Describe a Route whose path stands below ``prefix``."""
        method = getattr(strategy.load(row.controller, wsgi.Controller), row.action)
        terms = method.contract
        parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                      for name in re.findall(r"{(\w+)}", row.path)]
        parameters += [{"name": name, "in": "query", "schema": self._schema(schema)}
                       for name, schema in terms.query.items()]
        noun, _, action = policy.rule_name(row).partition(":")
        operation = {"operationId": f"{noun}_{action}", "tags": [noun],
                     "summary": inspect.getdoc(method).partition("\n")[0], "parameters": parameters}
        if terms.body is not None:
            operation["requestBody"] = {"required": not terms.body.is_valid({}),
                                        "content": {_JSON: {"schema": self._schema(terms.body.schema)}}}
        operation["responses"] = responses = {}
        if terms.status is not None:
            responses[f"{terms.status}"] = success = {"description": "Done." if terms.answer is None else "The answer."}
            if terms.answer is not None:
                success["content"] = {_JSON: {"schema": self._schema(terms.answer)}}
            if terms.waits:
                success["headers"] = _OPERATION_HEADERS
        for code in _error_codes(prefix, row, terms):
            responses[f"{code}"] = {"$ref": f"#/components/responses/{code}"}
        operation["security"] = [{"token": []}] if prefix else []
        self.paths.setdefault(prefix + row.path, {})[row.method.lower()] = operation

    def _schema(self, value):
        """A schema as it stands in the document: parts with a title are named once, patterns are those of ECMA."""
        if isinstance(value, list):
            return [self._schema(item) for item in value]
        if not isinstance(value, dict):
            return value
        found = {key: item.replace(r"\A", "^").replace(r"\Z", "$") if key == "pattern" and isinstance(item, str)
                 else self._schema(item) for key, item in value.items()}
        if not isinstance(value.get("title"), str):
            return found
        if self.schemas.setdefault(value["title"], found) != found:
            raise ValueError(f"two different schemas have the title {value['title']}")
        return {"$ref": f"#/components/schemas/{value['title']}"}


def _error_codes(prefix, row, terms):
    """The codes of the errors that a route may answer, in order."""
    codes = {400, 406, *terms.errors}
    if terms.waits:
        codes |= {409, 422, 503}
    if prefix:
        codes |= {401, 403, 413}
    if "{" in row.path.removeprefix("/{tenant_id}"):
        codes.add(404)
    if row.method in _BODY_METHODS:
        codes |= {413, 415}
    return sorted(codes)


def _error(code):
    """The response of an error: one key, named by the code."""
    fault = apischema.view(f"Error{code}", {"code": {"const": code}, "message": {"type": "string", "minLength": 1},
                                            "request_id": apischema.string},
                           {"details": apischema.string, "retryAfter": apischema.string})
    return {"description": _DESCRIPTIONS[code],
            "content": {_JSON: {"schema": apischema.answer(wsgi.fault_key(code), fault)}}}
