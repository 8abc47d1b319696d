"""Benchmark of the control plane beside that of another checkout of the project, by turns in one run.

MariaDB (durable commits), RabbitMQ and minicloud with its fake host are private to the run, and the same for both. Each
build runs in its own environment: one trove-api and one trove-conductor with one worker each. No guest runs: heartbeats
are signed and published before a conductor is started, and what the other build asks guests is answered at once.
"""
import contextlib
import json
import os
import secrets
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import pymysql
from minicloud import testing

from onebox import bench_guest, config, load, processes
from onebox.settings import CHECKOUT, SetupError, write

SIDE = Path(__file__).with_name("compare_side.py")
INSTANCES, MORE = 1000, 10000  # of the tenant that lists
EACH = 24  # heartbeats of each instance in a round
CLIENTS, SECONDS = 4, 2.0
# Seconds of a conductor's work that are not measured, for its subscriptions, and that are measured at most.
SETTLE, DRAIN = 1.5, 8.0
TIMEOUT = 300  # of preparations
KEY = secrets.token_hex(16)
WORKS = ("heartbeats", "list", "show", "create", "long list")


def run(settings, progress, arguments):
    """Heartbeats, list, show and create of this checkout and of another one, by turns; the ratio of their rates."""
    from tests import rabbitmq  # noqa: PLC0415 - the test tools are wanted by this benchmark only
    from tests.fakes import cloud
    other = arguments.with_.resolve()
    if not (other / "trove/cmd/api.py").exists():
        raise SetupError(f"--with {other}: this directory is no checkout of the project")
    rounds, rows = arguments.rounds, []
    settings.save()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trove-bench-")))
        with progress.step("MariaDB, RabbitMQ, minicloud"):
            server = stack.enter_context(_started(_durable()))
            node = stack.enter_context(_started(rabbitmq.RabbitMQ()))
            minicloud = cloud.Cloud(directory)
            stack.callback(minicloud.stop)
            lister, creator = minicloud.make_tenant(), minicloud.make_tenant()
        sides = [_Side(name, checkout, settings, directory, server, node, minicloud)
                 for name, checkout in (("other", other), ("this", CHECKOUT))]
        with progress.step(f"{INSTANCES} instances"):
            for side in sides:
                side.fill(lister.get_project_id(), INSTANCES)
        if "heartbeats" in arguments.only:
            with progress.step("heartbeats"):
                rows.append(_row("heartbeats drained", sides, rounds, _Side.drain))
        for side in sides:
            stack.callback(side.stop, "api")
            side.serve()

        def requests(name, what, *request):
            if name in arguments.only:
                with progress.step(what):
                    rows.append(_row(what, sides, rounds, lambda side: side.ask(*request)))
        requests("list", f"list of 20, {INSTANCES} instances", lister, "GET", "/instances?limit=20")
        requests("show", "show", lister, "GET", "/instances/{id}")
        requests("create", "create", creator, "POST", "/instances", {"instance": {
            "name": "one", "flavorRef": "1", "volume": {"size": 1}}})
        if "long list" in arguments.only:
            with progress.step(f"{MORE} instances"):
                for side in sides:
                    side.fill(lister.get_project_id(), MORE - INSTANCES)
        requests("long list", f"list of 20, {MORE} instances", lister, "GET", "/instances?limit=20")
    rows[0]["note"] = (f"per second; the middle of {rounds} rounds by turns; SQL: statements of each at the server; "
                       "ms: CPU of the service for each")
    return rows, False


def _row(what, sides, rounds, measure):
    """One row of the table. measure: function of a _Side that returns (rate, statements of each, CPU ms of each)."""
    found = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            found[side.name].append(measure(side))
    middle = {name: [statistics.median(values) for values in zip(*each, strict=True)] for name, each in found.items()}
    return {"work": what, "other": round(middle["other"][0], 1), "this": round(middle["this"][0], 1),
            "ratio": round(middle["this"][0] / middle["other"][0], 2), "other SQL": round(middle["other"][1], 2),
            "this SQL": round(middle["this"][1], 3), "other ms": round(middle["other"][2], 2),
            "this ms": round(middle["this"][2], 2), "load": round(os.getloadavg()[0], 1)}


@contextlib.contextmanager
def _started(server):
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _durable():
    from tests import servers  # noqa: PLC0415 - as above

    class Durable(servers.MariaDB):
        """Each commit is on disk when it is acknowledged, as is the default of MariaDB."""

        def command(self):
            usual = [word for word in super().command() if not word.startswith("--innodb-")]
            return [*usual, "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=256M"]
    return Durable()


