"""One request through the four programs: its id in the log lines of all that work for it, also after a takeover, and
one trace of what each did, which osprofiler's own command shows.
"""
import json
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from osprofiler import _utils as osprofiler_utils

from tests.functional.deployment import SERVICES, Deployment
from tests.rabbitmq import messages
from trove import rpc

pytestmark = pytest.mark.slow
KEY = "a-key-of-traces-for-tests-only"


@pytest.fixture
def deployment(db, conf, node, running_cloud, tmp_path):
    running_cloud.configure(conf)
    made = Deployment(db, running_cloud, node, tmp_path)
    yield made
    made.stop()
    running_cloud.clear()
    rpc.cleanup()


def lines(text, request_id):
    """The log lines of a request, without what stands before the message."""
    return [line.split("] ", 1)[1] for line in text.splitlines() if request_id in line]


def test_its_id_is_in_every_log(deployment):
    deployment.start()
    answer = deployment.create()
    request_id, instance_id = answer.headers["x-openstack-request-id"], answer.json()["instance"]["id"]
    deployment.eventually(lambda: "step prepare done" in deployment.log("taskmanager"))
    earlier = lines(deployment.kill("taskmanager"), request_id)
    deployment.start("taskmanager")
    deployment.start_agent(instance_id)
    deployment.wait_active(instance_id)

    assert any("POST" in line for line in lines(deployment.log("api"), request_id))
    assert any("step volume done" in line for line in earlier)
    later = lines(deployment.log("taskmanager"), request_id)
    assert any("is claimed, attempt 2" in line for line in later)
    assert any("step guest done" in line for line in later)
    guest = lines(deployment.log("guestagent"), request_id)
    assert any("the stone is prepared" in line for line in guest)
    assert any("reported running" in line for line in guest)
    assert any(f"{instance_id}: its guest reports that its database is running" in line
               for line in lines(deployment.log("conductor"), request_id))

    # A request that the API answers from the guest alone, and one that fails.
    answer = deployment.request("GET", f"/instances/{instance_id}/databases")
    assert any("the stone lists" in line for line in lines(
        deployment.log("guestagent"), answer.headers["x-openstack-request-id"]))
    refused = deployment.request("GET", f"/instances/{instance_id}/users")
    assert refused.json()["badRequest"]["request_id"] == refused.headers["x-openstack-request-id"]

    # Nothing of a request stays behind in what comes later.
    deployment.eventually(lambda: deployment.log("guestagent").count("reported running") >= 1)
    tail = lines(deployment.log("conductor"), request_id)
    assert len([line for line in tail if "is running" in line]) == 1


def test_what_a_guest_does_is_notified_when_it_has_done_it(deployment):
    deployment.sections["oslo_messaging_notifications"] = {"driver": "messagingv2"}
    deployment.start()
    instance_id = deployment.create().json()["instance"]["id"]
    deployment.start_agent(instance_id)
    deployment.wait_active(instance_id)
    made = deployment.request("POST", f"/instances/{instance_id}/databases", json={"databases": [
        {"name": "shop"}, {"name": "archive"}]})
    failing = deployment.request("DELETE", f"/instances/{instance_id}/databases/shop")  # the stone cannot do that
    assert (made.status_code, failing.status_code) == (202, 400)
    assert "operation is not supported" in failing.json()["badRequest"]["message"]
    found = {}
    for message in messages(deployment.node, 7):
        found[message["event_type"]] = message["payload"]
    assert found.keys() == {f"dbaas.{event}" for event in (
        "instance_create.start", "instance_create.end", "database_create.start", "database_create.end",
        "database_delete.start", "database_delete.error")} | {"trove.instance.create"}
    for event in ("start", "end"):
        payload = found[f"dbaas.database_create.{event}"]
        assert (payload["dbname"], payload["instance_id"], payload["client_ip"]) == (
            "shop.archive", instance_id, "127.0.0.1")
        assert payload["request_id"] == made.headers["x-openstack-request-id"]
        assert payload["server_type"] == {"start": "api", "end": "taskmanager"}[event]
    assert found["dbaas.database_delete.error"]["exception"] == "DatastoreOperationNotSupported"


