"""Benchmark of fairness: one guest floods the bus as fast as it can, and others and the API are watched meanwhile.

The services are those of the set-up. The guests are simulated: each has its row, its account at the broker and its key,
and reports as an agent does; the flood is made of the flooding guest's own genuine heartbeats.
"""
import contextlib
import json
import subprocess
import sys
import threading
import time
import types

import sqlalchemy

from onebox import bench, cloud, config, load, processes
from onebox.settings import CHECKOUT, SetupError
from trove.common import cfg, crypto
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatuses
from trove.db import get_db_api, models
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.steps import bus

# Seconds between two heartbeats of a neighbour: half of an agent's default, so that an age of 10 s is late by 5 s.
INTERVAL = 5
# Requests a second to the API, from so many clients; seconds of quiet that are measured before the flood.
RATE, CLIENTS, QUIET = 20, 8, 30
NAME = "bench-flood"
# Seconds until every guest must have reported once: a conductor looks for guests that it does not know once a minute.
HEARD_WITHIN = 120


def run(settings, progress, arguments):
    """Age of the heartbeats of all other guests, and the API's latency, while one guest floods the bus."""
    cfg.parse_args(["--config-file", str(settings.etc / config.CONTROL_PLANE), "--log-file", "/dev/null"])
    get_db_api().configure_db(CONF)
    tenant = cloud.session(cloud.tenant_environment(settings))
    works = [types.SimpleNamespace(resource_id=models.new_id(), data={}, reading=get_db_api().reader)
             for _ in range(arguments.count + 1)]
    for work in works:
        work.note, work.again = work.data.update, lambda *_: "again"
    try:
        _insert(tenant.get_project_id(), works)
        for work in works:
            bus.create_account(work)
        rows = _measure(settings, progress, arguments, works, tenant)
    finally:
        for work in works:
            while bus.delete_account(work) is not None:
                time.sleep(0.2)
        _remove(works)
    late = any(row["oldest heartbeat s"] >= 10 for row in rows[1:])
    slow = rows[1]["API p99 ms"] >= 2 * rows[0]["API p99 ms"]
    return rows, late or slow


def _measure(settings, progress, arguments, works, tenant):
    flooder, neighbours = works[0], works[1:]
    ids = [work.resource_id for work in neighbours]
    request = load.Request("GET", f"{settings.api_url}/v1.0/{tenant.get_project_id()}/instances",
                           {"X-Auth-Token": tenant.get_token()})
    with _guests("neighbours", neighbours):
        if not processes.wait(lambda: _heard(ids) < INTERVAL + 1, HEARD_WITHIN, 0.5):
            raise SetupError(f"Not all {len(ids)} guests were heard within {HEARD_WITHIN} s")
        with progress.step(f"{QUIET} s of quiet"):
            quiet = _watch(request, ids, QUIET)
        with progress.step(f"{arguments.seconds} s of flood"), _guests("flood", [flooder]) as counts:
            flood = _watch(request, ids, arguments.seconds)
    sent = int(counts[-1]) if counts else 0
    return [{"what": "quiet", "guests": len(ids), **quiet, "flood/s": 0},
            {"what": "flood", "guests": len(ids), **flood, "flood/s": round(sent / arguments.seconds)}]


def _watch(request, ids, seconds):
    """Measure the neighbours and the API for so many seconds; return the columns of the table."""
    oldest, done = [], threading.Event()

    def look():
        while not done.wait(0.25):
            oldest.append(_heard(ids))
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        taken = load.paced(request, RATE, CLIENTS, seconds)
    finally:
        done.set()
        watcher.join()
    return {"oldest heartbeat s": round(max(oldest), 2),
            **{f"API {key} ms": round(value * 1000, 1) for key, value in bench.summary(taken).items()}}


def _heard(ids):
    """Seconds since the newest stored heartbeat was sent, of the guest for which that is longest."""
    seen = tables.conductor_lastseen
    with get_db_api().reader() as session:
        found = session.execute(sqlalchemy.select(seen.c.sent).where(
            seen.c.instance_id.in_(ids), seen.c.method_name == "heartbeat")).scalars().all()
    return time.time() - min(found) if len(found) == len(ids) else float("inf")


@contextlib.contextmanager
def _guests(part, works):
    """A process that plays guests while the block runs; gives the list that gets the lines which it prints at its end.
    """
    tls = {name: str(getattr(CONF.oslo_messaging_rabbit, name)) for name in ("ssl_ca_file", "ssl_cert_file")}
    facts = [{"id": work.resource_id, "key": crypto.guest_key(work.resource_id), "url": bus.guest_transport_url(work),
              **tls} for work in works]
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-m", "onebox.bench_flood_guests", part, str(INTERVAL)],
                               cwd=CHECKOUT, env={"PYTHONPATH": f"{CHECKOUT}/tools/lib:{CHECKOUT}"},
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lines = []
    try:
        # Keys and passwords go through the pipe; its end tells the process to stop.
        process.stdin.write(json.dumps(facts) + "\n")
        process.stdin.flush()
        yield lines
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        lines += process.stdout.read().split()


def _insert(tenant, works):
    now = models.utcnow()
    with get_db_api().writer() as session:
        version = session.execute(sqlalchemy.select(tables.datastores.c.default_version_id).where(
            tables.datastores.c.default_version_id.is_not(None)).limit(1)).scalar()
        for work in works:
            session.execute(tables.instances.insert().values(
                id=work.resource_id, name=NAME, tenant_id=tenant, task_id=InstanceTasks.NONE.code,
                task_description=InstanceTasks.NONE.description, flavor_id="1", volume_size=1, server_status="ACTIVE",
                datastore_version_id=version, created=now, updated=now, deleted=False))
            session.execute(tables.service_statuses.insert().values(
                id=models.new_id(), instance_id=work.resource_id, status_id=ServiceStatuses.RUNNING.code,
                status_description=ServiceStatuses.RUNNING.description, updated_at=now))


def _remove(works):
    ids = [work.resource_id for work in works]
    with get_db_api().writer() as session:
        for table in (tables.service_statuses, tables.agent_heartbeats, tables.conductor_lastseen):
            session.execute(sqlalchemy.delete(table).where(table.c.instance_id.in_(ids)))
        session.execute(sqlalchemy.delete(tables.instances).where(tables.instances.c.id.in_(ids)))
