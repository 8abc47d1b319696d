"""Holds answers of the API to its document: every answer of the functional suite goes through here.

It finds the route by the document alone, not by the router, so that it can contradict the router.
"""
import json
import re

import jsonschema

from tests.fakes import extension
from trove.common import openapi

REQUEST_ID = re.compile(r"req-[0-9a-f-]{36}\Z")
# Codes that need no word in the document: nobody is at this address, or not with this method.
NOT_FOUND, NOT_ALLOWED = 404, 405


def _pattern(path):
    """What paths a template stands for; templates with fewer variables come first."""
    # The host of a user may be a network, whose mask stands behind a slash.
    with_users = re.sub(r"(?<=/users/)\\{\w+\\}", "[^/]+(?:@[0-9a-fA-F.:]+/[0-9.]+)?", re.escape(path))
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", with_users) + r"\Z")


class Document:
    """The document, ready to be held against answers."""

    def __init__(self):
        self.document = openapi.document()
        self._paths = sorted((path.count("{"), path, _pattern(path)) for path in self.document["paths"])
        self._foreign = [_pattern(openapi.PREFIX + row.path) for row in extension.EXTENSION.routes]
        self._validators = {}

    def template(self, path):
        """The template of the document that a path (decoded) belongs to, or None."""
        path = f"{path}/" if path == openapi.PREFIX else path
        for candidate in (path, path.removesuffix(".json")):
            for _variables, template, pattern in self._paths:
                if pattern.match(candidate):
                    return template
        return None

    def _of_a_plug_in(self, path):
        return any(pattern.match(candidate) for pattern in self._foreign
                   for candidate in (path, path.removesuffix(".json")))

    def check(self, method, path, status, headers, body):
        """Raises AssertionError naming what does not fit.

        path: decoded, with the prefix; headers: {lower-case name: value}; body: bytes.
        """
        where = f"{method} {path} answered {status}, which the document of the API does not fit: "
        assert REQUEST_ID.match(headers.get("x-openstack-request-id", "")), where + "no request id"
        template = self.template(path)
        operation = self.document["paths"].get(template, {}).get(method.lower())
        if template is None and self._of_a_plug_in(path):
            return
        if operation is None:
            wanted = NOT_FOUND if template is None else NOT_ALLOWED
            assert status in (wanted, 401, 403, 413), f"{where}{wanted} is due"
            return
        assert str(status) in operation["responses"], f"{where}there are {', '.join(operation['responses'])}; {body!r}"
        response = operation["responses"][str(status)]
        if "$ref" in response:
            response = self.document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        if "content" not in response:
            assert not body, f"{where}a body, {body!r}"
            return
        assert headers.get("content-type") == "application/json", f"{where}its type is {headers.get('content-type')}"
        self._validate(template, method, status, response["content"]["application/json"]["schema"], body, where)

    def _validate(self, template, method, status, schema, body, where):
        key = (template, method, status)
        if key not in self._validators:
            self._validators[key] = jsonschema.Draft202012Validator(
                {**schema, "components": self.document["components"]})
        error = jsonschema.exceptions.best_match(self._validators[key].iter_errors(json.loads(body)))
        assert error is None, f"{where}{error.json_path}: {error.message[:500]}"


class Checked:
    """A WSGI application whose every answer is held to the document.

    broken: to be set by a test that breaks the service on purpose; then a 500 is let through.
    """

    def __init__(self, app, document):
        self.broken = False
        self._app = app
        self._document = document

    def __call__(self, environ, start_response):
        method = environ["REQUEST_METHOD"]
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        path = path.encode("latin-1").decode(errors="replace")
        begun = []

        def start(status, headers, exc_info=None):
            begun[:] = [status, headers]
            return start_response(status, headers, exc_info)

        body = b"".join(self._app(environ, start))
        status, headers = begun
        if not (self.broken and status.startswith("500")):
            self._document.check(method, path, int(status[:3]), {name.lower(): value for name, value in headers}, body)
        return [body]
