"""Quotas and rates of a tenant (rest-api 3.3, 1.33, states 7)."""
import re

import pytest

from tests.functional.conftest import check_fault
from trove.quota import quota

RATES = {"GET": 3, "POST": 4, "PUT": 5, "DELETE": 6}


@pytest.fixture
def rates(options):
    """Small rates, for a pipeline that is built afterwards."""
    for verb, value in RATES.items():
        options.set_override(f"http_{verb.lower()}_rate", value)
    options.set_override("http_mgmt_post_rate", 1)


def test_the_quotas_come_first(alice, bob, db):
    with db.writer() as session:
        quota.set_limits(session, "tenant-a", {"volumes": 7})
    expected = {"verb": "ABSOLUTE", "max_instances": 5, "max_volumes": 7, "max_backups": 50}
    assert alice.get("/limits").json["limits"][0] == expected
    assert bob.get("/limits").json["limits"][0] == {**expected, "max_volumes": 20}


def test_the_rates_follow(rates, alice):
    alice.get("/flavors")
    found = alice.get("/limits").json["limits"][1:]
    assert [(each["verb"], each["uri"], each["regex"], each["value"], each["remaining"]) for each in found] == [
        ("POST", "*", ".*", 4, 4), ("PUT", "*", ".*", 5, 5), ("DELETE", "*", ".*", 6, 6), ("GET", "*", ".*", 3, 1),
        ("POST", "*/mgmt", "^/mgmt", 1, 1)]
    assert {each["unit"] for each in found} == {"MINUTE"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", each["nextAvailable"]) for each in found)


def test_1_33_too_fast(rates, alice, bob):
    for _ in range(3):
        alice.get("/flavors")
    answer = alice.get("/flavors", status=413)
    fault = answer.json["overLimit"]
    assert 0 < int(fault["retryAfter"]) <= 20
    assert answer.headers["Retry-After"] == fault["retryAfter"]
    assert "3 GET requests" in fault["details"]
    bob.get("/flavors")


def test_patch_is_not_limited(rates, alice):
    for _ in range(8):
        alice.patch("/flavors", status=405)


def test_mgmt_has_a_limit_of_its_own(rates, admin):
    admin.post("/mgmt/nothing", status=404)
    assert "/mgmt" in admin.post("/mgmt/nothing", status=413).json["overLimit"]["details"]
    admin.post("/nothing", status=404)


def test_1_20_a_stranger_uses_up_nothing(rates, alice, bob):
    for _ in range(5):
        check_fault(bob.get("/v1.0/tenant-a/flavors", status=403))
    alice.get("/flavors")
