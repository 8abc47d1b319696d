"""The agent as a process on a real broker, with no more rights there than guests have: serving, surviving, refused."""
import contextlib
import signal
import subprocess
import sys
import time

import pytest
import requests

from tests import rabbitmq, waiting
from tests.functional.taskmanager.conftest import use_broker
from trove import rpc
from trove.common import crypto, exception, transport
from trove.guestagent import api
from trove.taskmanager.steps import bus

pytestmark = pytest.mark.slow

INSTANCE = "0c0c0c0c-0000-4000-8000-00000000000c"
OTHER = "0d0d0d0d-0000-4000-8000-00000000000d"
PROGRAM = """
import pathlib, sys
from trove.cmd import guest
from trove.guestagent.datastore.manager import Manager
Manager.booted_marker = pathlib.Path(sys.argv.pop())
guest.main()
"""


def manage(node, path, body):
    requests.put(f"{node.management_url}/api/{path}", json=body, timeout=10,
                 auth=(rabbitmq.ADMIN, rabbitmq.PASSWORD)).raise_for_status()


@pytest.fixture(scope="module")
def node():
    node = rabbitmq.RabbitMQ().start()
    for instance_id in (INSTANCE, OTHER):
        manage(node, f"users/guest-{instance_id}", {"password": "pw", "tags": ""})
    yield node
    node.stop()


@pytest.fixture
def control_plane(node, db, conf):
    """This process as one of the control plane, which makes what the guest may use."""
    use_broker(conf, node)
    conf.set_override("agent_call_low_timeout", 2)
    with bus.Broker() as broker:
        for instance_id in (INSTANCE, OTHER):
            bus.furnish(broker, instance_id, transport.guest_account(instance_id))
    yield conf
    rpc.cleanup()


@pytest.fixture
def agent(node, tmp_path, conf):
    """Starts the agent; options may be changed. Gives the process, whose output is in tmp_path/log."""
    started = []

    def start(**changes):
        options = {"guest_id": INSTANCE, "datastore_manager": "mariadb", "guest_key": crypto.guest_key(INSTANCE),
                   "transport_url": f"rabbit://guest-{INSTANCE}:pw@{node.address}//", "report_interval": 1,
                   "guest_state_dir": tmp_path / "state", **changes}
        (tmp_path / "conf.d").mkdir(exist_ok=True)
        (tmp_path / "conf.d" / "guest_info.conf").write_text(
            "\n".join(["[DEFAULT]", *(f"{name} = {value}" for name, value in options.items())]))
        with (tmp_path / "log").open("wb") as log:
            started.append(subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", PROGRAM, f"--config-dir={tmp_path / 'conf.d'}",
                 str(tmp_path / "booted")], stdout=log, stderr=log))
        return started[-1]
    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def answers(context):
    """Whether the agent obeys a command."""
    def obeys():
        with contextlib.suppress(exception.GuestError):
            return api.API(context, INSTANCE).rpc_ping()
    return waiting.wait_until(obeys)


def test_it_serves_and_ends(control_plane, agent, context):
    process = agent()
    assert answers(context) is True
    with pytest.raises(exception.Forbidden, match="command was refused"), rpc.answered_by(INSTANCE):
        rpc.get_client(f"guestagent.{INSTANCE}", "guestagent").prepare(timeout=60).call(context, "rpc_ping")
    with pytest.raises(exception.GuestTimeout), rpc.GuestErrors():  # without that the broker drops the answer
        signed = rpc.signed(context, crypto.guest_key(INSTANCE), "rpc_ping", {})
        rpc.get_client(f"guestagent.{INSTANCE}", "guestagent").prepare(timeout=1).call(signed, "rpc_ping")
    with pytest.raises(exception.ServiceUnavailable, match="connect"):
        api.API(context, INSTANCE).list_databases()
    process.send_signal(signal.SIGTERM)
    assert waiting.end_of(process) == 0


def test_it_outlives_a_broker_that_was_killed(control_plane, agent, context, node):
    process = agent()
    assert answers(context) is True
    node.kill_node()
    time.sleep(5)
    assert process.poll() is None
    node.start_node()
    rpc.cleanup()
    assert answers(context) is True


def test_it_starts_before_the_broker(control_plane, agent, context, node, tmp_path):
    node.kill_node()
    try:
        process = agent()
        waiting.wait_until(lambda: "Connection failed" in (tmp_path / "log").read_text())
        process.send_signal(signal.SIGTERM)
        assert waiting.end_of(process) == 0
        process = agent()
    finally:
        node.start_node()
    rpc.cleanup()
    assert process.poll() is None
    assert answers(context) is True


@pytest.mark.parametrize("changes", [
    {"guest_id": OTHER},
    {"transport_url": "rabbit://guest-nobody:pw@{address}//"},
], ids=["topic of another", "unknown user"])
def test_a_refusal_of_the_broker_ends_it_with_a_sentence(control_plane, agent, node, tmp_path, changes):
    process = agent(**{name: value.format(address=node.address) for name, value in changes.items()})
    assert waiting.end_of(process) == 1
    said = (tmp_path / "log").read_text()
    assert "Cannot start: the broker refuses what the agent needs" in said
    assert "ACCESS_REFUSED" in said
    assert "Traceback" not in said
