"""Hostile messages against each process on a real RabbitMQ: each is rejected once and reported, none stops the work,
and memory stays within a bound. Every input is harmless by itself: no body inflates, nothing is nested deeply.
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import amqp
import pytest
import requests
import sqlalchemy

from tests import rabbitmq, waiting
from tests.functional.taskmanager.conftest import use_broker
from trove import rpc
from trove.common import crypto, envelope, exception, transport
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.common.instance import ServiceStatuses
from trove.conductor import api as conductor_api
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.db.sqlalchemy import tables
from trove.guestagent import api
from trove.instance import health
from trove.instance.models import DBInstance, InstanceServiceStatus
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.steps import bus

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
INSTANCE = "0e0e0e0e-0000-4000-8000-00000000000e"
PATIENCE = 60
# Bytes of the largest message; MB by which 1,000 of them may let a process grow.
LIMIT, BOUND = 1024 * 1024, 120
PLAIN = {"content_type": "application/json", "content_encoding": "utf-8"}
AGENT = """
import pathlib, sys
from trove.cmd import guest
from trove.guestagent.datastore.manager import Manager
Manager.booted_marker = pathlib.Path(sys.argv.pop())
guest.main()
"""
# Stands for trove-api: an answer is waited for in a process of its own, which prints its results.
CALLER = """
import sys
from trove import rpc
from trove.common import cfg, exception
from trove.common.context import TroveContext
from trove.guestagent import api
from trove.instance import health
cfg.parse_args(sys.argv[2:])
for line in sys.stdin:
    try:
        print("answer", api.API(TroveContext(), sys.argv[1]).rpc_ping(), flush=True)
    except exception.TroveError as error:
        print("error", error, flush=True)
