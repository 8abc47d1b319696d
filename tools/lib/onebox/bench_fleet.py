"""Benchmark of size: thousands of simulated guests report to one conductor, while the API is asked for instances.

A set-up of its own, beside the one of the checkout and removed at the end: Keystone of minicloud, RabbitMQ with TLS,
MariaDB with durable commits, and the three services as the quick start runs them. The guests are simulated
(``bench_fleet_agents``): each has its rows, its account, its three queues and its connection.
"""
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import sqlalchemy

from onebox import bench, bench_guest, broker, certificates, cloud, config, down, figures, load, processes, services
from onebox.command import run as run_command
from onebox.settings import CHECKOUT, SetupError, choose, exclusive, locate, write
from trove.common import cfg, crypto, transport
from trove.common.cfg import CONF
from trove.db import get_db_api
from trove.db.sqlalchemy import tables
from trove.taskmanager.steps import bus

# Seconds by which the oldest heartbeat may be older than the interval of the reports; the time in which all guests
# report again after a restart of broker and services.
LATE, AGAIN_WITHIN = 5, 60
# Requests a second to the API, from so many clients; the slowest p99 in ms.
RATE, CLIENTS, SLOWEST = 10, 4, 50
# Memory of a process may grow by this share from the second to the last quarter of the run.
GROWTH = 0.05
# Guests of one process of the simulator; seconds for all guests to report for the first time, and for each hundred.
PER_PROCESS, FIRST, FIRST_PER_HUNDRED = 2500, 60, 4
# Seconds between two looks, and between two lines about them.
LOOK, SAY = 1.0, 10.0
# Guests of one import of definitions.
IMPORTED = 500
MEMORY = "6GB"  # of RabbitMQ, before it stops those who publish
SIMULATOR, DATABASE, CLOUD = "fleet-agents", "mariadb", "keystone"
PARTS = ("trove-conductor", "trove-api", "trove-taskmanager", "rabbitmq", DATABASE, SIMULATOR)
TICKS = os.sysconf("SC_CLK_TCK")


def run(progress, arguments):
    """How many guests one conductor carries: oldest heartbeat, API latency, memory, and the time after a restart."""
    state = locate()[0]
    state = state.with_name(f"{state.name}-fleet")  # a set-up of this checkout may run beside it
    _allow_files(arguments.agents)
    if state.exists():
        _remove(progress, state)  # of a run that was killed
    settings = choose(state)
    try:
        with exclusive(state):
            return Fleet(settings, progress, arguments).measure()
    finally:
        if arguments.logs and settings.logs.exists():
            shutil.copytree(settings.logs, arguments.logs, dirs_exist_ok=True)
        _remove(progress, state)


def _remove(progress, state):
    if left := down.remove(progress, state):
        raise SetupError(f"Of this benchmark's set-up something is left: {', '.join(left)}")


