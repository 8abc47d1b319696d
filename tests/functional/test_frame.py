"""What every request goes through, whatever it asks for (rest-api 1)."""
import pytest

from tests.functional.conftest import check_fault


class TestVersions:
    """Row 3.0."""

    def test_the_root_needs_no_token(self, app):
        answer = app.get("/")
        assert answer.json == {"versions": [{
            "id": "v1.0", "status": "CURRENT", "updated": "2012-08-01T00:00:00Z",
            "links": [{"rel": "self", "href": "http://localhost/v1.0/"}]}]}

    def test_the_version(self, alice):
        assert alice.get("/v1.0/").json["version"]["id"] == "v1.0"

    def test_nothing_else_is_outside_the_version(self, app):
        check_fault(app.get("/v2.0", status=404))


class TestWhoMayCall:
    def test_1_21_no_token(self, alice):
        answer = alice.get("/flavors", status=401, headers={"X-Auth-Token": None})
        assert answer.headers["WWW-Authenticate"].startswith("Keystone")

    def test_1_22_the_tenant_of_the_path_is_the_tokens(self, alice, admin):
        alice.get("/v1.0/tenant-b/flavors", status=403)
        admin.get("/v1.0/tenant-b/flavors", status=403)

    def test_1_21_identity_headers_of_the_client_are_not_believed(self, alice):
        alice.get("/v1.0/tenant-b/flavors", status=403, headers={"X-Project-Id": "tenant-b", "X-Tenant-Id": "tenant-b"})


class TestRoutes:
    def test_1_32_unknown_route(self, alice):
        alice.get("/nothing", status=404)
        alice.get("/flavors/1/nothing", status=404)

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
    def test_1_32_wrong_method(self, alice, method):
        answer = alice(method, "/flavors", status=405)
        assert answer.headers["Allow"] == "GET"


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
