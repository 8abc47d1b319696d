"""Benchmark of trove-api while one tenant keeps slow connections open: the health answer and a neighbour's requests."""
import contextlib
import json
import subprocess
import sys
import time
from urllib.parse import urlsplit

from onebox import bench, bench_api, config, load, slow
from onebox.settings import CHECKOUT, SetupError, write
from trove.common import policy

INSTANCES, WORKERS = 1000, 1
CONNECTIONS = 200
SECONDS, RATE, CLIENTS = 10, 100, 8  # of the neighbour's requests
SETTLE = 3  # seconds after which the server has worked on what slow readers asked for at once
HEALTH_RATE = 20


def run(settings, progress, arguments):
    """p99 of a tenant's requests and of the health answer while another tenant keeps slow connections open."""
    directory = settings.state / "bench"
    options = bench_api.configure(settings, directory, None)
    # All come from one address here, as behind a load balancer: the limit for each address would end the slow ones.
    write(directory / "slow.conf", config.text({"DEFAULT": {
        "max_connections_per_address": 0, "tenant_threads_share": 0.75}}))
    options += ["--config-file", str(directory / "slow.conf")]
    callers = bench_api.callers(settings)
    (tenant, token), (other, others_token) = callers[policy.MEMBER], callers[policy.ADMIN]
    with progress.step("database"):
        bench_api.prepare(options, tenant)
        variables = bench_api.fill(tenant, INSTANCES)
    rows = []
    with bench_api.served(settings, options, directory, WORKERS) as url:
        request = load.Request("GET", f"{url}/v1.0/{tenant}/instances/{variables['instance_id']}",
                               {"X-Auth-Token": token})
        health = load.Request("GET", f"{url}/", {}, accepted=(200, 300))
        for _ in range(4):
            load.once(request)
        paths = {slow.HEADERS: f"/v1.0/{other}/instances", slow.BODIES: f"/v1.0/{other}/instances",
                 slow.READERS: "/v1.0/openapi.json"}
        loads = {"none": [], **{kind: [kind] for kind in slow.KINDS}, "all": slow.KINDS, "none again": []}
        for name, kinds in loads.items():
            crowds = [{"host": urlsplit(url).hostname, "port": urlsplit(url).port, "kind": kind, "path": paths[kind],
                       "token": others_token, "count": CONNECTIONS // len(kinds)} for kind in kinds]
            with progress.step(f"{CONNECTIONS} slow connections: {name}"), _open(crowds):
                for what, asked, rate in (("show", request, RATE), ("GET /", health, HEALTH_RATE)):
                    taken = load.paced(asked, rate, CLIENTS, SECONDS)
                    rows.append({"slow": name, "request": what, "requests/s": round(len(taken) / SECONDS, 1),
                                 **{f"{key} ms": round(value * 1000, 1)
                                    for key, value in bench.summary(taken).items()}})
    rows[0]["note"] = f"{CONNECTIONS} slow connections of one tenant to {WORKERS} worker; the request is another's"
    return rows, False


@contextlib.contextmanager
def _open(crowds):
    """Slow clients in a process of their own while the block runs."""
    if not crowds:
        yield
        return
    process = subprocess.Popen([sys.executable, "-m", "onebox.slow"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, env={"PYTHONPATH": str(CHECKOUT / "tools/lib")})
    try:
        json.dump(crowds, process.stdin)
        process.stdin.close()
        if process.stdout.readline() != "open\n":
            raise SetupError("The slow clients could not connect; see their error above")
        time.sleep(SETTLE)
        yield
        if process.poll() is not None:
            raise SetupError("The slow clients ended before the measurement did")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