def test_a_guest_cannot_speak_for_another_request(deployment, conf, context):
    """What a guest says of its request is believed only if the control plane has said it to this guest."""
    from trove.common import crypto
    from trove.common.context import TroveContext
    from trove.conductor import api
    deployment.start("conductor")
    instance_id = "0c0c0c0c-0000-4000-8000-00000000000c"
    conf.set_override("transport_url", deployment.node.transport_url)
    conf.set_override("guest_key", crypto.guest_key(instance_id))
    conf.set_override("credentials", "shared", "guest_bus")
    rpc.cleanup()
    forged = TroveContext(request_id="req-forged\nERROR a line of the guest's own", overwrite=False,
                          origin={"request_id": "req-forged", "until": 1e11, "trace": None, "seal": "00"})
    api.API(forged).heartbeat(instance_id, {"service_status": "running"})
    deployment.eventually(lambda: "does not exist (any more)" in deployment.log("conductor"))
    assert "forged" not in deployment.log("conductor")
    assert not re.search(r"^ERROR", deployment.log("conductor"), re.MULTILINE)


@pytest.fixture
def traced(db, conf, node, running_cloud, mariadb, tmp_path):
    """A deployment whose traces lie in a MariaDB."""
    running_cloud.configure(conf)
    store = mariadb.new_database("traces")
    made = Deployment(db, running_cloud, node, tmp_path, {"profiler": {
        "enabled": True, "trace_sqlalchemy": True, "hmac_keys": KEY, "connection_string": store}})
    made.store = store
    yield made
    made.stop()
    running_cloud.clear()
    rpc.cleanup()


def trace_headers(base_id):
    """What a client sends that knows the key."""
    info, proof = osprofiler_utils.signed_pack({"base_id": base_id, "parent_id": base_id}, KEY)
    return {"X-Trace-Info": info.decode(), "X-Trace-HMAC": proof}


def shown(deployment, base_id):
    """What ``osprofiler trace show`` prints, as [(path of names, node's info)]."""
    found = []

    def walk(node, path):
        path = (*path, node["info"]["name"])
        found.append((path, node["info"]))
        for child in node["children"]:
            walk(child, path)

    done = subprocess.run([str(Path(sys.executable).with_name("osprofiler")), "trace", "show", "--json",
                           "--connection-string", deployment.store, base_id],
                          capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 0:
        for child in json.loads(done.stdout)["children"]:
            walk(child, ())
    return found


def test_one_trace_shows_what_each_program_did_for_it(traced):
    traced.start()
    base_id = str(uuid.uuid4())
    instance_id = traced.create(trace_headers(base_id)).json()["instance"]["id"]
    traced.start_agent(instance_id)
    traced.wait_active(instance_id)
    nodes = traced.eventually(lambda: (nodes := shown(traced, base_id)) and any(
        path[-1] == "operation" for path, _ in nodes) and any(path[-1] == "guest" for path, _ in nodes) and nodes)
    kinds = {(info["service"], path) for path, info in nodes}
    below = ("wsgi", "operation", "step")
    assert {("api", ("wsgi",)), ("api", ("wsgi", "db")), ("taskmanager", ("wsgi", "operation")),
            ("taskmanager", below), ("taskmanager", (*below, "db")), ("guestagent", (*below, "guest")),
            ("guestagent", (*below, "guest", "command")), ("conductor", (*below, "conductor")),
            ("conductor", (*below, "conductor", "db"))} <= kinds
    assert {path[0] for path, _ in nodes} == {"wsgi"}, "one tree"
    raw = json.dumps([info for _, info in nodes], default=str)
    assert "INSERT INTO instances" in raw
    assert instance_id in raw
    assert KEY not in raw + "".join(traced.log(name) for name in (*SERVICES, "guestagent"))

    # Without a key, or with another, nothing is traced.
    other = str(uuid.uuid4())
    forged = trace_headers(other)
    traced.request("GET", "/instances", headers={**forged, "X-Trace-HMAC": "0" * len(forged["X-Trace-HMAC"])})
    assert shown(traced, other) == []
