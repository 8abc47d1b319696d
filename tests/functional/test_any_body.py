"""Whatever JSON is sent to whatever route: an answer of the contract's shape, never a 500, and no half-written rows."""
import copy
import re
from urllib import parse

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes import neutron
from tests.functional.test_clusters import add as add_cluster
from tests.functional.test_modules import add as add_module
from tests.functional.test_security_groups import add_group
from tests.functional.world import UNKNOWN, create_active
from trove.common.api import ROUTES
from trove.common.instance import ServiceStatuses
from trove.db.sqlalchemy import tables
from trove.guestagent.db.models import User
from trove.instance.tasks import InstanceTasks

# A POST on a backup is nothing: there is no body that fits.
WRITING = sorted({(route.method, route.path) for route in ROUTES if route.method in ("POST", "PUT", "PATCH")
                  and not route.path.endswith("/{backup_id}")})
CODES = {200, 201, 202, 400, 403, 404, 409, 413, 422, 501}
USER = {"name": "bob", "password": "secret", "host": "10.0.%.%", "databases": [{"name": "db1"}]}
PASSWORD = {key: USER[key] for key in ("name", "password", "host")}
MODULE = {"name": "m1", "module_type": "ping", "type": None, "contents": "bWVzc2FnZT1oaQ==", "description": "d",
          "datastore": {"type": "mysql", "version": "5.7"}, "auto_apply": False, "all_tenants": False, "visible": 1,
          "live_update": 0, "all_datastores": None, "all_datastore_versions": None}
# End of a method and path -> a body that fits, which is then spoilt somewhere.
FITTING = {
    "/instances": {"instance": {
        "name": "m1", "flavorRef": "1", "volume": {"size": 1, "type": None},
        "datastore": {"type": "mysql", "version": "5.7", "version_number": None},
        "databases": [{"name": "db1", "character_set": "utf8", "collate": "utf8_general_ci"}], "users": [USER],
        "nics": [{"net-id": None, "network_id": neutron.id_of("own"), "v4-fixed-ip": "10.0.0.1"}],
        "availability_zone": "nova", "replica_count": 1,
        "restorePoint": None, "configuration": None, "replica_of": None, "slave_of": None, "modules": [],
        "locality": None, "region_name": "RegionOne", "access": {"is_public": False}}},
    "/{instance_id}": {"instance": {"name": "m2", "configuration": None}},
    "/mgmt/instances/{instance_id}/action": {"reset-task-status": {}},
    "/mgmt/clusters/{cluster_id}/action": {"reset-task": {}},
    "/instances/action": {"update": ""},
    "/action": {"restart": {}},
    "/users/{user}/databases": {"databases": [{"name": "db1"}]},
    "/backups": {"backup": {"instance": UNKNOWN, "name": "b1", "description": "d", "parent_id": None, "incremental": 0,
                            "storage_driver": "swift", "swift_container": None, "restore_from": None}},
    "/backup_strategies": {"backup_strategy": {
        "instance_id": None, "swift_container": "database_backups", "storage_driver": "swift"}},
    "/root": {"password": "secret"},
    "/databases": {"databases": [{"name": "db1", "character_set": "utf8", "collate": "utf8_general_ci"}]},
    "PUT /{tenant_id}/instances/{instance_id}/users": {"users": [PASSWORD]},
    "/users": {"users": [USER]},
    "/parameters": {"configuration-parameter": {
        "name": "wait_timeout", "restart_required": 0, "data_type": "integer", "max_size": 9, "min_size": 1}},
    "/parameters/{name}": {"configuration-parameter": {
        "name": "max_connections", "restart_required": 0, "data_type": "integer", "max": 9, "min": 1}},
    "PUT /{tenant_id}/instances/{instance_id}/users/{name}": {"user": {**PASSWORD, "host": "10.1.%.%"}},
    "/users/{name}": {"users": USER},
    "/upgrade": {"upgrade": {"instance_version": "1", "location": "http://h/x"}},
    "/log": {"name": "general", "enable": 1, "disable": 0, "publish": None, "discard": 0},
    "/instances/{instance_id}/modules": {"modules": [{"id": UNKNOWN}]},
    "/modules/{module_id}/instances": {},
    "/modules": {"module": MODULE},
    "/{module_id}": {"module": MODULE},
    "/clusters": {"cluster": {
        "name": "c1", "datastore": {"type": "mysql", "version": "5.7"}, "locality": "affinity", "configuration": None,
        "instances": [{"flavorRef": "1", "volume": {"size": "1", "type": None}, "nics": [{"net-id": "n"}],
                       "availability_zone": "nova", "modules": []}]}},
    "/{cluster_id}": {"reset-status": {}},
    "/security-group-rules": {"security_group_rule": {"group_id": UNKNOWN, "cidr": "10.1.0.0/16"}},
    "/datastore-versions": {"version": {
        "name": "9", "datastore_name": "mysql", "active": True, "image": "i", "image_tags": None,
        "datastore_manager": "mysql", "packages": ["a"], "default": False}},
    "/{version_id}": {"name": "8", "datastore_manager": "mysql", "packages": [], "active": True, "default": True},
    "/configurations": {"configuration": {"name": "c1", "description": None, "values": {"max_connections": 10},
                                          "datastore": {"type": "mysql", "version": "5.7"}}},
    "/{configuration_id}": {"configuration": {"name": "c2", "values": {"autocommit": True}}},
    "/{tenant}": {"quotas": {"instances": 5}},
}
# Routes of which no body is accepted, because what they ask for cannot be done here.
REFUSED = {f"/{{tenant_id}}{path}" for path in (
    "/mgmt/instances/{instance_id}/upgrade", "/mgmt/hosts/{name}/instances/action", "/clusters",
    "/clusters/{cluster_id}/root", "/instances/{instance_id}/modules",
    "/modules/{module_id}/instances")}
