"""The document of the API: what it says of every route, that it is served to everybody, and that it is held to."""
import json
import re
from pathlib import Path

import pytest

from tests import openapi as checking
from trove.common import api, apischema, openapi

SHIPPED = Path(__file__).parents[2] / "doc" / "openapi.json"


def test_it_is_served_without_a_token_and_shipped(app):
    answer = app.get("/v1.0/openapi.json")
    assert answer.json == json.loads(SHIPPED.read_text())
    assert answer.json["openapi"] == "3.1.0"
    assert app.post("/v1.0/openapi.json", expect_errors=True).status_int == 405
    assert app.get("/v1.0/openapi", expect_errors=True).status_int == 401


def test_it_has_every_route_and_no_other():
    described = {(path, method.upper()) for path, methods in openapi.document()["paths"].items() for method in methods}
    ours = {(f"/v1.0{row.path}", row.method) for row in api.ROUTES}
    assert described - ours == {("/", "GET"), ("/v1.0/openapi.json", "GET")}
    assert ours <= described


def test_names_and_references_are_sound():
    document = openapi.document()
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert all(operation["summary"].endswith(".") for operation in operations)
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        part = document
        for step in reference.split("/"):
            part = part[step]
    for schema in document["components"]["schemas"].values():
        apischema.compiled(schema)


FAULT = {"message": "m", "request_id": "req-1"}


def test_patterns_are_those_of_other_languages():
    patterns = re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(openapi.document()))
    assert patterns
    assert not [pattern for pattern in patterns if r"\\A" in pattern or r"\\Z" in pattern]


@pytest.mark.parametrize(("method", "path", "status", "body", "word"), [
    ("GET", "/v1.0/t/instances", 200, {"instances": [], "more": 1}, "more"),
    ("GET", "/v1.0/t/instances", 200, {"instances": [{}]}, "required"),
    ("GET", "/v1.0/t/instances", 500, {"instanceFault": {"code": 500, **FAULT}}, "there are 200"),
    ("GET", "/v1.0/t/instances/i", 404, {"itemNotFound": {"code": 400, **FAULT}}, "404 was expected"),
    ("GET", "/v1.0/t/instances/i", 404, {"itemNotFound": {"code": 404, **FAULT}, "x": {}}, "unexpected"),
    ("GET", "/v1.0/t/instances/i", 404, {"itemNotFound": {"code": 404, "message": "m"}}, "request_id"),
    ("DELETE", "/v1.0/t/instances/i", 202, {"instance": {}}, "a body"),
    ("GET", "/v1.0/t/nothing", 200, {}, "404 is due"),
    ("PUT", "/v1.0/t/instances", 202, {}, "405 is due"),
])
def test_an_answer_that_does_not_fit_fails(document, method, path, status, body, word):
    headers = {"content-type": "application/json", "x-openstack-request-id": f"req-{checking.__name__}"}
    with pytest.raises(AssertionError, match="no request id"):
        document.check(method, path, status, headers, b"")
    headers["x-openstack-request-id"] = "req-01234567-89ab-cdef-0123-456789abcdef"
    with pytest.raises(AssertionError, match=word):
        document.check(method, path, status, headers, json.dumps(body).encode())
