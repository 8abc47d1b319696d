"""One request through the four programs: its id in the log lines of all that work for it, also after a takeover."""
import re

import pytest

from tests.functional.deployment import Deployment
from trove import rpc

pytestmark = pytest.mark.slow


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


def test_a_guest_cannot_speak_for_another_request(deployment, conf, context):
    """What a guest says of its request is believed only if the control plane has said it to this guest."""
    from trove.common import crypto
    from trove.common.context import TroveContext
    from trove.conductor import api
    deployment.start("conductor")
    instance_id = "0c0c0c0c-0000-4000-8000-00000000000c"
    conf.set_override("transport_url", deployment.node.transport_url)
    conf.set_override("guest_key", crypto.guest_key(instance_id))
    rpc.cleanup()
    forged = TroveContext(request_id="req-forged\nERROR a line of the guest's own", overwrite=False,
                          origin={"request_id": "req-forged", "until": 1e11, "trace": None, "seal": "00"})
    api.API(forged).heartbeat(instance_id, {"service_status": "running"})
    deployment.eventually(lambda: "does not exist (any more)" in deployment.log("conductor"))
    assert "forged" not in deployment.log("conductor")
    assert not re.search(r"^ERROR", deployment.log("conductor"), re.MULTILINE)