class _Side:
    """One build. name: column of the table; ids: of the instances that it has."""

    def __init__(self, name, checkout, settings, directory, server, node, minicloud):
        from tests.fakes.cloud import SERVICE_PASSWORD, SERVICE_USER  # noqa: PLC0415 - as above
        self.name, self.ids = name, []
        self._settings, self._checkout = settings, checkout
        url = server.new_database(f"side_{name}")
        self._connection = pymysql.connect(unix_socket=f"{server.directory}/sock", user="root",
                                           database=f"side_{name}", autocommit=True)
        self._file, self._port = directory / f"{name}.conf", testing.free_port()
        self._python = _python(checkout, settings.cache)
        account = {"username": SERVICE_USER, "password": SERVICE_PASSWORD, "project_name": "service",
                   "user_domain_name": "Default", "project_domain_name": "Default"}
        write(self._file, config.text({
            "DEFAULT": {
                "bind_host": "127.0.0.1", "bind_port": self._port, "trove_api_workers": 1, "trove_api_threads": 32,
                "tenant_threads_share": 1, "trove_conductor_workers": 1, "operation_key": KEY,
                "transport_url": node.transport_url, "api_paste_config": checkout / "etc/trove/api-paste.ini",
                "conductor_queue": f"conductor-{name}", "taskmanager_queue": f"taskmanager-{name}",
                "trove_auth_url": minicloud.auth_url, "nova_proxy_admin_user": SERVICE_USER,
                "nova_proxy_admin_pass": SERVICE_PASSWORD, "nova_proxy_admin_tenant_name": "service",
                "default_datastore": "mariadb", "max_instances_per_tenant": -1, "max_volumes_per_tenant": -1,
                "remote_guest_client": f"{bench_guest.__name__}.client", "agent_heartbeat_expiry": 86400,
                **{f"http_{verb}_rate": 0 for verb in ("get", "post", "put", "delete")}},
            "database": {"connection": url},
            "keystone_authtoken": {"auth_url": minicloud.auth_url, "www_authenticate_uri": minicloud.auth_url,
                                   "auth_type": "password", "interface": "public", **account}}), mode=0o600)

    def fill(self, tenant, count):
        """Make so many more instances of a tenant."""
        self.ids = json.loads(self._work("fill", tenant, str(count)))

    def serve(self):
        """Start trove-api and wait until it answers."""
        self._start("api")
        request = load.Request("GET", f"http://127.0.0.1:{self._port}/", {}, accepted=(200, 300))

        def answers():
            with contextlib.suppress(OSError):
                load.once(request)
                return True
        if not processes.wait(answers, TIMEOUT):
            raise SetupError(f"trove-api of {self._checkout} does not start; see {self._settings.logs}")

    def ask(self, session, method, path, body=None):
        """Make requests for some seconds; returns (requests per second, statements and CPU ms of one)."""
        content = json.dumps(body).encode() if body else b""
        request = load.Request(method, f"http://127.0.0.1:{self._port}/v1.0/{session.get_project_id()}"
                               f"{path.replace('{id}', self.ids[-1])}", {
            "X-Auth-Token": session.get_token(), "Content-Type": "application/json"}, content)
        for _ in range(CLIENTS):
            load.once(request)
        before, cpu = self._statements(), self._cpu("api")
        rate, taken = load.closed(request, CLIENTS, SECONDS)
        return rate, (self._statements() - before - 1) / len(taken), (self._cpu("api") - cpu) / len(taken)

    def drain(self):
        """Publish heartbeats, then let a conductor work on them.

        Returns (heartbeats per second, statements and CPU ms of one).
        """
        sent = int(time.time()) - 60
        self._work("publish", str(EACH), str(sent))
        asked, samples = 0, []
        self._start("conductor")
        try:
            deadline = time.monotonic() + 60
            while not samples or samples[-1][0] < samples[0][0] + SETTLE + DRAIN:
                time.sleep(0.1)
                [[done]] = self._query("SELECT COALESCE(SUM(GREATEST(0, sent - %s)), 0) FROM conductor_lastseen", sent)
                asked += 2
                if done:
                    samples.append((time.monotonic(), float(done), self._statements() - asked, self._cpu("conductor")))
                elif time.monotonic() > deadline:
                    raise SetupError(f"the conductor of {self._checkout} does nothing; see {self._settings.logs}")
                if done > 0.97 * EACH * len(self.ids):
                    break
        finally:
            self.stop("conductor")
        first = next(sample for sample in samples if sample[0] >= min(samples[0][0] + SETTLE, samples[-2][0]))
        seconds, count, statements, cpu = (last - begun for last, begun in zip(samples[-1], first, strict=True))
        return count / seconds, statements / count, cpu / count

    def stop(self, name):
        """End a program of this build."""
        processes.stop(self._settings, f"{self.name}-{name}")

    def _start(self, name):
        processes.start(self._settings, f"{self.name}-{name}", [
            self._python, "-P", "-c", f"from trove.cmd.{name} import main; main()", "--config-file", str(self._file)],
            self._environment())

    def _cpu(self, name):
        """Milliseconds of CPU that a program of this build has used."""
        ticks = 0
        for pid in processes.running(self._settings, f"{self.name}-{name}"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        return 1000 * ticks / os.sysconf("SC_CLK_TCK")

    def _environment(self):
        return {"PYTHONPATH": os.pathsep.join(str(self._checkout / path) for path in ("", "tools/lib"))}

    def _work(self, *arguments):
        done = subprocess.run([self._python, "-P", str(SIDE), str(self._file), *arguments], timeout=TIMEOUT,
                              env={**os.environ, **self._environment()}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SetupError(f"{self._checkout}: {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
        return done.stdout

    def _query(self, statement, *values):
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def _statements(self):
        """How many statements the server has been sent, this one too."""
        return int(self._query("SHOW GLOBAL STATUS LIKE 'Questions'")[0][1])


def _python(checkout, cache):
    """The interpreter of a checkout's environment, which is made if it is missing."""
    program = "import pathlib, sys\nfrom onebox import venv\nprint(venv.control_plane(pathlib.Path(sys.argv[1])))"
    done = subprocess.run(["/usr/bin/python3", "-c", program, str(cache)], timeout=1800, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(checkout / "tools/lib")}, check=False)
    if done.returncode:
        raise SetupError(f"{checkout}: its environment cannot be made:\n{done.stderr[-2000:]}")
    return str(Path(done.stdout.split()[-1]) / "bin/python")
