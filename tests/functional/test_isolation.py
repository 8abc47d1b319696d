"""Row 1.25: whatever route is asked with the id of another tenant's instance, the answer is that there is none."""
import re

import pytest

from tests.functional.world import UNKNOWN, create_active
from trove.common import api, policy

# What each writing route needs to get past the check of its body.
BODIES = {
    ("PUT", "/instances/{instance_id}"): {"instance": {"name": "mine"}},
    ("PATCH", "/instances/{instance_id}"): {"instance": {"name": "mine"}},
    ("POST", "/instances/{instance_id}/action"): {"restart": {}},
    ("POST", "/instances/{instance_id}/log"): {"name": "general", "enable": 1},
    ("POST", "/instances/{instance_id}/modules"): {"modules": [{"id": UNKNOWN}]},
    ("POST", "/instances/{instance_id}/databases"): {"databases": [{"name": "db1"}]},
    ("POST", "/instances/{instance_id}/users"): {"users": [{"name": "u1", "password": "p1"}]},
    ("PUT", "/instances/{instance_id}/users"): {"users": [{"name": "u1", "password": "p1"}]},
    ("POST", "/instances/{instance_id}/users/{name}"): {"users": {"name": "u1", "password": "p1"}},
    ("PUT", "/instances/{instance_id}/users/{name}"): {"user": {"name": "u1"}},
    ("PUT", "/instances/{instance_id}/users/{user}/databases"): {"databases": [{"name": "db1"}]},
}
OWNED = [row for row in api.ROUTES if "{instance_id}" in row.path and "/mgmt/" not in row.path]
MANAGED = [row for row in api.ROUTES if row.role == policy.ADMIN]


def name(row):
    return f"{row.method} {row.path.removeprefix('/{tenant_id}')}"


def path(row, instance_id):
    path = row.path.removeprefix("/{tenant_id}").replace("{instance_id}", instance_id)
    return re.sub(r"{\w+}", "u1", path)


def body(row):
    if row.method not in ("POST", "PUT", "PATCH"):
        return None
    return BODIES.get((row.method, row.path.removeprefix("/{tenant_id}")), {})


@pytest.mark.parametrize("row", OWNED, ids=name)
def test_another_tenants_instance_is_as_good_as_none(row, world, alice, bob):
    theirs = create_active(world, alice)
    before, casts = world.counts(), list(world.casts)
    refusals = [bob(row.method, path(row, each), body(row), status=501 if row.method == "GET" and row.path.endswith(
        "/databases/{name}") else 404) for each in (theirs, UNKNOWN)]
    # The two answers differ in the id alone: nobody learns that the instance exists.
    texts = [answer.text.replace(each, "ID") for answer, each in zip(refusals, (theirs, UNKNOWN), strict=True)]
    assert texts[0] == texts[1]
    assert (world.counts(), world.casts) == (before, casts)
    assert world.row(theirs)["name"] == "m1"


@pytest.mark.parametrize("row", MANAGED, ids=name)
def test_1_24_management_is_closed_to_tenants(row, world, alice):
    mine = create_active(world, alice)
    before = world.counts()
    alice(row.method, path(row, mine), body(row), status=403)
    assert world.counts() == before


def test_every_writing_route_has_a_body_here():
    """A new route must be added above, or its check of the tenant would hide behind the check of its body."""
    writing = {(row.method, row.path.removeprefix("/{tenant_id}")) for row in OWNED
               if row.method in ("POST", "PUT", "PATCH")}
    assert writing - BODIES.keys() == {("POST", "/instances/{instance_id}/root")}
