"""Benchmark of trove-api alone: one worker, a database of its own with many instances, and a topic nobody serves."""
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import requests
import sqlalchemy
from paste import deploy
from webob import Request

from onebox import bench, cloud, config, processes, services
from onebox.settings import SetupError, free_port, write
from trove.common import cfg
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatuses
from trove.db import get_db_api
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks

CLIENTS, SECONDS = 4, 5
NAME = "bench-api"


def run(settings, progress, arguments):
    """Requests/s and latency of list, show and create (up to the cast) with many instances, and SQL per request."""
    directory = settings.state / "bench"
    port = free_port(directory)
    groups = config.control_plane(settings, cloud.service_environment(settings))
    groups["DEFAULT"] |= {"bind_port": port, "taskmanager_queue": NAME, "trove_api_workers": 1,
                          "max_instances_per_tenant": -1, "max_volumes_per_tenant": -1,
                          **{f"http_{verb}_rate": 0 for verb in ("get", "post", "put", "delete")}}
    groups["database"]["connection"] = f"sqlite:///{directory / 'trove.sqlite'}"
    write(directory / "trove.conf", config.text(groups), mode=0o600)
    (directory / "trove.sqlite").unlink(missing_ok=True)
    options = ["--config-file", str(directory / "trove.conf")]
    session = cloud.session(cloud.tenant_environment(settings))
    tenant, token = session.get_project_id(), session.get_token()
    with progress.step(f"database with {arguments.count} instances"):
        services.run_script("trove-manage", *options, "db_sync")
        services.run_script("trove-manage", *options, "datastore_update", "mariadb", "")
        services.run_script("trove-manage", *options, "datastore_version_update", "mariadb", "10.11", "mariadb",
                            str(uuid.uuid4()), "", "1")
        services.run_script("trove-manage", *options, "datastore_update", "mariadb", "10.11")
        cfg.parse_args([*options, "--log-file", str(directory / "statements.log")])
        get_db_api().configure_db(CONF)
        ids = _fill(tenant, arguments.count)
    processes.start(settings, NAME, [services.script("trove-api"), *options])
    try:
        processes.wait(lambda: services.api_answers(f"http://127.0.0.1:{port}"), 60)
        rows = []
        statements = _statements(groups, tenant, token, ids[0])
        for name, (method, path, body) in _calls(ids).items():
            url, headers = f"http://127.0.0.1:{port}/v1.0/{tenant}{path}", {"X-Auth-Token": token}
            with progress.step(name):
                # The first request fills caches, and learns that there is no guest to be asked how full it is.
                requests.request(method, url, headers=headers, json=body, timeout=60)
                rate, seconds = _load(method, url, headers, body)
            rows.append({"request": name, "requests/s": round(rate, 1), **{
                f"{key} ms": round(value * 1000, 1) for key, value in bench.summary(seconds).items()},
                "SQL statements": statements[name]})
    finally:
        processes.stop(settings, NAME)
    rows[0]["note"] = f"{CLIENTS} clients, 1 worker, {arguments.count} instances"
    return rows, False


def _calls(ids):
    body = {"instance": {"name": "one", "flavorRef": "1", "volume": {"size": 1}}}
    return {"list 20": ("GET", "/instances?limit=20", None),
            "show": ("GET", f"/instances/{ids[0]}", None),
            "create": ("POST", "/instances", body)}


def _load(method, url, headers, body):
    """Ask with several clients for some seconds; returns requests per second and the seconds of each."""
    ends = time.monotonic() + SECONDS

    def client(_number):
        taken = []
        with requests.Session() as session:
            session.trust_env = False
            while time.monotonic() < ends:
                begun = time.monotonic()
                answer = session.request(method, url, headers=headers, json=body, timeout=60)
                answer.raise_for_status()
                taken.append(time.monotonic() - begun)
        return taken

    begun = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        seconds = [value for taken in pool.map(client, range(CLIENTS)) for value in taken]
    return len(seconds) / (time.monotonic() - begun), seconds


def _statements(groups, tenant, token, instance_id):
    """SQL statements of each request, counted at the engine with the pipeline in this process."""
    app = deploy.loadapp(f"config:{groups['DEFAULT']['api_paste_config']}", name="trove")
    counted = []
    sqlalchemy.event.listen(get_db_api().get_engine(), "before_cursor_execute",
                            lambda _c, _cursor, statement, *_: counted.append(statement))
    found = {}
    for name, (method, path, body) in _calls([instance_id]).items():
        for _ in range(2):  # the first fills caches
            counted.clear()
            request = Request.blank(f"/v1.0/{tenant}{path}", method=method, headers={"X-Auth-Token": token})
            if body:
                request.json_body = body
            answer = request.get_response(app)
            if answer.status_int != 200:
                raise SetupError(f"{name}: {answer.status} {answer.text}")
        found[name] = len(counted)
    return found


def _fill(tenant, count):
    """Insert ACTIVE instances; returns their ids."""
    now = datetime.now(UTC).replace(tzinfo=None)
    ids = [str(uuid.uuid4()) for _ in range(count)]
    with get_db_api().writer() as session:
        version = session.execute(sqlalchemy.select(tables.datastores.c.default_version_id)).scalar_one()
        session.execute(tables.instances.insert(), [
            {"id": key, "name": f"i{number}", "created": now, "updated": now, "tenant_id": tenant, "flavor_id": "1",
             "task_id": InstanceTasks.NONE.code, "task_description": InstanceTasks.NONE.description, "volume_size": 1,
             "server_status": "ACTIVE", "deleted": False, "datastore_version_id": version, "addresses": "[]"}
            for number, key in enumerate(ids)])
        session.execute(tables.service_statuses.insert(), [
            {"id": str(uuid.uuid4()), "instance_id": key, "status_id": ServiceStatuses.RUNNING.code,
             "status_description": ServiceStatuses.RUNNING.description, "updated_at": now} for key in ids])
    return ids
