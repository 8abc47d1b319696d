"""Benchmarks with real guests: creating one after the other, many at once, and the memory of it all."""
import contextlib
import os
import statistics
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from minicloud.host import cgroup

from onebox import bench, bench_agent, cloud, datastores, instance, probes, processes
from onebox.settings import SetupError, secret

TOTAL = "create to first SELECT"


def create(settings, progress, arguments):
    """Seconds from the request to ACTIVE to the first SELECT, one instance after the other, and where they go."""
    api, password, seconds = instance.client(settings), secret(settings, "bench_user"), defaultdict(list)
    version = datastores.find(settings.datastores[0])
    with quota(settings, 5):
        _one(api, "bench-warm-up", password, version)
        for number in range(arguments.count):
            measured = _one(api, f"bench-{number}", password, version)
            for name, value in measured.items():
                seconds[name].append(value)
            progress.say(f"        {number + 1} of {arguments.count}: {measured[TOTAL]:.2f} s")
    return [{"seconds": name, **bench.summary(values)} for name, values in seconds.items()], False


def _one(api, name, password, version):
    """Create, connect and delete one instance; returns what each part took."""
    begun = time.monotonic()
    made = instance.create(api, name, password, version)
    accepted = time.monotonic()
    try:
        found = instance.wait_active(api, made["id"], pause=0.05)
        active = time.monotonic()
        with instance.probe(api, found, password) as probe:
            probe.wait()
        ended = time.monotonic()
        done = instance.newest_operation(api, made["id"])["steps"]
    finally:
        instance.delete(api, made["id"])
    steps = {f"  step {step['name']}": step["seconds"] for step in done}
    return {"API accepts": accepted - begun, "create to ACTIVE": active - begun, TOTAL: ended - begun, **steps,
            "delete": time.monotonic() - ended}


def burst(settings, progress, arguments):
    """Many creations at once: when each answers SQL, what CPU they take and where, and that nothing is left behind."""
    builds = {"this": settings}
    if arguments.beside:
        builds["other"] = bench_agent.beside(arguments.beside, progress)
    found, failed = {name: [] for name in builds}, False
    for number in range(arguments.rounds):
        for name, build in builds.items():
            measured, bad = _burst(build, progress, arguments.count)
            progress.say(f"        {name}, round {number + 1}: {measured}")
            found[name].append(measured)
            failed = failed or (bad and name == "this")
    rows = []
    for what in found["this"][0]:
        row = {"what": what, **{name: round(statistics.median(each[what] for each in measured), 2)
                                for name, measured in found.items()}}
        if "other" in found:
            row["ratio"] = round(row["this"] / row["other"], 3) if row["other"] else None
        rows.append(row)
    return rows, failed


def _burst(settings, progress, count):
    """One burst. Returns (measured, whether something failed or is left)."""
    api, password = instance.client(settings), secret(settings, "bench_user")
    before, meter = _made(settings), _Meter(settings)
    with quota(settings, count + 5), ThreadPoolExecutor(count) as pool:
        begun = time.monotonic()
        version = datastores.find(settings.datastores[0])
        made = list(pool.map(lambda number: instance.create(api, f"burst-{number}", password, version)["id"],
                             range(count)))
        accepted = time.monotonic() - begun

        def finish(instance_id):
            try:
                found = instance.wait_active(api, instance_id, pause=0.5)
                with instance.probe(api, found, password) as probe:
                    probe.wait()
            except SetupError as error:
                progress.say(str(error))
                return None
            return time.monotonic() - begun

        answered = sorted(value for value in pool.map(finish, made) if value)
        spent = meter.read()
        begun = time.monotonic()
        list(pool.map(lambda instance_id: instance.delete(api, instance_id), made))
        deleted = time.monotonic() - begun
    left = processes.wait(lambda: _made(settings) == before, 30, 0.5) is None
    last = answered[-1] if answered else 0
    middle = statistics.median(answered) if answered else 0
    return {f"{count} accepted, s": accepted, "first answers SQL, s": answered[0] if answered else 0,
            "median answers, s": middle, "last answers, s": last, "median / last": middle / last if last else 0,
            "answered": len(answered),
            **{f"core-seconds each: {name}": value / count for name, value in spent.items()},
            "core-seconds each": sum(spent.values()) / count, "all deleted, s": deleted,
            }, left or len(answered) < count


