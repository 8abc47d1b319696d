"""Row 1.25: whatever route is asked with the id of what is another tenant's, the answer is that there is none."""
import re

import pytest

from tests.functional.test_clusters import add as add_cluster
from tests.functional.test_configurations import group as add_configuration
from tests.functional.test_modules import add as add_module
from tests.functional.test_security_groups import add_group
from tests.functional.world import UNKNOWN, create_active
from trove.common import api, policy
from trove.db.sqlalchemy import tables

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
# Variables of paths that are ids of a tenant's other things; ids of versions are everybody's.
BELONGINGS = ("cluster_id", "module_id", "group_id", "rule_id", "backup_id", "configuration_id")
OTHERS = [row for row in api.ROUTES if "{instance_id}" not in row.path and row.role != policy.ADMIN
          and any(f"{{{variable}}}" in row.path for variable in BELONGINGS)]
OTHER_BODIES = {
    ("POST", "/clusters/{cluster_id}"): {"grow": [{"flavorRef": "1"}]},
    ("PUT", "/modules/{module_id}"): {"module": {"name": "mine"}},
    ("PUT", "/configurations/{configuration_id}"): {"configuration": {"name": "mine"}},
    ("PATCH", "/configurations/{configuration_id}"): {"configuration": {"values": {}}},
}
REQUEST_ID = "req-[0-9a-f-]{36}"
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
    texts = [re.sub(f"{each}|{REQUEST_ID}", "ID", answer.text)
             for answer, each in zip(refusals, (theirs, UNKNOWN), strict=True)]
    assert texts[0] == texts[1]
    assert (world.counts(), world.casts) == (before, casts)
    assert world.row(theirs)["name"] == "m1"


@pytest.mark.parametrize("row", OTHERS, ids=name)
def test_another_tenants_thing_is_as_good_as_none(row, world, cloud, alice, bob):
    instance_id = create_active(world, alice)
    group_id = add_group(world, instance_id)
    theirs = {"cluster_id": add_cluster(world)[0], "module_id": add_module(alice)["id"], "group_id": group_id,
              "configuration_id": add_configuration(alice),
              "backup_id": alice.post("/backups", {"backup": {"instance": instance_id, "name": "b1"}},
                                      status=202).json["backup"]["id"],
              "rule_id": alice.get(f"/security-groups/{group_id}").json["security_group"]["rules"][0]["id"]}
    key = row.path.removeprefix("/{tenant_id}")
    watched = (tables.configurations, tables.backups, tables.clusters, tables.modules, tables.security_groups,
               tables.security_group_rules, tables.operations)
    before = [world.rows(table) for table in watched]
    texts = []
    for given in (theirs, dict.fromkeys(theirs, UNKNOWN)):
        path = re.sub(r"{(\w+)}", lambda found, given=given: given[found[1]], key)
        answer = bob(row.method, path, OTHER_BODIES.get((row.method, key)), status=404)
        texts.append(re.sub("|".join([*given.values(), REQUEST_ID]), "ID", answer.text))
    assert texts[0] == texts[1]
    assert [world.rows(table) for table in watched] == before


def test_every_kind_of_id_in_the_table_is_tried():
    kinds = {variable for row in api.ROUTES if row.role != policy.ADMIN
             for variable in re.findall(r"{(\w+_id)}", row.path)}
    assert kinds - set(BELONGINGS) <= {"tenant_id", "instance_id", "operation_id", "version_id"}


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
