"""Requests, pages, Accept headers and the shape of errors."""
import json

import pytest
import webob.exc

from trove.common import exception, wsgi
from trove.common.context import TroveContext


@pytest.mark.parametrize("accept, ok", [
    (None, True), ("*/*", True), ("application/json", True), ("text/html", False),
    ("application/vnd.openstack.trove+json;version=1.0", True),
    ("application/vnd.openstack.trove+json;version=2.0", False), ("text/html, application/json", True),
])
def test_accept(accept, ok):
    req = wsgi.Request.blank("/", headers={"Accept": accept} if accept else {})
    if ok:
        req.check_accept()
    else:
        with pytest.raises(exception.NotAcceptable):
            req.check_accept()


@pytest.mark.parametrize("body, content_type, error", [
    (b"[]", "application/json", exception.BadRequest), (b"{", "application/json", exception.BadRequest),
    (b"{}", "application/xml", exception.UnsupportedMediaType), (b"\xff", "application/json", exception.BadRequest),
])
def test_bad_bodies(body, content_type, error):
    with pytest.raises(error):
        wsgi.Request.blank("/", method="POST", body=body, content_type=content_type).json_object()


def test_no_body_is_an_empty_object():
    assert wsgi.Request.blank("/", method="POST").json_object() == {}


@pytest.mark.parametrize("query, cap, expected", [
    ("", True, (20, None)), ("limit=5&marker=m", True, (5, "m")), ("limit=500", True, (20, None)),
    ("limit=500", False, (500, None)),
])
def test_page(query, cap, expected):
    assert wsgi.Request.blank(f"/?{query}").page(20, cap) == expected


@pytest.mark.parametrize("limit", ["0", "-1", "x", ""])
def test_bad_limits_name_the_field(limit):
    with pytest.raises(exception.BadValue, match="limit"):
        wsgi.Request.blank(f"/?limit={limit}").page(20)


@pytest.mark.parametrize("error, code, key", [
    (exception.NotFound(resource="instance", id="x"), 404, "itemNotFound"),
    (exception.QuotaExceeded(overs="volumes"), 413, "overLimit"),
    (exception.GuestTimeout(), 400, "badRequest"),
    (exception.UnprocessableEntity(), 422, "unprocessableEntity"),
    (exception.NotImplementedHere(), 501, "notImplemented"),
    (webob.exc.HTTPMethodNotAllowed(), 405, "badMethod"),
    (exception.TroveError("the password is x"), 500, "instanceFault"),
    (KeyError("secret"), 500, "instanceFault"),
])
def test_errors_have_one_key_and_leak_nothing(error, code, key):
    answer = wsgi.error_response(error)
    body = json.loads(answer.body)
    assert answer.status_int == code and list(body) == [key] and body[key]["code"] == code
    if code == 500:
        assert "secret" not in body[key]["message"] and "password" not in body[key]["message"]


def test_next_link_keeps_scheme_host_and_query():
    req = wsgi.Request.blank("http://here:8779/v1.0/t/instances?limit=2&include_clustered=True&marker=a")
    links = wsgi.next_links(req, "b")["links"]
    assert links[0]["rel"] == "next" and links[0]["href"].startswith("http://here:8779/v1.0/t/instances?")
    assert set(links[0]["href"].partition("?")[2].split("&")) == {"limit=2", "include_clustered=True", "marker=b"}
    assert wsgi.next_links(req, None) == {}


def test_a_context_survives_the_bus_and_ignores_what_it_does_not_know():
    before = TroveContext(user_id="u", project_id="t", roles=["member"], limit=3, marker="m",
                          service_catalog=[{"type": "x"}])
    after = TroveContext.from_dict({**before.to_dict(), "of_the_future": 1})
    assert (after.project_id, after.limit, after.request_id) == ("t", 3, before.request_id)
    old = TroveContext.from_dict({"tenant": "t2", "user": "u2"})
    assert (old.project_id, old.user_id) == ("t2", "u2")
    assert "auth_token" not in before.to_durable_dict()
