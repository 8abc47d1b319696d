"""What every request goes through, whatever it asks for (rest-api 1, 2.1-2.4, 2.11); a plug-in stands for resources."""
import importlib.metadata
import io
import logging
import urllib.parse

import pytest
from oslo_log import formatters

from tests.fakes import extension
from tests.functional.conftest import KEYS, check_fault
from trove.common import exception, security


@pytest.fixture(autouse=True)
def echo(monkeypatch):
    """The API has the plug-in ``tests.fakes.extension``."""
    class EntryPoint:
        def load(self):
            return extension.EXTENSION

    monkeypatch.setattr(importlib.metadata, "entry_points",
                        lambda group, real=importlib.metadata.entry_points:
                        [EntryPoint()] if group == "trove.api.extensions" else real(group=group))


@pytest.fixture
def log(conf):
    """What the product logs, as oslo.log writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatters.ContextFormatter(config=conf))
    logger = logging.getLogger("trove")
    level, logger.disabled = logger.level, False
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)


class TestVersions:
    """Row 3.0."""

    def test_the_root_needs_no_token(self, app):
        answer = app.get("/")
        assert answer.json == {"versions": [{
            "id": "v1.0", "status": "CURRENT", "updated": "2012-08-01T00:00:00Z",
            "links": [{"rel": "self", "href": "http://localhost/v1.0/"}]}]}

    def test_the_version(self, alice):
        for path in ("/v1.0/", "/v1.0"):
            assert alice.get(path).json["version"]["id"] == "v1.0"

    def test_nothing_else_is_outside_the_version(self, app):
        check_fault(app.get("/v2.0", status=404))


class TestMediaTypes:
    @pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html,*/*;q=0.8",
                                        "application/vnd.openstack.trove+json;version=1.0"])
    def test_1_5_accepted(self, alice, accept):
        alice.get("/echo", headers={"Accept": accept})

    @pytest.mark.parametrize("accept", ["application/vnd.openstack.trove+json;version=9.9", "application/xml"])
    def test_1_5_not_accepted(self, alice, accept):
        alice.get("/echo", status=406, headers={"Accept": accept})

    def test_1_6_a_body_of_another_type(self, alice):
        alice.post("/echo", b"a=b", status=415, headers={"Content-Type": "application/x-www-form-urlencoded"})

    def test_1_6_no_content_type_counts_as_json(self, alice):
        assert alice.post("/echo", b'{"a": 1}', status=201, headers={"Content-Type": ""}).json == {"echo": {"a": 1}}

    @pytest.mark.parametrize("body", [
        b'{"a": ', b"\xff\xfe", b"[1, 2]", b'"text"', b"null", b"[" * 100_000, b'{"a": "\\u0000"}',
        b'{"a": {"b": ["\\ud800"]}}', b'{"\\udfff": 1}'])
    def test_1_6_malformed_bodies(self, alice, body):
        alice.post("/echo", body, status=400, headers={"Content-Type": "application/json"})

    def test_a_whole_surrogate_pair_is_a_character(self, alice):
        assert alice.post("/echo", {"a": "\N{GRINNING FACE}"}, status=201).json["echo"]["a"] == "\N{GRINNING FACE}"

    def test_a_body_without_end(self, alice):
        alice.post("/echo", b'"' + b"a" * 20 * 1024 * 1024 + b'"', status=413,
                   headers={"Content-Type": "application/json"})

    def test_1_4_no_body_and_no_type(self, alice):
        assert alice.post("/echo", status=201).json == {"echo": {}}

    def test_1_7_an_empty_answer_has_type_and_length(self, alice):
        answer = alice.delete("/echo/x")
        assert (answer.body, answer.content_type, answer.headers["Content-Length"]) == (b"", "application/json", "0")


class TestPaths:
    @pytest.mark.parametrize("name", ["u.json", "u.x@10.0.0.1", "u.xml", "a b", "a%b", "ünïcode", "%", "a+b", "a?b#c"])
    def test_1_11_names_arrive_as_they_are(self, alice, name):
        # A modern HTTP library sends the dots as they are, an old one quotes them.
        quoted = urllib.parse.quote(name, safe="")
        for path in (quoted, quoted.replace(".", "%2e")):
            assert alice.get(f"/echo/{path}").json["echo"]["arguments"] == {"name": name}

    def test_1_11_a_format_suffix_of_a_word_or_an_id_is_taken_off(self, alice):
        assert alice.get("/echo.json").json["echo"]["arguments"] == {}
        assert alice.get("/echoes/7f0b.json").json["echo"]["arguments"] == {"echo_id": "7f0b"}
        alice.get("/echo.xml", status=404)

    def test_1_11_two_slashes_are_not_one(self, alice):
        assert alice.get("/datastores", status=200)
        alice.get("//datastores", status=404)
        alice.get("/datastores//mysql", status=404)
        alice.get("/datastores/%2Fmysql", status=404)

    def test_1_11_a_tenant_with_dots(self, app, alice):
        alice.tenant = "a.json"
        alice.headers["X-Auth-Token"] = "a.json:user:member"
        assert alice.get("/echo").json["echo"]["tenant"] == "a.json"

    def test_1_12_case_matters(self, alice):
        alice.get("/Echo", status=404)

    @pytest.mark.parametrize("path", ["/echo/%00", "/echo/%ff%fe", "/echo/a%00b"])
    def test_what_cannot_be_a_name_is_not_found(self, alice, path):
        alice.get(path, status=404)

    @pytest.mark.parametrize("query", ["marker=%00", "marker=%ff"])
    def test_nor_can_it_be_a_value(self, alice, query):
        alice.get(f"/echo?{query}", status=400)

    def test_1_32_unknown_route(self, alice):
        for path in ("/nothing", "/echo/1/nothing", "", "/"):
            alice.get(path, status=404)

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
    def test_1_32_wrong_method(self, alice, method):
        assert alice(method, "/flavors", status=405).headers["Allow"] == "GET"

    def test_1_32_wrong_method_of_a_plug_in(self, alice):
        assert alice("PUT", "/echo", status=405).headers["Allow"] == "GET, POST"


class TestWhoMayCall:
    def test_1_21_no_token(self, alice):
        for token in (None, "nonsense"):
            answer = alice.get("/echo", status=401, headers={"X-Auth-Token": token})
            assert answer.headers["WWW-Authenticate"].startswith("Keystone")

    def test_1_22_the_tenant_of_the_path_is_the_tokens(self, alice, admin):
        before = security.counts().get("tenant.refused", 0)
        alice.get("/v1.0/tenant-b/echo", status=403)
        assert security.counts()["tenant.refused"] == before + 1
        admin.get("/v1.0/tenant-b/echo", status=403)
        alice.get("/v1.0/tenant-b", status=403)

    def test_1_21_identity_headers_of_the_client_are_not_believed(self, alice):
        alice.get("/v1.0/tenant-b/echo", status=403, headers={"X-Project-Id": "tenant-b", "X-Tenant-Id": "tenant-b"})
        assert alice.get("/echo", headers={"X-Roles": "admin"}).json["echo"]["is_admin"] is False

    def test_1_23_an_administrator_has_a_role_in_any_case(self, admin, options):
        assert admin.get("/echo").json["echo"]["is_admin"] is True
        options.set_override("admin_roles", ["dba"])
        assert admin.get("/echo").json["echo"]["is_admin"] is False

    def test_1_24_mgmt_is_the_administrators(self, alice, admin):
        alice.get("/mgmt/echo", status=403)
        admin.get("/mgmt/echo")
        alice.get("/mgmt/nothing", status=404)

    def test_the_context_knows_the_caller_but_not_the_token(self, alice):
        found = alice.get("/echo").json["echo"]
        assert (found["tenant"], found["user"], found["token"]) == ("tenant-a", "user-of-tenant-a", None)


class TestErrors:
    @pytest.mark.parametrize("name", sorted(
        name for name, item in vars(exception).items()
        if isinstance(item, type) and issubclass(item, exception.TroveError) and item.code in KEYS))
    def test_1_30_every_class_of_error_has_the_shape_and_its_key(self, alice, name):
        # The fixture's caller checks the shape.
        expected = getattr(exception, name).code
        message = check_fault(alice.get(f"/fail/{name}", status=expected))
        assert message == "told to" or expected == 500

    def test_1_36_the_unknown_error_says_nothing_but_a_reference(self, alice, log):
        message = check_fault(alice.get("/fail/ZeroDivisionError", status=500))
        assert "secret" not in message
        assert message.split()[-1].rstrip(".") in log.getvalue()
        assert "the secret is 42" in log.getvalue()


class TestRequestIds:
    def test_1_13_every_answer_has_one_of_its_own(self, alice, app):
        answers = [alice.get("/echo"), alice.get("/nothing", status=404),
                   alice.get("/echo", status=401, headers={"X-Auth-Token": None}), app.get("/")]
        ids = [answer.headers["x-openstack-request-id"] for answer in answers]
        assert len(set(ids)) == 4
        assert answers[0].json["echo"]["request_id"] == ids[0]
        assert answers[1].json["itemNotFound"]["request_id"] == ids[1]
        assert answers[2].json["unauthorized"]["request_id"] == ids[2]

    def test_the_callers_own_id_is_kept_if_it_is_one(self, alice):
        given = "req-01234567-89ab-cdef-0123-456789abcdef"
        for sent, kept in ((given, given), ("nonsense", None), (None, None)):
            answer = alice.get("/echo", headers={"X-OpenStack-Request-ID": sent})
            assert answer.json["echo"]["global_request_id"] == kept
            assert answer.headers["x-openstack-request-id"] != given

    def test_a_path_cannot_forge_a_log_line(self, alice, log):
        alice.get("/echo/a%0AERROR%20forged")
        assert "a%0AERROR%20forged 200 in" in log.getvalue()
        assert "\nERROR" not in log.getvalue()

    def test_it_stands_in_every_log_line(self, alice, log):
        answer = alice.get("/fail/ZeroDivisionError", status=500)
        lines = [line for line in log.getvalue().splitlines() if "Unexpected" in line or " 500 in " in line]
        assert len(lines) == 2
        assert all(answer.headers["x-openstack-request-id"] in line for line in lines)


class TestPages:
    def test_2_1_limit(self, alice):
        assert alice.get("/echo").json["echo"]["limit"] == 20
        assert alice.get("/echo?limit=5").json["echo"]["limit"] == 5
        assert alice.get("/echo?limit=100").json["echo"]["limit"] == 20
        for wrong in ("0", "-1", "many", ""):
            assert "limit" in check_fault(alice.get(f"/echo?limit={wrong}", status=400))

    def test_2_2_no_link_without_more(self, alice):
        assert "links" not in alice.get("/echo").json

    def test_2_3_the_link_keeps_the_query_and_replaces_the_marker(self, alice):
        link = alice.get("/echo?limit=5&marker=a&include_clustered=False&next=b%2Fc").json["links"]
        assert [each["rel"] for each in link] == ["next"]
        parts = urllib.parse.urlsplit(link[0]["href"])
        assert urllib.parse.parse_qs(parts.query) == {
            "limit": ["5"], "marker": ["b/c"], "include_clustered": ["False"], "next": ["b/c"]}

    def test_2_4_the_link_has_the_scheme_and_host_of_the_client(self, alice):
        link = alice.get("/echo?next=b", headers={"Host": "db.example.org:8779"}).json["links"][0]["href"]
        assert link.startswith("http://db.example.org:8779/v1.0/tenant-a/echo?")

    def test_2_4_a_proxy_is_believed_if_configured(self, alice, options):
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "db.example.org"}
        assert alice.get("/echo?next=b", headers=headers).json["links"][0]["href"].startswith("http://localhost")
        options.set_override("enable_proxy_headers_parsing", True, group="oslo_middleware")
        assert alice.get("/echo?next=b", headers=headers).json["links"][0]["href"].startswith("https://db.example.org/")

    @pytest.mark.parametrize(("text", "meaning"), [
        ("True", True), ("true", True), ("1", True), ("TRUE", True), ("False", False), ("0", False), ("", False),
        ("yes", False)])
    def test_2_11_flags(self, alice, text, meaning):
        assert alice.get(f"/echo?flag={text}").json["echo"]["flag"] is meaning


class TestExtensions:
    """Row 3.3."""

    def test_they_are_listed(self, alice):
        found = alice.get("/extensions").json["extensions"]
        assert [each["alias"] for each in found] == ["MYSQL", "security_group", "Mgmt", "ECHO"]
        assert set(found[0]) == {"name", "alias", "namespace", "description", "updated", "links"}


class TestOddText:
    """Nothing that is no text gets as far as the database."""

    @pytest.mark.parametrize("body", [
        b'{"instance": {"name": "a\\u0000"}}', b'{"instance": {"name": "a\\ud800"}}', b'{"a\\udfff": 1}',
        b'[' * 100_000, b'{"a": ' * 100_000, b'{"a": 1' + b'0' * 5000 + b'}', b'{"instance": "\xff"}', b'\xff\xfe'])
    def test_in_a_body(self, alice, catalog, body):
        alice.post("/instances", body, status=400, headers={"Content-Type": "application/json"})

    def test_escapes_of_real_characters_are_fine(self, alice, catalog):
        body = b'{"instance": {"name": "\\ud83c\\udf4b \\\\u0000"}}'
        answer = alice.post("/instances", body, status=400, headers={"Content-Type": "application/json"})
        assert "flavorRef" in answer.text

    @pytest.mark.parametrize("query", ["marker=%FF", "marker=%00", "limit=%FF"])
    def test_in_a_query(self, alice, catalog, query):
        alice.get(f"/instances?{query}", status=400)
