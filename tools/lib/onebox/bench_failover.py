"""Benchmark of replication: for how long nobody can write when a replica takes the place of its source."""
import functools
import time
from pathlib import Path

from onebox import bench, cloud, instance, probes, processes
from onebox.bench_guests import quota
from onebox.settings import SetupError, secret
from onebox.writer import Writer

_BUSY = ("BUILD", "BACKUP", "PROMOTE", "EJECT", "DETACH")
_SILENCE = 120  # seconds within which a dead guest must be allowed to be ejected


def run(settings, progress, arguments):
    """Seconds between two acknowledged writes when a replica is promoted, and when its dead source is ejected."""
    api, password = instance.client(settings), secret(settings, "bench_user")
    with quota(settings, 8):
        source = instance.create(api, "failover", password)
        instance.wait_active(api, source["id"])
        rows = []
        try:
            rows.append(_switchovers(api, password, arguments.rounds, progress))
            if arguments.ejections:
                rows.extend(_ejections(settings, api, password, arguments.ejections, progress))
        finally:
            _delete_all(api)
    lost = sum(row["lost writes"] for row in rows if row["what"].startswith("switchover"))
    return rows, bool(lost)


def _family(api):
    """The instances of the benchmark, the source first."""
    found = [api.get(f"/instances/{item['id']}").json()["instance"]
             for item in api.get("/instances?limit=100").json()["instances"] if item["name"].startswith("failover")]
    return sorted(found, key=lambda item: ("replica_of" in item, item["id"]))


def _delete_all(api):
    for item in reversed(_family(api)):
        instance.delete(api, item["id"])


def _replicate(api, source_id):
    """Make a replica and return its id."""
    made = api.post("/instances", json={"instance": {"name": "failover-replica", "replica_of": source_id}})
    instance_id = made.json()["instance"]["id"]
    instance.wait_active(api, instance_id)
    _settle(api)
    return instance_id


def _settle(api):
    """Wait until nobody is busy; returns the instances."""
    if not processes.wait(lambda: not any(item["status"] in _BUSY for item in _family(api)), 300, 0.05):
        raise SetupError("An instance of the benchmark is still busy after 300 s")
    return _family(api)


def _act(api, instance_id, action):
    api.post(f"/instances/{instance_id}/action", json={action: {}})


def _row(what, gaps, lost, note=""):
    return {"what": what, "rounds": len(gaps), **bench.summary(gaps), "lost writes": lost, "note": note}


def _clear(source, password):
    """Empty the store of a source; returns what makes a probe of a host of its family."""
    probe = functools.partial(probes.of(source["datastore"]["type"]), user=instance.USER, password=password,
                              database=instance.DATABASE)
    with probe(instance.address(source)) as first:
        first.clear()
    return probe


def _switchovers(api, password, rounds, progress):
    """Promote to and fro under 200 writes/s."""
    [source] = _family(api)
    replica = api.get(f"/instances/{_replicate(api, source['id'])}").json()["instance"]
    hosts = [instance.address(source), instance.address(replica)]
    probe = _clear(source, password)
    gaps = []
    with Writer(hosts, probe) as writer:
        for number in range(rounds):
            writer.wait_more(100)
            begun = time.monotonic()
            _act(api, (replica, source)[number % 2]["id"], "promote_to_replica_source")
            states = {item["status"] for item in _settle(api)}
            writer.wait_more(20)
            if states != {"ACTIVE"}:
                raise SetupError(f"A promotion has ended with {', '.join(sorted(states))}")
            gaps.append(writer.gap(begun))
            progress.say(f"        switchover {number + 1} of {rounds}: {gaps[-1]:.3f} s")
    processes.wait(lambda: not any(writer.missing(host) for host in hosts), 30, 0.5)
    lost = max(len(writer.missing(host)) for host in hosts)
    return _row("switchover, write gap", gaps, lost, f"{len(writer.acknowledged)} writes acknowledged")


def _ejections(settings, api, password, rounds, progress):
    """Kill the source, wait until it may be ejected, eject it, make a replica for the next round."""
    gaps, whole, lost = [], [], 0
    for number in range(rounds):
        source, *others = _settle(api)
        replica = others[0] if others else api.get(f"/instances/{_replicate(api, source['id'])}").json()["instance"]
        hosts = [instance.address(source), instance.address(replica)]
        with Writer(hosts, _clear(source, password)) as writer:
            writer.wait_more(100)
            _kill(settings, source)
            killed = time.monotonic()
            ejected = processes.wait(lambda source=source: _eject(api, source["id"]), _SILENCE, 0.5)
            if not ejected:
                raise SetupError(f"The source could not be ejected within {_SILENCE} s of its death")
            _settle(api)
            writer.wait_more(20)
        resumed = next(moment for _, moment in writer.acknowledged if moment > ejected)
        gaps.append(resumed - ejected)
        whole.append(resumed - killed)
        lost += len(writer.missing(hosts[1]))
        progress.say(f"        ejection {number + 1} of {rounds}: {gaps[-1]:.3f} s after the request, "
                     f"{whole[-1]:.1f} s after the death")
        instance.delete(api, source["id"])
    return [_row("ejection, from the request", gaps, lost, "the replication is asynchronous"),
            _row("ejection, from the death", whole, lost, "with the silence that is waited for")]


def _eject(api, instance_id):
    """The time of the request that was accepted, else None."""
    begun = time.monotonic()
    answer = api.post(f"/instances/{instance_id}/action", json={"eject_replica_source": {}}, raise_exc=False)
    return begun if answer.status_code == 202 else None


def _kill(settings, source):
    """End all processes of a guest at once."""
    session = cloud.session(cloud.service_environment(settings))
    servers = session.get("/servers/detail", endpoint_filter={"service_type": "compute", "interface": "public"})
    server = next(server["id"] for server in servers.json()["servers"]
                  if server["metadata"].get("trove_instance_id") == source["id"])
    for path in Path("/sys/fs/cgroup").glob(f"**/minicloud-{settings.prefix}/guests/{server}/cgroup.kill"):
        path.write_text("1")
