"""schemathesis makes requests from the document of the API, fitting and spoilt, for every route and four callers.

Every answer is held to the document (``tests.openapi.Checked``), which knows no 500. What belongs to one tenant is
neither shown to the other nor changed by it. How many requests: ``--fuzz-cases``, spread over the routes; each route
gets the same ones in every run.
"""
import json
import math
import random
from urllib import parse

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.functional.test_clusters import add as add_cluster
from tests.functional.test_configurations import group as add_configuration
from tests.functional.test_modules import add as add_module
from tests.functional.test_security_groups import add_group
from tests.functional.world import UNKNOWN, create_active
from trove.common import openapi
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks

pytestmark = [pytest.mark.slow, pytest.mark.fuzz]
SECRET = "seen-by-tenant-a-alone"
SCHEMA = schemathesis.openapi.from_dict(openapi.document())
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]
PUBLIC = ("/", "/v1.0/openapi.json")
WATCHED = (tables.instances, tables.backups, tables.configurations, tables.modules, tables.clusters, tables.operations)


def _given(value):
    """A value as it goes into a query: schemathesis makes JSON values for parameters, too."""
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_any_request(operation, world, cloud, options, app, alice, bob, admin, request):
    for resource in ("instances", "volumes", "backups"):
        options.set_override(f"max_{resource}_per_tenant", -1)
    instance_id = create_active(world, alice, name=SECRET)
    theirs = {"instance_id": instance_id, "cluster_id": add_cluster(world)[0],
              "module_id": add_module(alice, name=SECRET)["id"], "group_id": add_group(world, instance_id),
              "configuration_id": add_configuration(alice, name=SECRET),
              "backup_id": alice.post("/backups", {"backup": {"instance": instance_id, "name": SECRET}},
                                      status=202).json["backup"]["id"],
              "version_id": world.catalog["mysql 5.7"].id, "datastore": "mysql", "version": "5.7", "flavor": "1",
              "name": "bob", "user": "bob", "database": "db1", "tenant": alice.tenant}
    callers = {"tenant": alice, "admin": admin, "other": bob, "nobody": None}
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    if not any(True for _ in operation.iter_parameters()) and not operation.body:
        modes = modes[:1]

    def belongings():
        return [[row for row in world.rows(table) if alice.tenant in row.values() or instance_id in row.values()]
                for table in WATCHED]

    def send(case, who, seed):
        caller, chance = callers[who], random.Random(seed)
        values = {name: theirs.get(name, UNKNOWN) if chance.random() < 0.7 else parse.unquote(str(value))
                  for name, value in (case.path_parameters or {}).items()}
        values["tenant_id"] = caller.tenant if caller and chance.random() < 0.95 else alice.tenant
        path = operation.path
        for name, value in values.items():
            path = path.replace(f"{{{name}}}", parse.quote(value, safe="", errors="replace"))
        query = [(name, _given(value)) for name, value in (case.query or {}).items()]
        url = f"{path}?{parse.urlencode(query, errors='replace')}" if query else path
        body = getattr(case, "body", None)
        if not isinstance(body, (dict, list, str, int, float, bool, bytes)):
            body = None
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", **({"Content-Type": "application/json"} if content else {}),
                   **({"X-Auth-Token": caller.headers["X-Auth-Token"]} if caller else {})}
        return app.request(url, method=operation.method.upper(), headers=headers, expect_errors=True,
                           **({"body": content} if content is not None else {}))

    sent = []

    def run(mode, number):
        @settings(max_examples=number, database=None, deadline=None, derandomize=True,
                  suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode), who=st.sampled_from(sorted(callers)),
               seed=st.integers(0, 2**32))
        def check(case, who, seed):
            world.set(instance_id, task=InstanceTasks.NONE)
            before = belongings() if who in ("other", "nobody") else None
            answer = send(case, who, seed)
            sent.append(answer.status_int)
            if who == "nobody" and operation.path not in PUBLIC:
                assert answer.status_int in (401, 404), answer.text
            if before is not None:
                assert SECRET not in answer.text
                assert belongings() == before
        check()

    each = math.ceil(request.config.getoption("--fuzz-cases") / len(OPERATIONS) / len(modes))
    for mode in modes:
        run(mode, each)
    assert len(sent) >= each * len(modes), "there are not that many different requests to this route"
