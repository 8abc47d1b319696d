"""The program trove-conductor with a real broker and a MariaDB: many guests, kill -9, broker and database lost."""
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kombu
import pytest

from tests import waiting
from tests.functional.taskmanager.conftest import use_broker
from trove import rpc
from trove.common import crypto
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.common.instance import ServiceStatuses
from trove.conductor import api
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db.sqlalchemy import tables
from trove.instance.models import DBInstance, InstanceServiceStatus
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.security_event import models as events
from trove.taskmanager.steps import bus

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
SERVES = "serves the topic"
GUESTS = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(20)]
NEW = "99999999-1111-4111-8111-111111111111"
# The last words of each guest by its own count; what it said before is SHUTDOWN.
WORDS = [ServiceStatuses.SHUTDOWN.description] * 9 + [ServiceStatuses.RUNNING.description]


def eventually(condition, log, timeout=waiting.PATIENCE):
    return waiting.wait_until(condition, timeout, explain=lambda: log.read_text(errors="replace")[-4000:])


class World:
    """The conductor with two workers, and what it writes."""

    def __init__(self, db, node, directory):
        self.db, self.node, self.log, self._process = db, node, directory / "log", None
        self._config = directory / "trove-conductor.conf"
        self._config.write_text(
            f"[DEFAULT]\ntransport_url = {node.transport_url}\noperation_key = {CONF.operation_key[0]}\nhost = co\n"
            f"trove_conductor_workers = 2\nuse_stderr = true\n"
            f"conductor_guest_list_interval = 3600\n[database]\nconnection = {CONF.database.connection}\n")

    def start(self):
        with open(self.log, "ab") as log:
            before = self.log.read_text().count(SERVES)
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "trove.cmd.conductor", "--config-file", str(self._config)],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log)
        eventually(lambda: self.log.read_text().count(SERVES) >= before + 2, self.log)

    def workers(self):
        return [int(child) for path in Path(f"/proc/{self._process.pid}/task").glob("*/children")
                for child in path.read_text().split()]

    def stop(self):
        """SIGTERM as an operator sends it; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return waiting.end_of(self._process)
        finally:
            for pid in self.workers():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.kill()

    def populate(self):
        with self.db.writer() as session:
            session.add(DBDatastore(id="d", name="mysql"))
            session.flush()
            session.add(DBDatastoreVersion(id="v", datastore_id="d", name="8", image_id="i", active=True,
                                           manager="mysql"))
            session.flush()
            for guest in GUESTS:
                session.add(DBInstance(id=guest, name="m", tenant_id="t", datastore_version_id="v",
                                       task=InstanceTasks.BUILDING))
                session.add(InstanceServiceStatus(instance_id=guest, status=ServiceStatuses.NEW))

    def say(self, guest, text, sent, conf):
        """What one agent does, with its own key."""
        conf.set_override("guest_id", guest)
        conf.set_override("guest_key", crypto.guest_key(guest))
        api.API(TroveContext()).heartbeat(guest, {"service_status": text, "agent_version": "1"}, sent=sent)

    def statuses(self):
        with self.db.reader() as session:
            return {row.status_description for row in session.execute(tables.service_statuses.select())}

    def number_seen(self):
        with self.db.reader() as session:
            return len(session.execute(tables.conductor_lastseen.select()).all())


@pytest.fixture
def world(db_on_mariadb, conf, node, tmp_path):
    """A conductor with two workers on a MariaDB and a RabbitMQ."""
    rpc.cleanup()
    use_broker(conf, node)
    with bus.Broker() as broker:
        for guest in GUESTS:
            bus.furnish_queues(broker, guest)
    made = World(db_on_mariadb, node, tmp_path)
    made.populate()
    made.start()
    yield made
    made.stop()
    with bus.Broker() as broker:  # which other tests use too
        for guest in (*GUESTS, NEW):
            for name in bus.queues(guest):
                broker.delete(f"queues/%2F/{name}")
    rpc.cleanup()


def test_reports_of_many_guests_in_any_order_end_with_the_newest_though_a_worker_is_killed(world, conf):
    start = time.time()
    messages = [(guest, text, start + step * 0.001) for step, text in enumerate(WORDS) for guest in GUESTS]
    messages.reverse()  # the newest comes first
    victim = world.workers()[0]
    for number, message in enumerate(messages):
        world.say(*message, conf)
        if number == 100:
            os.kill(victim, signal.SIGKILL)
    # What was in the hands of the killed one the broker gives to another.
    eventually(lambda: world.statuses() == {WORDS[-1]}, world.log)
    eventually(lambda: len(world.workers()) == 2 and victim not in world.workers(), world.log)
    assert world.stop() == 0


def test_it_goes_on_when_the_broker_and_the_database_come_back(world, conf, mariadb):
    world.say(GUESTS[0], "shutdown", None, conf)
    eventually(lambda: "shutdown" in world.statuses(), world.log)

    world.node.kill_node()
    world.node.start_node()
    rpc.cleanup()

    def heard(text):
        with contextlib.suppress(rpc.DeliveryFailure):
            world.say(GUESTS[0], text, None, conf)
        return text in world.statuses()
    eventually(lambda: heard("running"), world.log)

    mariadb.kill()
    world.say(GUESTS[0], "crashed", None, conf)
    time.sleep(1)
    mariadb.run()
    eventually(lambda: heard("blocked"), world.log)
    assert world.stop() == 0


def test_a_forged_report_is_dropped_and_reported(world, conf):
    conf.set_override("guest_id", GUESTS[1])
    conf.set_override("guest_key", crypto.guest_key(GUESTS[1]))
    api.API(TroveContext()).heartbeat(GUESTS[0], {"service_status": "running"})
    event = f"account of another instance (claimed instance {GUESTS[0]}, account guest-{GUESTS[1]})"
    eventually(lambda: event in world.log.read_text(), world.log)
    conf.set_override("guest_key", "another key")
    api.API(TroveContext()).heartbeat(GUESTS[1], {"service_status": "running"})
    event = f"its proof does not fit the instance (claimed instance {GUESTS[1]}, account guest-{GUESTS[1]})"
    eventually(lambda: event in world.log.read_text(), world.log)
    assert world.statuses() == {"new"}

    def stored():
        with world.db.reader() as session:
            return [(event["name"], event["instance_id"]) for event in events.newest(session, 60, 10)]
    eventually(lambda: len(stored()) == 2, world.log)
    assert sorted(stored()) == sorted([("message.forged", GUESTS[0]), ("message.forged", GUESTS[1])])


def test_a_new_guest_is_heard_soon(world, conf):
    """Long before the list of all guests is read again, and a queue that stays away is looked for again."""
    with world.db.writer() as session:
        session.add(DBInstance(id=NEW, name="m", tenant_id="t", datastore_version_id="v", task=InstanceTasks.BUILDING))
        session.add(InstanceServiceStatus(instance_id=NEW, status=ServiceStatuses.NEW))
        operations.begin(session, "instance.create", "instance", NEW, TroveContext(user_id="u", project_id="t"))
    time.sleep(2)  # longer than a conductor looks for a queue that is not there yet
    with bus.Broker() as broker:
        bus.furnish_queues(broker, NEW)
    world.say(NEW, "running", None, conf)
    eventually(lambda: "running" in world.statuses(), world.log, timeout=10)


def test_what_a_guest_sends_beyond_its_share_costs_only_its_own(world, conf):
    flooded, others = GUESTS[0], GUESTS[1:]
    begun = time.time()
    for number in range(400):
        world.say(flooded, "shutdown", begun + number * 0.001, conf)
    for guest in others:
        world.say(guest, "running", None, conf)
    eventually(lambda: world.statuses() == {"shutdown", "running"}, world.log)
    with kombu.Connection(world.node.transport_url.replace("rabbit://", "pyamqp://")) as connection:
        declared = connection.channel().queue_declare(f"trove-conductor.{flooded}", passive=True)
    assert declared.message_count > 0, "the others were heard before the flood had its turn"
    flood = "security event message.flood: It sends more than 5 reports a second"
    eventually(lambda: flood in world.log.read_text(), world.log)


def test_sigterm_loses_nothing(world, conf):
    for guest in GUESTS:
        world.say(guest, "running", None, conf)
    assert world.stop() == 0
    assert "Traceback" not in world.log.read_text()
    world.start()
    eventually(lambda: world.statuses() == {"running"}, world.log)
