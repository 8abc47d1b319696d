"""Benchmark of trove-api alone: every GET of its table, and a creation, on a database of its own with many instances.

Its guests answer at once and its topic is nobody's, so that it is the API that is measured.
"""
import contextlib
import json
import re
import uuid

import sqlalchemy
from paste import deploy
from webob import Request

from onebox import bench, bench_guest, cloud, config, figures, load, processes, services
from onebox.settings import CHECKOUT, SetupError, free_port, write
from trove.common import api, cfg, policy
from trove.common.cfg import CONF
from trove.common.remote import reset
from trove.db import get_db_api
from trove.db.sqlalchemy import tables

NAME = "bench-api"
CLIENTS, SECONDS = 4, 1.5  # of each route
CHOSEN_SECONDS = 6  # of what is looked at more closely
SHOW = "/instances/{instance_id}"
CHOSEN = (SHOW, "/instances")
RATE = 200  # of the show per second and worker that is asked for: half of what each worker should manage


def run(settings, progress, arguments):
    """Requests/s and latency of every GET with many instances; statements and remote calls of each, counted."""
    directory, rows = settings.state / "bench", []
    options = configure(settings, directory, arguments.connection)
    askers = callers(settings)
    tenant = askers[policy.MEMBER][0]
    with progress.step("database"):
        prepare(options, tenant)
    known = 0
    for count in sorted(arguments.count):
        with progress.step(f"{count} instances"):
            variables = fill(tenant, count - known)
        known = count
        targets = [(row.path.removeprefix("/{tenant_id}"), *askers[row.role]) for row in api.ROUTES
                   if row.method == "GET" and row.path.startswith("/{tenant_id}")
                   and (arguments.only is None or row.path == "/{tenant_id}" + arguments.only)]
        if not targets:
            raise SetupError(f"No route is called {arguments.only}; name one as in doc/openapi.json, such as {SHOW}")
        exact = _exact(targets, variables)
        for workers in arguments.workers:
            with progress.step(f"{count} instances, {workers} workers"), \
                    served(settings, options, directory, workers) as url:
                rows += [{"request": name, "instances": count, "workers": workers, **found,
                          **exact.get(name, {})} for name, found in _loads(url, targets, variables, workers, exact)]
    rows[0]["note"] = f"{CLIENTS} clients for each worker; SQL, remote: statements and calls of one request"
    return rows, False


def configure(settings, directory, connection):
    """Write the configuration file; returns the arguments that name it."""
    groups = config.control_plane(settings, cloud.service_environment(settings))
    groups["DEFAULT"] |= {"taskmanager_queue": NAME, "max_instances_per_tenant": -1, "max_volumes_per_tenant": -1,
                          "remote_guest_client": f"{bench_guest.__name__}.client", "agent_heartbeat_expiry": 86400,
                          "tenant_threads_share": 1,  # all its clients are one tenant
                          **{f"http_{verb}_rate": 0 for verb in ("get", "post", "put", "delete")}}
    if connection is None:
        connection = f"sqlite:///{directory / 'trove.sqlite'}"
        (directory / "trove.sqlite").unlink(missing_ok=True)
    groups["database"]["connection"] = connection
    write(directory / "trove.conf", config.text(groups), mode=0o600)
    return ["--config-file", str(directory / "trove.conf")]


def callers(settings):
    """{who may call a route: (project id, token)}."""
    tenant, admin = (cloud.session(environment(settings)) for environment in (
        cloud.tenant_environment, cloud.admin_environment))
    tenant, admin = ((found.get_project_id(), found.get_token()) for found in (tenant, admin))
    return {policy.MEMBER: tenant, policy.ADMIN_OR_NAMED: tenant, policy.ADMIN: admin}


