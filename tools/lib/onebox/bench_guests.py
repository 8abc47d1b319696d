"""Benchmarks with real guests: creating one after the other, many at once, and the memory of it all."""
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from onebox import bench, bench_agent, cloud, instance, processes
from onebox.settings import SetupError, secret

TOTAL = "create to first SELECT"


def create(settings, progress, arguments):
    """Seconds from the request to ACTIVE to the first SELECT, one instance after the other, and where they go."""
    api, password, seconds = instance.client(settings), secret(settings, "bench_user"), defaultdict(list)
    with quota(settings, 5):
        _one(api, "bench-warm-up", password)
        for number in range(arguments.count):
            measured = _one(api, f"bench-{number}", password)
            for name, value in measured.items():
                seconds[name].append(value)
            progress.say(f"        {number + 1} of {arguments.count}: {measured[TOTAL]:.2f} s")
    return [{"seconds": name, **bench.summary(values)} for name, values in seconds.items()], False


def _one(api, name, password):
    """Create, connect and delete one instance; returns what each part took."""
    begun = time.monotonic()
    made = instance.create(api, name, password)
    accepted = time.monotonic()
    try:
        found = instance.wait_active(api, made["id"], pause=0.05)
        active = time.monotonic()
        instance.select(instance.address(found), instance.USER, password, instance.DATABASE)
        ended = time.monotonic()
        done = instance.newest_operation(api, made["id"])["steps"]
    finally:
        instance.delete(api, made["id"])
    steps = {f"  step {step['name']}": step["seconds"] for step in done}
    return {"API accepts": accepted - begun, "create to ACTIVE": active - begun, TOTAL: ended - begun, **steps,
            "delete": time.monotonic() - ended}


def burst(settings, progress, arguments):
    """Many creations at once: all ACTIVE and answering, none stuck, nothing left after deleting them."""
    api, password, count = instance.client(settings), secret(settings, "bench_user"), arguments.count
    before = _made(settings)
    with quota(settings, count + 5), ThreadPoolExecutor(count) as pool:
        begun = time.monotonic()
        made = list(pool.map(lambda number: instance.create(api, f"burst-{number}", password)["id"], range(count)))
        accepted = time.monotonic() - begun

        def finish(instance_id):
            try:
                found = instance.wait_active(api, instance_id, pause=0.5)
                instance.select(instance.address(found), instance.USER, password, instance.DATABASE)
            except SetupError as error:
                progress.say(str(error))
                return None
            return time.monotonic() - begun

        answered = [value for value in pool.map(finish, made) if value]
        progress.say(f"        {len(answered)} of {count} answered SQL; deleting them")
        begun = time.monotonic()
        list(pool.map(lambda instance_id: instance.delete(api, instance_id), made))
        deleted = time.monotonic() - begun
    left = processes.wait(lambda: _made(settings) == before, 30, 0.5) is None
    rows = [{"what": f"{count} creations accepted", "seconds": round(accepted, 2)},
            {"what": f"{len(answered)} of {count} ACTIVE and answering SQL",
             "seconds": round(max(answered, default=0), 2),
             "note": f"the first after {min(answered, default=0):.2f} s"},
            {"what": "all deleted", "seconds": round(deleted, 2)},
            {"what": "left behind", "seconds": "something" if left else "nothing"}]
    return rows, left or len(answered) < count


def memory(settings, progress, arguments):
    """Memory (proportional set size) of the whole set-up with the instance m1, engines counted apart."""
    instance.ensure_m1(settings, progress)
    groups = defaultdict(list)
    for pid, name in processes.running(settings).items():
        groups[name].append(pid)
    for name, pid in cloud.status(settings)["services"].items():
        groups[f"minicloud {name}"].append(pid)
    for pid in bench_agent.in_guests(settings.prefix):
        engine = Path(f"/proc/{pid}/comm").read_text().strip() in ("mariadbd", "mysqld")
        agent = b"trove-guestagent" in Path(f"/proc/{pid}/cmdline").read_bytes()
        groups["guest: engine" if engine else "guest: agent" if agent else "guest: system"].append(pid)
    rows = [{"processes": name, "number": len(pids), "MB": round(processes.memory(pids) / 1e6, 1)}
            for name, pids in sorted(groups.items())]
    total = sum(row["MB"] for row in rows if row["processes"] != "guest: engine")
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
