"""Rows become an application; a mistake in one is found when it is made."""
import pytest

from trove.common import routing, wsgi
from trove.common.routing import Route


class Words(wsgi.Controller):
    def show(self, req, **arguments):
        return arguments


HERE = f"{__name__}.Words"


@pytest.fixture
def here(monkeypatch):
    """The dotted path of ``Words``, whatever name this module was imported by."""
    monkeypatch.setattr(routing.strategy, "load", lambda path, base: {HERE: Words}[path])
    return HERE


def test_paths(here):
    rows = [Route(path, "GET", here, "show") for path in (
        "/{tenant_id}/things", "/{tenant_id}/things/detail", "/{tenant_id}/things/{thing_id}",
        "/{tenant_id}/things/{thing_id}/names/{name}", "/{tenant_id}/users/{name}",
        "/{tenant_id}/users/{user}/databases")]
    router = routing.Router(rows)
    for path, expected in (
            ("/t/things", (0, {})), ("/t/things.json", (0, {})), ("/t/things/", None), ("/t/things.xml", None),
            ("/t/things/detail", (1, {})), ("/t/things/detail.json", (1, {})),
            ("/t/things/7", (2, {"thing_id": "7"})), ("/t/things/7.json", (2, {"thing_id": "7"})),
            ("/t/things/7.xml", (2, {"thing_id": "7.xml"})),
            ("/t/things/7/names/u.json", (3, {"thing_id": "7", "name": "u.json"})),
            ("/t/things/7.json/names/.json", (3, {"thing_id": "7.json", "name": ".json"})),
            ("/t/things/7/names/a/b", None), ("/", None), ("", None),
            ("/t/users/a@10.0.0.0/255.255.240.0", (4, {"name": "a@10.0.0.0/255.255.240.0"})),
            ("/t/users/a@10.0.0.0/20/databases", (5, {"user": "a@10.0.0.0/20"})),
            ("/t/users/a@b/databases", (5, {"user": "a@b"})), ("/t/users/a/b", None), ("/t/users/a@b/c", None)):
        found = router.match(path)
        if expected is None:
            assert found is None, path
        else:
            template, variables = found
            assert template == rows[expected[0]].path, path
            assert variables == {"tenant_id": "t", **expected[1]}, path


@pytest.mark.parametrize(("controller", "action", "word"), [
    ("trove.nowhere.Controller", "show", "trove.nowhere.Controller"),
    ("trove.common.routing.Route", "show", "subclass"),
    ("trove.versions.VersionsController", "explode", "explode"),
])
def test_a_wrong_row_stops_the_start(controller, action, word):
    with pytest.raises(ValueError, match=word):
        routing.Router([Route("/things", "GET", controller, action)])


@pytest.mark.parametrize(("path", "expected"), [
    ("/", ("root", "", "/")), ("", ("root", "", "")), ("*", ("root", "", "*")), ("/v1.0", ("api", "/v1.0", "")),
    ("/v1.0/", ("api", "/v1.0", "/")),
    ("/v1.0/t/users//bob", ("api", "/v1.0", "/t/users//bob")), ("//v1.0/t", ("root", "", "//v1.0/t")),
    ("/v1.00", ("root", "", "/v1.00")), ("/v1.0/openapi.json", ("document", "/v1.0/openapi.json", "")),
    ("/v1.0/openapi.jsons", ("api", "/v1.0", "/openapi.jsons"))])
def test_what_is_mounted_where(path, expected):
    def application(name):
        return lambda environ, _start: (name, environ["SCRIPT_NAME"], environ["PATH_INFO"])
    mount = routing.Mount({"": application("root"), "/v1.0": application("api"),
                           "/v1.0/openapi.json": application("document")})
    assert mount({"PATH_INFO": path}, None) == expected


def test_every_path_belongs_somewhere():
    with pytest.raises(ValueError, match="for /"):
        routing.mount_factory(None, {}, **{"/v1.0": "api"})
