"""Storage (rest-api 4, GET /storage)."""
import types

import pytest

from trove.extensions.mgmt.storage import views


def test_the_pools_of_the_cloud(cloud, admin):
    device, = admin.get("/mgmt/storage").json["devices"]
    assert (device["name"], device["type"]) == ("minicloud@files#files", "files")
    assert device["capacity"]["total"] > device["capacity"]["available"] > 0
    assert device["provision"]["total"] == 0
    assert device["used"] == device["capacity"]["total"] - device["capacity"]["available"]


@pytest.mark.parametrize(("pool", "capacity", "provision"), [
    ({"total_capacity_gb": 100.0, "free_capacity_gb": 40.0, "provisioned_capacity_gb": 150},
     {"total": 100.0, "available": 40.0}, {"total": 150, "available": 0, "percent": 150}),
    ({"total_capacity_gb": "unknown", "free_capacity_gb": "infinite"},
     {"total": 0, "available": 0}, {"total": 0, "available": 0, "percent": 0}),
    ({}, {"total": 0, "available": 0}, {"total": 0, "available": 0, "percent": 0})])
def test_what_drivers_say(pool, capacity, provision):
    device = views.device(types.SimpleNamespace(name="pool", **pool))
    assert (device["capacity"], device["provision"], device["type"]) == (capacity, provision, "")
