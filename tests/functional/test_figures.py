"""What a GET costs does not grow with the number of instances: statements, remote calls, rows looked through, answers.

Every GET of the route table is tried, on a database that has everything which comes with instances.
"""
import datetime
import functools
import re

import pytest
from onebox import figures

from tests.conftest import emptied
from tests.fakes import guest
from tests.functional.test_clusters import add as add_cluster
from tests.functional.test_configurations import group as add_configuration
from tests.functional.test_modules import add as add_module
from trove.common import api, policy
from trove.db.sqlalchemy import tables
from trove.extensions.mgmt.instances import service

GETS = [row for row in api.ROUTES if row.method == "GET"]
# What grows by contract: what names or counts all instances, of the cloud or of one tenant, has no pages.
GROW = {"/security-groups", "/mgmt/accounts", "/mgmt/accounts/{tenant}", "/mgmt/quotas/{tenant}"}


@pytest.fixture
def db(request, db, conf):
    """The usual database, or the server that the parameter names."""
    if not hasattr(request, "param"):
        yield db
    else:
        yield from emptied(request.getfixturevalue(request.param), conf)


@pytest.fixture
def costs(db, cloud, monkeypatch):
    """Counts statements, requests to the cloud and calls of guests."""
    with figures.Costs(db.get_engine()) as found:
        ask = guest.Client._guest
        monkeypatch.setattr(guest.Client, "_guest", lambda *args: (found.calls.append(args[1]), ask(*args))[1])
        yield found


@pytest.fixture
def grow(world, alice, bob):
    """Lets two tenants have so many more instances, with all that comes with them; returns ids of the second's."""
    group_id = add_configuration(alice)

    def more(number):
        with world.db.writer() as session:
            for tenant in (alice.tenant, bob.tenant):
                ids = figures.add_instances(session, tenant, world.catalog["mysql 5.7"].id, number,
                                            configuration_id=group_id)
        return ids
    return more


@pytest.fixture
def path_of(world, bob, grow):
    """The path of a Route with what belongs to one of 100 tenants' instances in place of the variables."""
    instance_id = grow(50)[0]
    cluster_id, members = add_cluster(world, bob.tenant)
    backup_id = next(row["id"] for row in world.rows(tables.backups) if row["instance_id"] == instance_id)
    operation_id = next(row["id"] for row in world.rows(tables.operations) if row["resource_id"] == instance_id)
    values = {"instance_id": instance_id, "cluster_id": cluster_id, "configuration_id": add_configuration(bob),
              "operation_id": operation_id,
              "module_id": add_module(bob)["id"], "group_id": instance_id, "tenant": bob.tenant,
              "backup_id": backup_id, "version_id": world.catalog["mysql 5.7"].id, "datastore": "mysql",
              "version": "5.7", "flavor": "1", "name": "autocommit", "user": "bob"}

    def path(row):
        known = values | {"instance_id": members[0]} if "{cluster_id}" in row.path else values
        return re.sub(r"{(\w+)}", lambda found: known[found[1]], row.path.removeprefix("/{tenant_id}"))
    return path


@pytest.mark.parametrize("row", GETS, ids=lambda row: row.path.removeprefix("/{tenant_id}"))
def test_no_figure_grows(row, world, bob, admin, monkeypatch, grow, path_of, costs):
    monkeypatch.setattr(service, "LARGEST_PAGE", 20)
    caller, path = admin if row.role == policy.ADMIN else bob, path_of(row)
    few = costs.measure(lambda: caller.get(path, status=None))
    grow(100)
    many = costs.measure(lambda: caller.get(path, status=None))
    assert (many["status"], many["statements"], many["calls"]) == (few["status"], few["statements"], few["calls"])
    # Some bytes more come from longer names and numbers.
    steady = many["steps"] <= few["steps"] * 1.05 and many["bytes"] <= few["bytes"] * 1.05 + 30
    assert steady == (row.path.removeprefix("/{tenant_id}") not in GROW), (few, many)


@pytest.mark.slow
@pytest.mark.parametrize("db", ["mariadb", "postgresql"], indirect=True)
def test_no_get_reads_more_rows(world, bob, admin, monkeypatch, grow, path_of, costs):
    """On the servers, where plans depend on statistics: with twice as many rows no GET reads more of them."""
    monkeypatch.setattr(service, "LARGEST_PAGE", 20)
    [marker] = grow(1)
    queries = [(bob, f"/instances?{query}") for query in (
        f"marker={marker}", "include_clustered=true", f"include_clustered=true&marker={marker}")]
    queries += [(admin, f"/mgmt/instances?{query}") for query in (
        "include_clustered=true", "deleted=false", "deleted=true", "deleted=false&include_clustered=true",
        "project_id=tenant-b", "project_id=tenant-b&deleted=false", f"marker={marker}")]
    queries += [(admin if row.role == policy.ADMIN else bob, path_of(row)) for row in GETS
                if row.path.removeprefix("/{tenant_id}") not in GROW]

    def measured():
        _analyze(world.db)
        return {path: costs.measure(functools.partial(caller.get, path, status=None)) for caller, path in queries}
    grow(1000)
    few = measured()
    grow(1050)
    many = measured()
    assert len({found["steps"] for found in few.values()}) > 5  # something is counted
    more = {path: (few[path]["steps"], found["steps"]) for path, found in many.items()
            if found["steps"] > few[path]["steps"] + 5 or found["statements"] != few[path]["statements"]}
    assert not more


def _analyze(db):
    """Let a server look at its tables, as it does by itself some time after they have changed."""
    engine = db.get_engine()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in tables.metadata.tables:
            connection.exec_driver_sql(f"ANALYZE {'TABLE ' if engine.dialect.name == 'mysql' else ''}{table}")


@pytest.mark.parametrize("path", [
    "/instances", "/instances?marker=0", "/instances?include_clustered=true",
    "/instances?include_clustered=true&marker=0", "/instances/detail?marker=0", "/mgmt/instances?deleted=false",
    "/mgmt/instances?deleted=true", "/backups", "/configurations",
    "/mgmt/instances?include_clustered=true", "/mgmt/instances?marker=0", "/mgmt/instances?marker=0&deleted=false",
    "/mgmt/instances?project_id=tenant-b&marker=0", "/backups?all_projects=true"])
def test_what_was_deleted_costs_nothing(world, admin, monkeypatch, grow, costs, path):
    monkeypatch.setattr(service, "LARGEST_PAGE", 20)
    admin.tenant = "tenant-b"
    admin.headers["X-Auth-Token"] = "tenant-b:u:admin"
    [marker], found = grow(1), []
    with world.db.writer() as session:
        session.execute(tables.instances.update().where(tables.instances.c.id == marker).values(
            created=datetime.datetime(2026, 1, 1)))
    path = path.replace("marker=0", f"marker={marker}")
    for _ in range(3):
        for table in (tables.instances, tables.backups, tables.configurations):
            with world.db.writer() as session:
                session.execute(table.update().values(deleted=True))
        grow(50)
        found.append(costs.measure(lambda: admin.get(path)))
    assert found[2]["steps"] <= found[1]["steps"] * 1.05, found