def _allow_files(agents):
    """Let the broker and the simulator open a file for each connection; children inherit the limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = 2 * agents + 4096
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, wanted),) * 2)
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard < wanted:
            raise SetupError(f"{agents} agents need {wanted} open files in one process, and this shell allows {hard}: "
                             "raise `ulimit -Hn`, or name fewer --agents") from None


class Fleet:
    """One run. settings: of a state directory of its own, held by the caller."""

    def __init__(self, settings, progress, arguments):
        self.settings, self.progress, self.arguments = settings, progress, arguments
        self.interval, self.oldest_allowed = arguments.interval, arguments.interval + LATE
        self.ids = []
        self.agents = []

    def measure(self):
        """Start everything, measure, and return (rows, whether a target was missed)."""
        self._start()
        self._make_guests()
        with self._simulated():
            first = self._first_reports()
            steady, parts, missed = self._steady()
            again, missed_again = self._restart()
        rows = [
            {"what": f"{len(self.ids)} agents: first report of all", "value": f"{first} s"},
            *steady, again,
            *({"what": f"{name}: CPU, memory", "value": f"{values['cpu']} of a core, {values['mb']} MB",
               "note": values["note"]} for name, values in parts.items()),
            {"what": "everything else on this machine", "value":
             f"{round(self.busy - sum(values['cpu'] for values in parts.values()), 2)} of a core", "note":
             f"{self.busy} of {os.cpu_count()} cores were busy; {SIMULATOR} are other machines in a deployment"}]
        return rows, missed or missed_again

    # The set-up.

    def _start(self):
        settings, progress = self.settings, self.progress
        settings.save()
        with progress.step("minicloud"):
            cloud.up(settings)
            broker.begin(settings, MEMORY)
        with progress.step("accounts"):
            cloud.ensure_accounts(settings)
            self.tenant = cloud.session(cloud.tenant_environment(settings))
            self.project = self.tenant.get_project_id()
        with progress.step("MariaDB"):
            connection = self._start_database()
        with progress.step("tables"):
            self._configure(connection)
            services.ensure_database(settings, [("mariadb", "10.11", str(uuid.uuid4()))])
            cfg.parse_args(["--config-file", str(settings.etc / config.CONTROL_PLANE), "--log-file", "/dev/null"])
            get_db_api().configure_db(CONF)
        with progress.step("RabbitMQ"):
            broker.wait_ready(settings)

    def _start_database(self):
        directory = self.settings.state / DATABASE
        own = ["--user=root"] if os.geteuid() == 0 else []
        run_command(["mariadb-install-db", "--no-defaults", f"--datadir={directory}/data", *own,
                     "--auth-root-authentication-method=normal", "--skip-test-db"], timeout=120)
        # What a commit has confirmed is on the disk: the defaults, named.
        processes.start(self.settings, DATABASE, [
            shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={directory}/data", *own,
            f"--socket={directory}/sock", "--skip-networking", "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=256M", f"--pid-file={directory}/pid"])
        url = f"mysql+pymysql://root@localhost/{{}}?unix_socket={directory}/sock&charset=utf8mb4"
        engine = sqlalchemy.create_engine(url.format("mysql"), isolation_level="AUTOCOMMIT")

        def make():
            try:
                with engine.connect() as connection:
                    connection.execute(sqlalchemy.text("CREATE DATABASE IF NOT EXISTS trove"))
            except sqlalchemy.exc.OperationalError:
                return False
            return True
        if not processes.wait(make, 60, 0.2):
            raise SetupError(f"MariaDB did not start; see {self.settings.logs / DATABASE}.log")
        engine.dispose()
        return url.format("trove")

    def _configure(self, connection):
        groups = config.control_plane(self.settings, cloud.service_environment(self.settings))
        groups["database"]["connection"] = connection
        groups["DEFAULT"] |= {
            "max_instances_per_tenant": -1, "max_volumes_per_tenant": -1,
            "report_interval": max(1, round(self.interval)),
            # No agent answers here: what the API would ask a guest is answered at once.
            "remote_guest_client": f"{bench_guest.__name__}.client"}
        write(self.settings.etc / config.CONTROL_PLANE, config.text(groups), mode=0o600)
        write(self.settings.etc / config.GUEST, config.text(config.guest(self.settings)), mode=0o600)

    def _start_services(self):
        for name in services.NAMES:
            processes.start(self.settings, name, [services.script(name), "--config-file",
                                                  str(self.settings.etc / config.CONTROL_PLANE)],
                            {"PYTHONPATH": str(CHECKOUT / "tools/lib")})

    # The guests.

    def _make_guests(self):
        count, progress = self.arguments.agents, self.progress
        with progress.step(f"rows of {count} instances"), get_db_api().writer() as session:
            version = session.execute(sqlalchemy.select(tables.datastores.c.default_version_id).limit(1)).scalar()
            self.ids = figures.add_instances(session, self.project, version, count)
        with progress.step(f"{count} accounts and {3 * count} queues at the broker"):
            with bus.Broker() as management:
                bus.prepare_virtual_host(management)
            self.passwords = {each: uuid.uuid4().hex for each in self.ids}
            for begin in range(0, count, IMPORTED):
                self._import(self.ids[begin:begin + IMPORTED])
        with progress.step("trove-conductor, trove-taskmanager, trove-api"):
            self._start_services()
            services.wait_ready(self.settings, "trove-api")

    def _import(self, ids):
        """Make accounts and queues in one request: one by one, they would take some minutes."""
        host = broker.GUESTS_HOST
        queues = [(name, key) for each in ids for name, key in bus.queues(each).items()]
        definitions = {
            "users": [{"name": transport.guest_account(each), "tags": [],
                       "password_hash": broker.password_hash(self.passwords[each]),
                       "hashing_algorithm": "rabbit_password_hashing_sha256", "limits": bus.limits()} for each in ids],
            "permissions": [{"user": transport.guest_account(each), "vhost": host, **bus.permissions(each)}
                            for each in ids],
            "topic_permissions": [{"user": transport.guest_account(each), "vhost": host, **bus.topic_permissions(each)}
                                  for each in ids],
            "queues": [{"name": name, "vhost": host, **bus.QUEUE} for name, _key in queues],
            "bindings": [{"source": bus.rpc.GUESTS_EXCHANGE, "vhost": host, "destination": name,
                          "destination_type": "queue", "routing_key": key, "arguments": {}} for name, key in queues]}
        broker.request(self.settings, "POST", "/api/definitions", definitions, timeout=300)

    @contextlib.contextmanager
    def _simulated(self):
        address, port = self.settings.gateway, broker.AMQP_PORT
        own = str(certificates.services_file(self.settings))
        for begin in range(0, len(self.ids), PER_PROCESS):
            facts = {"interval": self.interval, "host": address, "port": port, "virtual_host": broker.GUESTS_HOST,
                     "ca_file": str(certificates.ca_file(self.settings)), "own_file": own,
                     "guests": [{"id": each, "key": crypto.guest_key(each), "account": transport.guest_account(each),
                                 "password": self.passwords[each]} for each in self.ids[begin:begin + PER_PROCESS]]}
            self.agents.append(Agents(self.settings, facts))
        try:
            yield
        finally:
            for each in self.agents:
                each.stop()

    # What is measured.

    def _first_reports(self):
        begun, said = time.monotonic(), 0.0
        limit = FIRST + FIRST_PER_HUNDRED * len(self.ids) / 100
        self.progress.say(f"The guests connect and report for the first time (within {limit:.0f} s)")
        while True:
            oldest, heard = self._oldest()
            passed = time.monotonic() - begun
            if heard == len(self.ids):
                break
            if passed > limit:
                raise SetupError(f"Only {heard} of {len(self.ids)} guests were heard within {limit:.0f} s")
            if passed - said > SAY:
                said = passed
                self._say(f"{passed:5.0f} s: {heard} heard")
            time.sleep(LOOK)
        self.progress.say(f"{len(self.ids)} guests were heard after {passed:.0f} s")
        # Those who waited longest have a second report by then: what connecting delayed is over.
        processes.wait(lambda: self._oldest()[0] < self.oldest_allowed, 120, LOOK)
        return round(passed)

    def _steady(self):
        seconds, watch = round(self.arguments.minutes * 60), Watch(self)
        token = self.tenant.get_token()
        requests = [load.Request("GET", f"{self.settings.api_url}/v1.0/{self.project}/instances/{each}",
                                 {"X-Auth-Token": token}) for each in self.ids[::max(1, len(self.ids) // 100)]]
        for each in requests[:CLIENTS]:
            load.once(each)
        with watch:
            taken = load.paced(requests, RATE, CLIENTS, seconds)
        p99 = round(bench.summary(taken)["p99"] * 1000, 1)
        p50 = round(bench.summary(taken)["p50"] * 1000, 1)
        grown = {name: watch.growth(name) for name in PARTS if name != SIMULATOR}
        self.busy = watch.busy
        parts = {name: {"cpu": watch.cpu[name], "mb": watch.memory[name][-1],
                        "note": f"{1000 * watch.cpu[name] / watch.rate:.2f} ms for each heartbeat; from "
                                f"{watch.memory[name][0]} MB" + (
                            "" if name == SIMULATOR else f", {grown[name]:+.1%} from the second to the last quarter")}
                 for name in PARTS}
        late = watch.oldest_ever > self.oldest_allowed
        steady = [
            {"what": f"oldest heartbeat in {self.arguments.minutes:g} minutes", "value": f"{watch.oldest_ever:.1f} s",
             "note": f"{'MISSED: ' if late else ''}at most {self.oldest_allowed:g} s; in {watch.late_looks} of "
                     f"{watch.looks} looks older; median of the looks {watch.median:.1f} s"},
            {"what": "heartbeats sent", "value": f"{watch.rate}/s", "note": f"the simulator was late by up to "
             f"{watch.late:.1f} s"},
            {"what": f"GET /instances/{{id}} at {RATE}/s, p50, p99", "value": f"{p50}, {p99} ms",
             "note": f"{'MISSED: ' if p99 >= SLOWEST else ''}p99 below {SLOWEST} ms"}]
        # A run that is too short says nothing of growth.
        grew = seconds >= 300 and any(value > GROWTH for name, value in grown.items() if name != DATABASE)
        return steady, parts, late or p99 >= SLOWEST or grew

    def _restart(self):
        begun = time.time()
        with self.progress.step("stop of the services and the broker"):
            for name in (*services.NAMES, "rabbitmq"):
                processes.stop(self.settings, name, timeout=60)
        stopped = time.time()
        with self.progress.step("start of the broker and the services"):
            broker.begin(self.settings, MEMORY)
            self._start_services()
            broker.wait_ready(self.settings)
        up, said = time.time(), 0.0
        limit = 10 * AGAIN_WITHIN
        while True:
            oldest, _heard = self._oldest()
            passed = time.time() - begun
            if time.time() - oldest >= stopped:
                break
            if passed > limit:
                return {"what": "restart of broker and services", "value": f"not all after {limit} s"}, True
            if passed - said > SAY:
                said = passed
                self._say(f"{passed:5.0f} s since the restart began: {self._fresh(stopped)} fresh")
            time.sleep(LOOK)
        missed = passed > AGAIN_WITHIN
        return {"what": "restart of broker and services: all guests fresh after", "value": f"{passed:.0f} s",
                "note": f"{'MISSED: ' if missed else ''}at most {AGAIN_WITHIN} s; stopped after "
                        f"{stopped - begun:.0f} s, the broker answered after {up - begun:.0f} s"}, missed

    def _oldest(self):
        """(seconds since the newest stored heartbeat was sent, of the guest where that is longest; guests heard)."""
        seen = tables.conductor_lastseen
        with get_db_api().reader() as session:
            first, heard = session.execute(sqlalchemy.select(
                sqlalchemy.func.min(seen.c.sent), sqlalchemy.func.count()).where(
                    seen.c.method_name == "heartbeat")).one()
        return (time.time() - float(first) if first else float("inf")), heard

    def _fresh(self, since):
        seen = tables.conductor_lastseen
        with get_db_api().reader() as session:
            return session.execute(sqlalchemy.select(sqlalchemy.func.count()).where(
                seen.c.method_name == "heartbeat", seen.c.sent >= since)).scalar()

    def _say(self, text):
        if not all(each.runs for each in self.agents):
            raise SetupError(f"The simulator of guests ended; see {SIMULATOR}.log (option --logs)")
        counts = [each.counts for each in self.agents]
        errors = sorted({each["error"] for each in counts if each["error"]})
        self.progress.say(f"{text}; {sum(each['connected'] for each in counts)} connected, "
                          f"load {os.getloadavg()[0]:.1f}" + (f"; {errors[0]}" if errors else ""))


class Watch:
    """Looks at the oldest heartbeat and at the processes while the block runs; figures afterwards.

    oldest_ever, median: seconds; memory: name of a process -> MB of each line that was printed; cpu: -> cores;
    busy: cores of the machine; rate: reports a second.
    """

    def __init__(self, fleet):
        self._fleet = fleet
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._oldest = []
        self.memory = {name: [] for name in PARTS}
        self.late = 0.0

    def __enter__(self):
        self._begun, self._used, self._idle = time.monotonic(), self._cpu(), _idle()
        self._sent = self._count("sent")
        self._measure()
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._done.set()
        self._thread.join()
        passed = time.monotonic() - self._begun
        self._measure()
        self.cpu = {name: round((used - self._used[name]) / passed, 2) for name, used in self._cpu().items()}
        self.busy = round(os.cpu_count() - (_idle() - self._idle) / passed, 2)
        self.rate = max(1, round((self._count("sent") - self._sent) / passed))
        self.looks, self.late_looks = len(self._oldest), sum(
            each > self._fleet.oldest_allowed for each in self._oldest)
        self.oldest_ever, self.median = max(self._oldest), sorted(self._oldest)[len(self._oldest) // 2]

    def growth(self, name):
        """Return by which share the memory of a process grew from the second to the last quarter of the run."""
        values = self.memory[name]
        quarter = max(1, len(values) // 4)
        before, after = values[quarter:2 * quarter] or values[:1], values[-quarter:]
        return sum(after) / len(after) / (sum(before) / len(before)) - 1

    def _count(self, name):
        return sum(each.counts[name] for each in self._fleet.agents)

    def _look(self):
        said = time.monotonic()
        while not self._done.wait(LOOK):
            self._oldest.append(self._fleet._oldest()[0])
            self.late = max(self.late, *(each.counts["late"] for each in self._fleet.agents))
            if time.monotonic() - said >= SAY:
                recent = max(self._oldest[-round((time.monotonic() - said) / LOOK):])
                said = time.monotonic()
                self._measure()
                self._fleet._say(f"{said - self._begun:5.0f} s: oldest heartbeat {recent:4.1f} s; MB: " + ", ".join(
                    f"{name.removeprefix('trove-')} {values[-1]}" for name, values in self.memory.items()))

    def _measure(self):
        for name in PARTS:
            self.memory[name].append(round(processes.memory(
                processes.running(self._fleet.settings, name)) / 2 ** 20))

    def _cpu(self):
        return {name: sum(map(_used, processes.running(self._fleet.settings, name))) for name in PARTS}


def _used(pid):
    """Return the seconds of CPU that a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it ended meanwhile
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _idle():
    """Return the seconds that the machine's processors were idle since it was started."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (int(fields[4]) + int(fields[5])) / TICKS


class Agents:
    """One process of the simulator. ``counts``: what it last said."""

    def __init__(self, settings, facts):
        self.counts = {"connected": 0, "sent": 0, "failed": 0, "late": 0.0, "error": None}
        log = (settings.logs / f"{SIMULATOR}.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "onebox.bench_fleet_agents"], cwd=CHECKOUT,
            env={"PYTHONPATH": f"{CHECKOUT}/tools/lib:{CHECKOUT}", "PATH": os.environ["PATH"],
                 processes.MARK: str(settings.state), processes.NAME: SIMULATOR},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        log.close()
        # Keys and passwords go through the pipe; its end tells the process to stop.
        self._process.stdin.write(json.dumps(facts) + "\n")
        self._process.stdin.flush()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self._process.stdout:
            self.counts = json.loads(line)

    @property
    def runs(self):
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def stop(self):
        """End it."""
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
