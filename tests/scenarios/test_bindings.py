"""The Python bindings of python-troveclient 8.11.0 for what its commands do not reach: the management API."""
import json
import subprocess

import pytest
from onebox import cloud

from tests.scenarios.support import TOOL

LOG_IN = """
import json, os
from keystoneauth1 import loading, session
from troveclient.v1 import client
names = {name[3:].lower(): value for name, value in os.environ.items() if name.startswith("OS_")}
region, _ = names.pop("region_name"), names.pop("identity_api_version")
login = session.Session(auth=loading.get_plugin_loader("v3password").load_from_options(**names))
trove = client.Client(session=login, service_type="database", region_name=region)
print(json.dumps(%s))
"""


@pytest.fixture
def evaluate(system, openstack):
    """The value of an expression in the client's environment, where ``trove`` is the administrator's client."""
    def value(expression):
        done = subprocess.run([openstack.program.removesuffix("openstack") + "python", "-W", "ignore", "-"],
                              input=LOG_IN % expression, capture_output=True, text=True, timeout=TOOL, check=False,
                              env={"PATH": "/usr/bin:/bin", **cloud.admin_environment(system.settings)})
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)
    return value


def test_quotas(evaluate, system):
    """The administrator sees and changes what the tenant's limits then say."""
    tenant = system.tenant_id
    before = evaluate(f"{{quota.resource: quota.limit for quota in trove.quota.show({tenant!r})}}")
    assert {"instances", "volumes", "backups"} <= set(before)
    assert evaluate(f"trove.quota.update({tenant!r}, {{'backups': 77}})")["backups"] == 77
    [absolute] = [limit for limit in system.api.get("/limits").json()["limits"] if limit["verb"] == "ABSOLUTE"]
    assert absolute["max_backups"] == 77
    evaluate(f"trove.quota.update({tenant!r}, {{'backups': {before['backups']}}})")


def test_instances_of_all_tenants(evaluate, system):
    """Listed and shown with what only an administrator sees."""
    m1 = system.m1["id"]
    assert m1 in evaluate("[each.id for each in trove.mgmt_instances.list()]")
    shown = evaluate(f"trove.mgmt_instances.show({m1!r}).to_dict()")
    assert shown["tenant_id"] == system.tenant_id
    assert shown["server"]["id"] == system.server(m1)
    assert evaluate(f"trove.mgmt_instances.root_enabled_history({m1!r}).to_dict()")["id"] == m1