# What the last name in a path must be to exist.
NAMES = {"/{tenant_id}/mgmt/hosts/{name}/instances/action": "minicloud",
         "/{tenant_id}/mgmt/datastores/versions/{version_id}/parameters/{name}": "max_connections"}

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "\0", "\ud800", "a" * 300, "'", "%", "../..", "9" * 41, "-1", "\u202ea", "a\n", UNKNOWN,
                     "root", "http://h/" + UNKNOWN, "mysql", "1", "db1", "bob", "affinity", "resize",
                     "replica_of", "access"]))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)), max_leaves=6)


def _places(value, path=()):
    """The paths of all parts of a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


@st.composite
def bodies(draw, fitting):
    """Anything; or a body that fits with some parts replaced, taken away or doubled."""
    if draw(st.integers(0, 4)) == 0:
        return draw(values)
    body = copy.deepcopy(fitting)
    for _spoilt in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(_places(body))))
        if not path:
            continue
        *way, last = path
        parent = body
        for key in way:
            parent = parent[key]
        how = draw(st.sampled_from(["replace", "drop", "double"]))
        if how == "replace":
            parent[last] = draw(values)
        elif how == "drop":
            del parent[last]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
        else:
            parent[draw(texts)] = copy.deepcopy(parent[last])
    return body


@pytest.mark.parametrize(("method", "path"), WRITING, ids=[f"{method} {path}" for method, path in WRITING])
def test_any_body(world, cloud, options, alice, admin, method, path):
    for resource in ("instances", "volumes", "backups"):
        options.set_override(f"max_{resource}_per_tenant", -1)
    # The callers' tokens are not minicloud's.
    options.set_override("remote_tenant_neutron_client", "tests.fakes.neutron.tenant_neutron_client")
    instance_id = create_active(world, alice)
    caller = admin if "/mgmt" in path else alice
    group_id = caller.post("/configurations", FITTING["/configurations"]).json["configuration"]["id"]
    fitting = copy.deepcopy(next(body for end, body in FITTING.items() if f"{method} {path}".endswith(end)))
    if path.endswith("/backups"):
        fitting["backup"]["instance"] = instance_id
    cluster_id, module_id = add_cluster(world)[0], add_module(alice, name="m0")["id"]
    if path.endswith("/datastore-versions"):
        fitting["version"]["image"] = cloud.image_id
    if path.endswith("/instances/{instance_id}/modules"):
        fitting["modules"][0]["id"] = module_id
    if path.endswith("/security-group-rules"):
        fitting["security_group_rule"]["group_id"] = add_group(world, instance_id)

    def request(body, name):
        world.set(instance_id, task=InstanceTasks.NONE, service=ServiceStatuses.RUNNING)
        world.end_operations(instance_id)
        world.end_backups()
        guest = world.guest(instance_id)
        guest.databases.clear()
        guest.users.clear()
        if method == "PUT":
            for host in ("%", USER["host"]):
                guest.users["bob", host] = User("bob", host, "old").serialize()
        with world.db.writer() as session:
            session.execute(tables.modules.delete().where(tables.modules.c.id != module_id))
            session.execute(tables.datastore_versions.delete().where(tables.datastore_versions.c.name == "9"))
            session.execute(tables.datastore_configuration_parameters.delete().where(
                tables.datastore_configuration_parameters.c.name == "wait_timeout"))
        known = {"tenant_id": caller.tenant, "instance_id": instance_id, "cluster_id": cluster_id,
                 "module_id": module_id, "configuration_id": group_id,
                 "version_id": world.catalog["mysql 5.7" if "/parameters" in path else "mysql 5.6"].id}
        url = re.sub(r"{(\w+)}", lambda found: known.get(found[1]) or parse.quote(name, safe=""), path)
        return caller(method, f"/v1.0{url}", body)  # it checks the shape of errors

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(body=bodies(fitting), name=texts.filter(lambda text: "\ud800" not in text and text.strip("./")))
    def check(body, name):
        before = world.counts()
        answer = request(body, name)
        assert answer.status_int in CODES, answer.text
        grown = {table: number - before[table] for table, number in world.counts().items() if number != before[table]}
        if answer.status_int >= 400:
            assert grown == {}
            assert "secret" not in answer.text
        elif path.endswith("/instances"):
            assert grown == {"instances": 1, "service_statuses": 1, "operations": 1}

    check()
    # What was spoilt is right when it is whole.
    whole = request(fitting, NAMES.get(path, "bob")).status_int
    assert whole == 501 if path in REFUSED else whole < 300
