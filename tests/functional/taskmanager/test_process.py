"""The program trove-taskmanager as a process, with a real RabbitMQ: messages, kill -9, SIGTERM, many at once."""
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import rabbitmq, waiting
from tests.functional.taskmanager.conftest import NOTHING, use_broker
from trove.common.cfg import CONF
from trove.operation import models as operations
from trove.taskmanager import api

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


class Programs:
    """Starts task managers that see what the test sees; ``log`` is the file they write to."""

    def __init__(self, world, node, directory):
        self.world, self.log, self._running = world, directory / "log", []
        config = {
            "transport_url": node.transport_url, "operation_key": CONF.operation_key[0],
            "trove_auth_url": CONF.trove_auth_url, "nova_proxy_admin_user": CONF.nova_proxy_admin_user,
            "nova_proxy_admin_pass": CONF.nova_proxy_admin_pass, "template_path": CONF.template_path,
            "nova_proxy_admin_tenant_name": "service", "guest_config": CONF.guest_config, "operation_lease": 2,
            "operation_sweep_interval": 0.3, "remote_guest_client": "tests.fakes.agent.guest_client", "host": "tm",
            "reconcile_interval": 0.5, "operation_drain_timeout": 10}
        bus = {"management_url": node.management_url, "management_user": rabbitmq.ADMIN,
               "management_password": rabbitmq.PASSWORD, "address": node.address}
        self._config = directory / "trove.conf"
        self._config.write_text("\n".join(
            ["[DEFAULT]", *(f"{name} = {value}" for name, value in config.items()),
             "[database]", f"connection = {CONF.database.connection}", "sqlite_synchronous = false",
             "[guest_bus]", *(f"{name} = {value}" for name, value in bus.items()), ""]))

    def start(self):
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "trove.cmd.taskmanager", "--config-file", str(self._config)],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log)
        self._running.append(process)
        return process

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def started(self, count=1):
        eventually(lambda: self.text().count("serves the topic") >= count, self)

    def stop(self):
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def eventually(condition, programs):
    return waiting.wait_until(condition, explain=lambda: programs.text()[-4000:])


@pytest.fixture
def programs(world, conf, node, tmp_path):
    use_broker(conf, node)
    made = Programs(world, node, tmp_path)
    yield made
    made.stop()


def ended(world, operation_id):
    operation = world.operation(operation_id)
    return operation if operation.state not in operations.LIVE_STATES else None


def test_a_message_begins_the_work_and_sigterm_ends_the_process(world, programs, context):
    process = programs.start()
    programs.started()
    instance_id, operation_id = world.create()
    api.API(context).wake(operation_id)
    operation = eventually(lambda: ended(world, operation_id), programs)
    assert operation.state == operations.DONE, operation.error
    assert "Traceback" not in programs.text()
    process.send_signal(signal.SIGTERM)
    assert waiting.end_of(process) == 0
    deletion = world.delete(instance_id)
    programs.start()  # finds what was asked for while nobody was there
    operation = eventually(lambda: ended(world, deletion), programs)
    assert operation.state == operations.DONE, operation.error
    assert {key: value for key, value in world.counts().items() if value} == {}


def test_ten_at_once_survive_kill_9_of_either_of_two(world, programs, context):
    chance = random.Random(7)  # noqa: S311 - no secret
    victims = [programs.start(), programs.start()]
    programs.started(2)
    created = [world.create() for _ in range(10)]
    for _, operation_id in created:
        api.API(context).wake(operation_id)
    for turn in range(4):
        time.sleep(chance.uniform(0.05, 0.6))
        victims[turn % 2].kill()
        victims[turn % 2] = programs.start()
    for _, operation_id in created:
        operation = eventually(lambda wanted=operation_id: ended(world, wanted), programs)
        assert operation.state == operations.DONE, operation.error
    assert world.counts()["servers"] == world.counts()["volumes"] == world.counts()["guests"] == 10
    deletions = [world.delete(instance_id) for instance_id, _ in created]
    for deletion in deletions:
        operation = eventually(lambda wanted=deletion: ended(world, wanted), programs)
        assert operation.state == operations.DONE, operation.error
    assert world.counts() == NOTHING


def test_a_dead_broker_keeps_it_neither_from_work_nor_from_stopping(world, programs, context):
    with programs._config.open("a") as config:
        config.write("[DEFAULT]\ntransport_url = rabbit://u:a-password@127.0.0.1:1//\n")
    _, operation_id = world.create()
    process = programs.start()
    # Account and queues are made through the management API, which lives, and the fake guest hears commands by itself.
    operation = eventually(lambda: ended(world, operation_id), programs)
    assert operation.state == operations.DONE, operation.error
    process.send_signal(signal.SIGTERM)
    assert waiting.end_of(process) == 0


@pytest.mark.parametrize(("line", "sentence"), [
    ("[guest_bus]\nmanagement_password = secret", "set [guest_bus] management_password to a password of your own"),
    ("[guest_bus]\naddress =", "set [guest_bus] address"),
    ("[mysql]\ntcp_ports = 3306,x-1", "option [mysql] tcp_ports: 'x-1' is neither a port"),
    ("[DEFAULT]\nnetwork_driver = trove.network.base.NetworkDriver", "option network_driver"),
    ("[DEFAULT]\noperation_key =", "set [DEFAULT] operation_key to a secret of your own"),
])
def test_it_refuses_to_start_with_a_sentence(programs, line, sentence):
    with programs._config.open("a") as config:
        config.write(line + "\n")
    process = programs.start()
    assert waiting.end_of(process) == 1
    assert sentence in programs.text()
    assert "Traceback" not in programs.text()
