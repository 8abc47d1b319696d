"""What the API refuses, as conversations: code, the one key of the body, and a sentence that helps."""
import pytest
from onebox import instance as tour

UNKNOWN = "11111111-2222-4333-8444-555555555555"
KEYS = {400: "badRequest", 403: "forbidden", 404: "itemNotFound", 405: "badMethod", 413: "overLimit",
        415: "badMediaType", 422: "unprocessableEntity"}


def refused(answer, code, *words):
    """Check an error's shape; returns its message."""
    assert answer.status_code == code, answer.text
    [(key, value)] = answer.json().items()
    assert key == KEYS[code]
    assert value["code"] == code
    for word in words:
        assert word in value["message"], value["message"]
    return value["message"]


@pytest.fixture
def call(system):
    """``call(method, path, **kwargs)`` as the tenant, without exceptions."""
    return lambda method, path, **kwargs: system.api.request(path, method, raise_exc=False, **kwargs)


def create_body(system, **changes):
    """A create request that would work, with changes to the instance."""
    body = tour.body("refused", system.smallest_flavor(), "Secret-1")
    body["instance"].update(changes)
    return body


@pytest.mark.parametrize("path", ["/instances/{}", "/instances/{}/databases", "/instances/{}/users", "/flavors/{}",
                                  "/instances/{}/root", "/datastores/{}"])
def test_an_unknown_id_is_404_and_named(call, path):
    """Of anything."""
    refused(call("GET", path.format(UNKNOWN)), 404, UNKNOWN)


@pytest.mark.parametrize(("body", "word"), [
    ("{not json", "JSON"), ("[1, 2]", "object"), ('{"instance": {"flavorRef": "1"}}', "name")])
def test_a_malformed_body_is_400(call, body, word):
    """Also one that is JSON but no object, and one without a needed member."""
    refused(call("POST", "/instances", data=body, headers={"Content-Type": "application/json"}), 400, word)


def test_a_body_of_another_type_is_415(call):
    """The API speaks JSON."""
    refused(call("POST", "/instances", data="<instance/>", headers={"Content-Type": "application/xml"}), 415)


def test_a_wrong_method_is_405(call):
    """Nobody puts the list of instances."""
    refused(call("PUT", "/instances", json={}), 405)


@pytest.mark.parametrize(("changes", "code"), [
    ({"volume": {"size": 0}}, 400), ({"volume": {"size": -1}}, 400), ({"volume": {"size": "big"}}, 400),
    ({"volume": None}, 400), ({"volume": {"size": 99}}, 413), ({"flavorRef": "nosuch"}, 400),
    ({"datastore": {"type": "nosuch"}}, 404), ({"users": [{"name": "os_admin", "password": "x"}]}, 400),
    ({"databases": [{"name": "mysql"}]}, 400)])
def test_a_create_request_that_cannot_work(system, call, changes, code):
    """Bad and too large volumes, unknown flavors and datastores, reserved names."""
    before = {item["id"] for item in system.api.get("/instances").json()["instances"]}
    refused(call("POST", "/instances", json=create_body(system, **changes)), code)
    assert {item["id"] for item in system.api.get("/instances").json()["instances"]} == before


def test_a_busy_instance_is_422(system, call, leaves_nothing):
    """While it is being built, nothing but deleting is possible."""
    instance_id = system.create("busy")
    try:
        refused(call("POST", f"/instances/{instance_id}/action", json={"restart": {}}), 422)
        refused(call("POST", f"/instances/{instance_id}/databases", json={"databases": [{"name": "x"}]}), 422)
    finally:
        system.delete(instance_id)


def test_an_exceeded_quota_is_413_and_names_the_resource(system, call):
    """The quota of instances is lowered to what is in use."""
    quotas = f"/mgmt/quotas/{system.tenant_id}"
    in_use = len(system.api.get("/instances").json()["instances"])
    assert system.admin.put(quotas, json={"quotas": {"instances": in_use}}).status_code == 200
    try:
        refused(call("POST", "/instances", json=create_body(system)), 413, "instances")
    finally:
        system.admin.put(quotas, json={"quotas": {"instances": 5}})
    assert len(system.api.get("/instances").json()["instances"]) == in_use


def test_another_tenants_path_is_403(system, call):
    """The project in the path must be the token's."""
    answer = call("GET", f"{system.settings.api_url}/v1.0/{UNKNOWN}/instances")
    refused(answer, 403)


def test_no_token_is_401(system, call):
    """Whatever the path."""
    answer = call("GET", f"{system.settings.api_url}/v1.0/{system.tenant_id}/instances", authenticated=False)
    assert answer.status_code == 401


def test_the_management_api_is_for_administrators(call):
    """403 for a tenant."""
    refused(call("GET", "/mgmt/instances"), 403)
