"""One request through the running system, asked for by real clients: its id in all logs, and one trace of all services.

For these tests the services are restarted with [profiler] set, and a MariaDB of the tests keeps the traces.
"""
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from onebox import config, services, venv
from onebox.settings import locate

from tests.scenarios.conftest import LEGACY, OPENSTACK
from tests.scenarios.support import PASSWORD, TOOL, wait_until

KEY = "a-key-of-traces-for-tests-only"
PROFILER = "osprofiler==4.4.0"


@pytest.fixture(scope="module")
def store(system, mariadb):
    """The URL of the store of traces, while the services write to it."""
    path = system.settings.etc / config.CONTROL_PLANE
    before, url = path.read_text(), mariadb.new_database("traces")
    options = {"enabled": True, "trace_sqlalchemy": True, "hmac_keys": KEY, "connection_string": url}
    path.write_text(f"{before}\n{config.text({'profiler': options})}")
    services.ensure(system.settings)
    yield url
    path.write_text(before)
    services.ensure(system.settings)


def traced(program, environment, *arguments):
    """Run a client with a key of traces; returns the id that it prints of its trace."""
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=TOOL, check=False,
                          env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return re.search(r"Trace ID: ([0-9a-f-]{36})", done.stdout + done.stderr)[1]


def nodes(store, trace_id):
    """{(service, path of names)} and the text of what ``osprofiler trace show`` prints."""
    done = subprocess.run([str(Path(sys.executable).with_name("osprofiler")), "trace", "show", "--json",
                           "--connection-string", store, trace_id],
                          capture_output=True, text=True, timeout=TOOL, check=False)
    found = set()

    def walk(node, path):
        path = (*path, node["info"]["name"])
        found.add((node["info"]["service"], path))
        for child in node["children"]:
            walk(child, path)
    if done.returncode == 0:
        for child in json.loads(done.stdout)["children"]:
            walk(child, ())
    return found, done.stdout


STEP = ("wsgi", "operation", "step")
CREATION = {("api", ("wsgi",)), ("api", ("wsgi", "db")), ("taskmanager", STEP[:2]), ("taskmanager", STEP),
            ("taskmanager", (*STEP, "db")), ("guestagent", (*STEP, "guest")),
            ("guestagent", (*STEP, "guest", "command")), ("conductor", (*STEP, "conductor")),
            ("conductor", (*STEP, "conductor", "db"))}


def test_a_creation(system, store, tenant_environment, leaves_nothing):
    environment = venv.client(locate()[1], "client-openstack-traced", (*OPENSTACK, PROFILER))
    trace_id = traced(
        environment / "bin/openstack", tenant_environment, "--os-profile", KEY, "database", "instance", "create",
        "traced", "--flavor", system.smallest_flavor(), "--size", "1", "--datastore", "mariadb",
        "--datastore-version", "10.11", "--databases", "app", "--users", f"alice:{PASSWORD}")
    instance_id = next(item["id"] for item in system.api.get("/instances").json()["instances"]
                       if item["name"] == "traced")
    assert system.wait_ended(instance_id)["status"] == "ACTIVE"

    def complete():
        found, text = nodes(store, trace_id)
        return text if found >= CREATION else None
    text = wait_until(complete, 60, 1)
    assert "INSERT INTO instances" in text
    for secret in (KEY, PASSWORD):
        assert secret not in text

    logs = {name: (system.settings.logs / f"{name}.log").read_text(errors="replace") for name in services.NAMES}
    logs["guest"] = system.guest(instance_id, "journalctl", "--no-pager", "-u", "trove-guestagent")
    request_id = re.findall(r"(req-[0-9a-f-]{36}) .*POST /v1\.0/\w+/instances 200", logs["trove-api"])[-1]
    for name, word in (("trove-taskmanager", "step guest done"), ("guest", "is prepared"),
                       ("trove-conductor", "its guest reports that its database is running")):
        assert any(word in line for line in logs[name].splitlines() if request_id in line), name
    assert KEY not in "".join(logs.values())
    assert KEY not in system.guest(instance_id, "cat", "/etc/trove/conf.d/guest_info.conf",
                                   "/etc/trove/conf.d/trove-guestagent.conf")
    system.delete(instance_id)


def test_a_question_to_a_guest_by_the_client_of_the_era(system, store, tenant_environment):
    environment = venv.client(locate()[1], "client-trove-traced", (*LEGACY, PROFILER))
    trace_id = traced(environment / "bin/trove", tenant_environment, "--profile", KEY, "user-list", "m1")
    wanted = {("api", ("wsgi",)), ("api", ("wsgi", "db")), ("guestagent", ("wsgi", "guest")),
              ("guestagent", ("wsgi", "guest", "datastore"))}
    wait_until(lambda: nodes(store, trace_id)[0] >= wanted, 60, 1)