def prepare(options, tenant):
    """Make the database of the configuration files that ``options`` name, and connect this process to it."""
    services.run_script("trove-manage", *options, "db_recreate")
    services.run_script("trove-manage", *options, "datastore_update", "mariadb", "")
    services.run_script("trove-manage", *options, "datastore_version_update", "mariadb", "10.11", "mariadb",
                        str(uuid.uuid4()), "", "1")
    services.run_script("trove-manage", *options, "datastore_update", "mariadb", "10.11")
    services.run_script("trove-manage", *options, "db_load_datastore_config_parameters", "mariadb", "10.11",
                        str(CHECKOUT / "trove/templates/mariadb/validation-rules.json"))
    cfg.parse_args([*options, "--log-file", "/dev/null"])
    get_db_api().configure_db(CONF)
    with get_db_api().writer() as session:
        session.execute(tables.clusters.insert().values(
            id=str(uuid.uuid4()), name="c", task_id=1, tenant_id=tenant, deleted=False,
            created=sqlalchemy.func.current_timestamp(), updated=sqlalchemy.func.current_timestamp(),
            datastore_version_id=session.execute(sqlalchemy.select(tables.datastores.c.default_version_id)).scalar()))


def fill(tenant, number):
    """Insert so many instances; returns {variable of a path: what stands for it}."""
    with get_db_api().writer() as session:
        def first(column):
            return session.execute(sqlalchemy.select(column).limit(1)).scalar()
        version, cluster = first(tables.datastores.c.default_version_id), first(tables.clusters.c.id)
        ids = figures.add_instances(session, tenant, version, number)
        return {"instance_id": ids[0], "group_id": ids[0], "cluster_id": cluster, "version_id": version,
                "configuration_id": first(tables.configurations.c.id), "backup_id": first(tables.backups.c.id),
                "datastore": "mariadb", "version": "10.11", "flavor": "1", "name": "max_connections", "user": "bob",
                "tenant": tenant, "module_id": str(uuid.uuid4())}


def _path(template, project, variables):
    found = re.sub(r"{(\w+)}", lambda name: variables[name[1]], template)
    return f"/v1.0/{project}{found}"


def _exact(targets, variables):
    """{template: {"status", "SQL", "remote"}}, counted with the pipeline in this process."""
    reset()
    app = deploy.loadapp(f"config:{CONF.find_file(CONF.api_paste_config)}", name="trove")
    found = {}
    with figures.Costs(get_db_api().get_engine()) as costs:
        for template, project, token in targets:
            request = Request.blank(_path(template, project, variables), headers={"X-Auth-Token": token})

            def ask(request=request):
                bench_guest.CALLS.clear()
                return request.copy().get_response(app)
            cost = costs.measure(ask)
            found[template] = {"status": cost["status"], "SQL": cost["statements"],
                               "remote": len(cost["calls"]) + len(bench_guest.CALLS)}
    return found


@contextlib.contextmanager
def served(settings, options, directory, workers):
    """trove-api with so many workers while the block runs; gives its URL."""
    port, file = free_port(directory), directory / "api.conf"
    write(file, config.text({"DEFAULT": {"bind_port": port, "trove_api_workers": workers}}))
    processes.start(settings, NAME, [services.script("trove-api"), *options, "--config-file", str(file)],
                    {"PYTHONPATH": str(CHECKOUT / "tools/lib")})
    try:
        processes.wait(lambda: services.api_answers(f"http://127.0.0.1:{port}"), 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        processes.stop(settings, NAME)


def _loads(url, targets, variables, workers, exact):
    """(name, columns) of each load, one after the other."""
    for template, project, token in targets:
        request = load.Request("GET", url + _path(template, project, variables), {"X-Auth-Token": token},
                               accepted=(exact[template]["status"],))
        for _ in range(4 * workers):  # the caches of every worker
            load.once(request)
        seconds = CHOSEN_SECONDS if template in CHOSEN else SECONDS
        yield template, _columns(*load.closed(request, CLIENTS * workers, seconds))
        if template == SHOW:
            taken = load.paced(request, RATE * workers, 4 * CLIENTS * workers, CHOSEN_SECONDS)
            yield f"{template} at {RATE * workers}/s", _columns(len(taken) / CHOSEN_SECONDS, taken)
    project, token = targets[0][1:]
    body = {"instance": {"name": "one", "flavorRef": "1", "volume": {"size": 1}}}
    request = load.Request("POST", f"{url}/v1.0/{project}/instances", {
        "X-Auth-Token": token, "Content-Type": "application/json"}, json.dumps(body).encode())
    load.once(request)
    yield "POST /instances", _columns(*load.closed(request, CLIENTS * workers, SECONDS))


def _columns(rate, seconds):
    return {"requests/s": round(rate, 1),
            **{f"{key} ms": round(value * 1000, 1) for key, value in bench.summary(seconds).items()}}