"""


def packed(message):
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)}).encode()


def request(**changes):
    """A message of the right shape, without a proof."""
    return {"method": "heartbeat", "args": {"instance_id": INSTANCE}, "version": "1.0",
            "_unique_id": uuid.uuid4().hex, **changes}


def reply(**changes):
    return {"result": 1, "failure": None, "ending": True, "_msg_id": uuid.uuid4().hex, "_unique_id": uuid.uuid4().hex,
            **changes}


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def hostile(genuine):
    """Kind -> (body, properties); genuine: makes a message of the right shape with some fields changed."""
    def wrong(**changes):
        return packed(genuine(**changes)), PLAIN
    without = {name: value for name, value in genuine().items() if name not in ("method", "_msg_id")}
    return {
        "oversized": (b"x" * (LIMIT + 1), PLAIN),
        "largest, no JSON": (b"x" * LIMIT, PLAIN),
        "content type": (packed(genuine()), {**PLAIN, "content_type": "application/x-python-serialize"}),
        "no properties": (packed(genuine()), {}),
        "compressed": (packed(genuine()), {**PLAIN, "application_headers": {"compression": "application/x-gzip"}}),
        "long header": (packed(genuine()), {**PLAIN, "application_headers": {"a": "x" * 3000}}),
        "deep": wrong(args={"deep": nested(50)}, result=nested(50)),
        "missing": (packed(without), PLAIN),
        "wrong types": wrong(args=[1], _msg_id=5),
        "surrogate": wrong(args={"a": "\ud800"}, result="\ud800"),
        "NUL": wrong(args={"a": "\0"}, result="\0"),
        "many values": wrong(args={"a": [[]] * 200000}, result=[[]] * 200000),
    }


# Of those who answer: calls that ask for an answer where none may be sent.
CALLS = {
    "wrong reply queue": request(_msg_id="a" * 32, _reply_q="guestagent.another"),
    "signs of life": request(_timeout=5),
}
KINDS = list(hostile(request))


class Programs:
    """The four processes, their logs, and a connection that publishes what it is told."""

    def __init__(self, node, db, directory):
        self.node, self.db, self.directory, self.running = node, db, directory, {}
        config = {"transport_url": node.transport_url, "operation_key": CONF.operation_key[0], "host": "here",
                  "trove_auth_url": "http://127.0.0.1:1/v3", "nova_proxy_admin_user": "u",
                  "nova_proxy_admin_pass": "a password for tests", "nova_proxy_admin_tenant_name": "service",
                  "guest_config": directory / "absent", "trove_conductor_workers": 1, "bus_message_max_size": LIMIT,
                  "reconcile_interval": 3600, "use_stderr": True, "agent_call_low_timeout": 5}
        broker = {"management_url": node.management_url, "management_user": rabbitmq.ADMIN,
                  "management_password": rabbitmq.PASSWORD, "address": node.address,
                  **{f"{part}_queue_size": 2**30 for part in ("report", "command", "reply")},
                  "report_queue_length": 10000}
        self.config = directory / "trove.conf"
        self.config.write_text("\n".join(
            ["[DEFAULT]", *(f"{name} = {value}" for name, value in config.items()), "[database]",
             f"connection = {CONF.database.connection}", "sqlite_synchronous = false", "[guest_bus]",
             *(f"{name} = {value}" for name, value in broker.items()), ""]))
        agent = {"guest_id": INSTANCE, "datastore_manager": "mariadb", "guest_key": crypto.guest_key(INSTANCE),
                 "transport_url": f"rabbit://guest-{INSTANCE}:pw@{node.address}//", "report_interval": 1,
                 "guest_state_dir": directory / "state", "bus_message_max_size": LIMIT}
        (directory / "conf.d").mkdir()
        (directory / "conf.d" / "guest_info.conf").write_text(
            "\n".join(["[DEFAULT]", *(f"{name} = {value}" for name, value in agent.items())]))

    def start(self, name, *command, **more):
        with open(self.directory / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-W", "ignore", *map(str, command)], cwd=ROOT, stdout=more.pop("stdout", log),
                stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)}, **more)

    def start_agent(self):
        self.start("agent", "-c", AGENT, f"--config-dir={self.directory / 'conf.d'}", self.directory / "booted")

    def start_all(self):
        self.start("conductor", "-m", "trove.cmd.conductor", "--config-file", self.config)
        self.start("taskmanager", "-m", "trove.cmd.taskmanager", "--config-file", self.config)
        self.start_agent()
        self.start("caller", "-c", CALLER, INSTANCE, f"--config-file={self.config}", stdin=subprocess.PIPE,
                   stdout=subprocess.PIPE, text=True)
        for name, queue in (("conductor", bus.report_queue(INSTANCE)), ("taskmanager", CONF.taskmanager_queue),
                            ("agent", f"guestagent.{INSTANCE}")):
            eventually(lambda queue=queue: self.queue(queue).get("consumers"), self, name)
        eventually(lambda: self.ping() == "answer True", self, "agent")

    def ping(self):
        """What the caller gets from the agent."""
        self.running["caller"].stdin.write("ping\n")
        self.running["caller"].stdin.flush()
        return self.running["caller"].stdout.readline().strip()

    def queue(self, name):
        answer = requests.get(f"{self.node.management_url}/api/queues/%2F/{name}", timeout=10,
                              auth=(rabbitmq.ADMIN, rabbitmq.PASSWORD))
        return answer.json() if answer.ok else {}

    def queue_of(self, name):
        if name != "caller":
            return {"conductor": bus.report_queue(INSTANCE), "taskmanager": CONF.taskmanager_queue,
                    "agent": f"guestagent.{INSTANCE}"}[name]
        return eventually(self._reply_queue, self, name)

    def _reply_queue(self):
        answer = requests.get(f"{self.node.management_url}/api/queues", timeout=10,
                              auth=(rabbitmq.ADMIN, rabbitmq.PASSWORD))
        own = rpc.get_transport()._driver._reply_q
        return next((queue["name"] for queue in answer.json() if queue["name"].startswith("reply_")
                     and queue["name"] != own and queue.get("consumers")), None)

    def publish(self, queue, body, properties, times=1):
        """Put messages into a queue by its name, as no guest can. Returns when the broker has them.

        body: bytes, or a function that makes them for each message.
        """
        host, port = self.node.address.split(":")
        with amqp.Connection(f"{host}:{port}", userid=rabbitmq.ADMIN, password=rabbitmq.PASSWORD,
                             confirm_publish=True) as connection:
            channel = connection.channel()
            for _ in range(times):
                given = body() if callable(body) else body
                channel.basic_publish(amqp.Message(given, **properties), "", queue)

    def log(self, name):
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def events(self, name):
        """The security events in the log of a process, by name."""
        return re.findall(r"WARNING trove\.common\.security .*?security event ([a-z._]+): ", self.log(name))

    def number_of_events(self, name):
        """How many security events a process has told of, those that it only counted in its log among them."""
        skipped = re.findall(r"; (\d+) more events were not logged", self.log(name))
        return len(self.events(name)) + sum(map(int, skipped))

    def memory(self, name):
        """RSS in MB."""
        text = Path(f"/proc/{self.running[name].pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1024

    def peak(self, name):
        text = Path(f"/proc/{self.running[name].pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) / 1024

    def stop(self):
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def show(figure):
    """Print a figure; pytest shows it with -s."""
    sys.stdout.write(f"{figure}\n")


def eventually(condition, programs, name, patience=waiting.PATIENCE):
    return waiting.wait_until(condition, patience, 0.1, lambda: programs.log(name)[-4000:])


@pytest.fixture
def programs(node, db, conf, tmp_path):
    """All processes, at work; this process is one of the control plane."""
    use_broker(conf, node)
    conf.set_override("guest_id", INSTANCE)
    conf.set_override("guest_key", crypto.guest_key(INSTANCE))
    # What is tested is the processes: no message is to be dropped before it reaches them.
    for name, value in (("report_queue_length", 10000), ("report_queue_size", 2**30), ("command_queue_size", 2**30),
                        ("reply_queue_size", 2**30)):
        conf.set_override(name, value, group="guest_bus")
    with bus.Broker() as broker:
        broker.put(f"users/guest-{INSTANCE}", {"password": "pw", "tags": ""})
        bus.furnish(broker, INSTANCE, transport.guest_account(INSTANCE))
    with db.writer() as session:
        session.add(DBDatastore(id="d", name="mysql"))
        session.flush()
        session.add(DBDatastoreVersion(id="v", datastore_id="d", name="8", image_id="i", active=True, manager="mysql"))
        session.flush()
        session.add(DBInstance(id=INSTANCE, name="m", tenant_id="t", datastore_version_id="v",
                               task=InstanceTasks.BUILDING))
        session.add(InstanceServiceStatus(instance_id=INSTANCE, status=ServiceStatuses.NEW))
    made = Programs(node, db, tmp_path)
    try:
        made.start_all()
        yield made
    finally:
        made.stop()
        rpc.cleanup()
        with bus.Broker() as broker:  # other tests count the accounts of this broker
            broker.delete(f"users/{transport.guest_account(INSTANCE)}")
            for queue in bus.queues(INSTANCE):
                broker.delete(f"queues/{bus.virtual_host()}/{queue}")


def check_that_all_work(programs, patience=waiting.PATIENCE):
    """A command is obeyed and answered, and a report and a wake-up are worked on."""
    assert programs.ping() == "answer True"
    status = ServiceStatuses.BUILDING if time.time() % 2 < 1 else ServiceStatuses.SHUTDOWN
    conductor_api.API(TroveContext()).heartbeat(INSTANCE, {"service_status": status.description})

    def reported():
        with programs.db.reader() as session:
            return session.execute(tables.service_statuses.select()).first().status_description == status.description
    eventually(reported, programs, "conductor", patience)
    for name in ("conductor", "taskmanager", "agent"):
        eventually(lambda name=name: not programs.queue(programs.queue_of(name)).get("messages"), programs, name,
                   patience)
        assert programs.running[name].poll() is None


def test_each_kind_is_rejected_once_by_each_process(programs):
    sent = dict.fromkeys(("conductor", "taskmanager", "agent", "caller"), 0)
    for name in sent:
        kinds = hostile(reply if name == "caller" else request)
        if name != "caller":
            kinds.update({kind: (packed(message), PLAIN) for kind, message in CALLS.items()})
        if name == "conductor":
            kinds["call"] = (packed(request(_msg_id="a" * 32, _reply_q="reply_" + "0" * 32)), PLAIN)
        if name in ("taskmanager", "agent"):
            kinds["no such method"] = (packed(request(method="nothing")), PLAIN)
            kinds["arguments"] = (packed(request(method="restart", args={"much": 1})), PLAIN)
        if name == "agent":
            kinds["no proof"] = (packed(request(method="restart", args={})), PLAIN)
            kinds["no such reply queue"] = (
                packed(request(method="restart", args={}, _msg_id="a" * 32, _reply_q="reply_" + "0" * 32)), PLAIN)
        if name == "taskmanager":
            kinds["no id"] = (packed(request(method="restart", args={"instance_id": 1, "operation_id": {}})), PLAIN)
        queue = programs.queue_of(name)
        for kind, (body, properties) in kinds.items():
            before = len(programs.events(name))
            programs.publish(queue, body, properties)
            sent[name] += 1
            # Of that one the answer is refused too.
            expected = before + (2 if kind == "no such reply queue" else 1)
            eventually(lambda name=name, expected=expected: len(programs.events(name)) >= expected, programs, name)
            assert len(programs.events(name)) == expected, (name, kind)
    check_that_all_work(programs)
    for name in sent:
        show(f"{name}: {sent[name]} hostile messages, {len(programs.events(name))} events")
        assert len(programs.events(name)) == sent[name] + (1 if name == "agent" else 0)
        assert "Traceback" not in programs.log(name)


def test_a_hundred_calls_without_a_reply_queue_hold_up_nobody(programs):
    body = packed(request(method="rpc_ping", args={}, _msg_id="a" * 32, _reply_q="reply_" + "0" * 32))
    for name in ("agent", "taskmanager", "conductor"):
        programs.publish(programs.queue_of(name), body, PLAIN, times=100)
    begun = time.monotonic()
    check_that_all_work(programs, patience=20)  # an answer that cannot be sent is tried for a minute by the library
    show(f"all work {time.monotonic() - begun:.1f} s after 300 calls for a reply queue that does not exist")


def test_memory_stays_bounded_under_1000_hostile_messages(programs):
    text = "x" * (LIMIT - 2000)

    def forged():
        return packed(request(method="restart", args={"a": "y"}, _context_x=text))
    dense = b'{"oslo.version": "2.0", "oslo.message": "[' + b"[]," * 340_000 + b'1]"}'
    assert len(forged()) <= LIMIT
    assert len(dense) <= LIMIT
    check_that_all_work(programs)
    for name in ("conductor", "taskmanager", "agent", "caller"):
        queue = programs.queue_of(name)
        before = programs.memory(name)
        events = programs.number_of_events(name)
        for body in (b"x" * (2 * LIMIT), b"x" * LIMIT, forged, dense):
            # In parts: what waits at the broker is its own matter, and it blocks publishers when it has much.
            for _ in range(5):
                programs.publish(queue, body, PLAIN, times=50)
                eventually(lambda queue=queue: not programs.queue(queue).get("messages"), programs, name)
        # Of reports that came with another account the conductor tells one a minute.
        least = 750 if name == "conductor" else 1000

        def enough(name=name, queue=queue, events=events, least=least):
            time.sleep(1.1)
            # An event of a later second also tells how many before it were only counted.
            programs.publish(queue, b"x", PLAIN)
            return programs.number_of_events(name) - events >= least
        eventually(enough, programs, name)
        show(f"{name}: {before:.0f} MB before, {programs.memory(name):.0f} MB after, peak {programs.peak(name):.0f} "
              "MB, 1000 messages of 1 to 2 MiB")
        assert programs.peak(name) - before < BOUND
    check_that_all_work(programs)


def recorded(programs, command):
    """What goes over the wire while ``command`` is sent: (body, properties)."""
    host, port = programs.node.address.split(":")
    with amqp.Connection(f"{host}:{port}", userid=rabbitmq.ADMIN, password=rabbitmq.PASSWORD) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).queue
        channel.queue_bind(queue, rpc.GUESTS_EXCHANGE, f"guestagent.{INSTANCE}")
        command()
        message = waiting.wait_until(lambda: channel.basic_get(queue, no_ack=True))
        return message.body.encode() if isinstance(message.body, str) else message.body, PLAIN


def test_a_recorded_command_is_obeyed_once_also_after_a_restart(programs, context):
    body, properties = recorded(programs, lambda: api.API(context, INSTANCE).rpc_ping())
    queue = programs.queue_of("agent")

    def replay():
        before = programs.events("agent").count("message.replayed")
        changed = json.loads(json.loads(body)["oslo.message"])
        # The listener knows its last deliveries by an id that no proof covers.
        programs.publish(queue, packed({**changed, "_unique_id": uuid.uuid4().hex}), properties)
        eventually(lambda: programs.events("agent").count("message.replayed") == before + 1, programs, "agent")
    replay()
    replay()
    for number in (signal.SIGTERM, signal.SIGKILL):
        programs.running["agent"].send_signal(number)
        waiting.end_of(programs.running["agent"])
        programs.start_agent()
        eventually(lambda: programs.ping() == "answer True", programs, "agent")
        replay()


def test_an_agent_that_hung_obeys_nothing_that_was_given_up(programs, context, conf):
    conf.set_override("bus_command_validity", 10)
    conf.set_override("agent_call_low_timeout", 1)
    programs.running["agent"].send_signal(signal.SIGSTOP)
    try:
        for _ in range(3):
            with pytest.raises(exception.GuestTimeout):
                api.API(context, INSTANCE).rpc_ping()
        time.sleep(11)
    finally:
        programs.running["agent"].send_signal(signal.SIGCONT)
    eventually(lambda: programs.events("agent").count("message.replayed") == 3, programs, "agent")
    assert sum("and is valid for 10 s" in line for line in programs.log("agent").splitlines()) == 3
    check_that_all_work(programs)


def test_a_clock_that_is_off_is_told(programs, context, monkeypatch):
    """The control plane's clock is ahead, which is the same as a guest's that is behind."""
    ahead = time.time
    with monkeypatch.context() as patched:
        patched.setattr(envelope.time, "time", lambda: ahead() + 500)
        with pytest.raises(exception.Forbidden, match="in the future .* clock of the guest is wrong"):
            api.API(context, INSTANCE).rpc_ping()

    def fault():
        with programs.db.reader() as session:
            facts = session.execute(sqlalchemy.select(tables.agent_heartbeats.c.facts)).scalar()
        return list(health.problems(json.loads(facts or "{}")).values())
    [text] = eventually(fault, programs, "conductor")
    assert re.fullmatch(r"The clock of the guest is (499|500) s behind. It refuses commands until the clock is set "
                        "right.", text)
    check_that_all_work(programs)