class _Meter:
    """CPU seconds since it was made: of guests, by kind of process, and of the services on this machine."""

    def __init__(self, settings):
        self._settings = settings
        self._programs = _programs()
        self._before = self._services()
        self._guests = set(self._groups())

    def read(self):
        """Return {what: seconds}. The system of a guest is what neither its agent nor its server took."""
        spent = {name: seconds - self._before.get(name, 0) for name, seconds in self._services().items()}
        inside = {"guest: agent": 0.0, "guest: server": 0.0}
        new = [path for path in self._groups() if path not in self._guests]
        for pid in bench_agent.in_guests(self._settings.prefix):
            with contextlib.suppress(OSError):
                groups = Path(f"/proc/{pid}/cgroup").read_text()
                name = _kind(pid, self._programs)
                if name != "guest: system" and any(path.name in groups for path in new):
                    inside[name] += sum(processor_seconds(pid))
        total = sum(int((path / "cpu.stat").read_text().split()[1]) / 1e6 for path in new)
        return {**spent, **inside, "guest: system": total - sum(inside.values())}

    def _groups(self):
        tree = cgroup.unified_root() / cgroup.tree_name(self._settings.prefix) / "guests"
        return [path for path in tree.glob("*") if path.is_dir()]

    def _services(self):
        found = defaultdict(float)
        for pid, name in processes.running(self._settings).items():
            found["RabbitMQ" if name == "rabbitmq" else "control plane"] += sum(processor_seconds(pid))
        for pid in cloud.status(self._settings)["services"].values():
            found["cloud"] += sum(processor_seconds(pid))
        return dict(found)


def processor_seconds(pid):
    """CPU seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return (int(fields[11]) + int(fields[12])) / ticks, (int(fields[13]) + int(fields[14])) / ticks


def _programs():
    """Return the names of the server programs of all datastores."""
    return {probes.of(name).program for name in datastores.names()}


def _kind(pid, programs):
    """Return what a process in a guest is: its server, its agent, or of its system. Raises OSError when it is gone."""
    if Path(f"/proc/{pid}/comm").read_text().strip() in programs:
        return "guest: server"
    return "guest: agent" if b"trove-guestagent" in Path(f"/proc/{pid}/cmdline").read_bytes() else "guest: system"


def memory(settings, progress, arguments):
    """Memory (proportional set size) of the whole set-up with the instance m1, engines counted apart."""
    instance.ensure_m1(settings, progress)
    groups, programs = defaultdict(list), _programs()
    for pid, name in processes.running(settings).items():
        groups[name].append(pid)
    for name, pid in cloud.status(settings)["services"].items():
        groups[f"minicloud {name}"].append(pid)
    for pid in bench_agent.in_guests(settings.prefix):
        groups[_kind(pid, programs)].append(pid)
    rows = [{"processes": name, "number": len(pids), "MB": round(processes.memory(pids) / 1e6, 1)}
            for name, pids in sorted(groups.items())]
    total = sum(row["MB"] for row in rows if row["processes"] != "guest: server")
    return [*rows, {"processes": "all but the engine", "number": None, "MB": round(total, 1)}], False


def _made(settings):
    """How much of each kind is in the cloud."""
    session = cloud.session(cloud.service_environment(settings))
    return {key: len(session.get(path, endpoint_filter={"service_type": kind, "interface": "public"}).json()[key])
            for kind, path, key in (("compute", "/servers", "servers"), ("volumev3", "/volumes", "volumes"),
                                    ("network", "/v2.0/ports", "ports"),
                                    ("network", "/v2.0/security-groups", "security_groups"))}


@contextmanager
def quota(settings, instances):
    """Let the tenant have so many instances, of 1 GB each, for the time of the block."""
    admin = instance.client(settings, cloud.admin_environment(settings))
    path = f"/mgmt/quotas/{instance.client(settings).get_project_id()}"
    usual = {item["resource"]: item["limit"] for item in admin.get(path).json()["quotas"]}
    admin.put(path, json={"quotas": {"instances": instances + 1, "volumes": instances + 1}})
    try:
        yield
    finally:
        admin.put(path, json={"quotas": {name: usual[name] for name in ("instances", "volumes")}})
