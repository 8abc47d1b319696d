"""A change of databases through the four programs: done when it is answered, whoever is away or dies meanwhile."""
import concurrent.futures
import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.functional.test_one_request import deployment  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow


def create(system, instance_id, name):
    """Make a database: (status, what the header says of its operation, id of that)."""
    made = system.request("POST", f"/instances/{instance_id}/databases", json={"databases": [{"name": name}]})
    return made.status_code, made.headers.get("X-Operation-State"), made.headers.get("X-Operation-Id")


def names(system, instance_id):
    found = system.request("GET", f"/instances/{instance_id}/databases").json()["databases"]
    return [database["name"] for database in found]


def state(system, instance_id, operation_id):
    found = system.request("GET", f"/instances/{instance_id}/operations/{operation_id}").json()["operation"]
    return found["state"]


def kill_api(system):
    """Its worker would answer what it has begun, if only its parent was killed."""
    workers = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            start, _, rest = stat.read_text().rpartition(")")
            if int(rest.split()[1]) == system.pid("api"):
                workers.append(int(start.split()[0]))
    system.kill("api")
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert workers


def test_databases_are_there_when_it_is_answered(deployment):  # noqa: F811
    deployment.sections["DEFAULT"].update(answer_wait=20, agent_call_high_timeout=2, operation_retry_interval=0.2)
    deployment.start()
    instance_id = deployment.create().json()["instance"]["id"]
    deployment.start_agent(instance_id)
    deployment.wait_active(instance_id)
    for number in range(3):
        assert create(deployment, instance_id, f"d{number}")[:2] == (202, "done")
        assert f"d{number}" in names(deployment, instance_id)

    # The first answer of the guest comes too late, and is asked for again.
    assert create(deployment, instance_id, "slow")[:2] == (202, "done")
    assert "slow" in names(deployment, instance_id)
    assert create(deployment, instance_id, "slow")[0] == 400

    # The task manager is away: nothing waits longer than it may, and nothing is lost.
    deployment.sections["DEFAULT"]["answer_wait"] = 1
    kill_api(deployment)
    deployment.start("api")
    os.kill(deployment.pid("taskmanager"), signal.SIGSTOP)
    status, word, operation_id = create(deployment, instance_id, "later")
    assert (status, word, state(deployment, instance_id, operation_id)) == (202, "running", "pending")
    assert "later" not in names(deployment, instance_id)
    os.kill(deployment.pid("taskmanager"), signal.SIGCONT)
    deployment.eventually(lambda: state(deployment, instance_id, operation_id) == "done", pause=0.3)
    assert "later" in names(deployment, instance_id)

    # The API dies while it waits, and the task manager in the middle of the command.
    deployment.sections["DEFAULT"]["answer_wait"] = 20
    kill_api(deployment)
    deployment.start("api")
    before = deployment.log("guestagent").count("the stone makes")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(create, deployment, instance_id, "slow-too")
        deployment.eventually(lambda: deployment.log("guestagent").count("the stone makes") > before)
        kill_api(deployment)
        assert waiting.exception() is not None
    deployment.kill("taskmanager")
    deployment.start("api", "taskmanager")
    newest = f"/instances/{instance_id}/operations?limit=1"
    deployment.eventually(lambda: deployment.request("GET", newest).json()["operations"][0]["state"] == "done",
                          pause=0.3)
    assert "slow-too" in names(deployment, instance_id)
