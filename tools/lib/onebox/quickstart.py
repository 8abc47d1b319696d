"""The command tools/quickstart: parse, call one function, print. Each function may be repeated at any time."""
import argparse
import json
import os
import shlex
import sys
import time

from onebox import broker, certificates, cloud, config, datastores, down, image, instance, processes, services
from onebox.bootstrap import SECONDS
from onebox.settings import AGENTS, DATASTORE, SetupError, choose, exclusive, load
from onebox.show import Progress

SERVICES = ("rabbitmq", *services.NAMES)
CLOSING = """
{version} answered on {host} as {current}.

  {language:<9} {command}
            {verified}
  API:      source {openrc}        (the administrator: {admin_openrc})
            {api_url}
  Logs:     {logs}

Next, with the clients of the cloud (pip install python-openstackclient python-troveclient):
            openstack database instance list
            openstack database instance show m1
{more}            tools/quickstart --status        what runs
            tools/quickstart --down          remove all of it
"""


WITH_USERS = """            openstack database db create m1 shop
            openstack database user create m1 bob SECRET --databases shop
"""


def main():
    """Run the command; returns the exit status."""
    arguments = _parser().parse_args()
    try:
        return arguments.run(arguments)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1


def up(arguments):
    """Start what is missing, make the instance m1 and prove that it answers its user."""
    begun, progress = time.monotonic(), Progress()
    progress.seconds.update(json.loads(os.environ.get(SECONDS, "{}")))
    settings = choose(agent=arguments.agent, datastore=arguments.datastore)
    with exclusive(settings.state):
        started = system(settings, progress)
        found, probe, created = instance.ensure_m1(settings, progress)
        with progress.step(f"{probe.language} over TCP"), probe:
            version, current, _ = probe.wait()
    client_file = instance.write_client_file(settings, probe)
    facts = {"host": probe.host, "port": probe.port, "user": probe.user, "password": probe.password,
             "database": probe.database, "datastore": found["datastore"]["type"]}
    report = {**_facts(settings), "instance": {**facts, "id": found["id"], "name": found["name"],
                                               "status": found["status"], "version": version},
              "created": created, "started": started, "seconds": progress.seconds,
              "total_seconds": round(time.monotonic() - begun, 2)}
    verified = (f"{shlex.quote(str(certificates.ca_file(settings)))} verifies it" if probe.speaks_tls
                else "(without TLS on this port)")
    paths = {"logs": settings.logs, "openrc": settings.state / "openrc",
             "admin_openrc": settings.state / "admin-openrc"}
    _print(arguments, report, CLOSING.format(
        version=version, host=probe.host, current=current, api_url=settings.api_url, language=f"{probe.language}:",
        command=probe.command(client_file), verified=verified, more=WITH_USERS if probe.has_users else "",
        **quoted(paths)))
    return 0


def system(settings, progress):
    """Cloud, bus and control plane, without any instance; returns the names of the services that were started."""
    settings.save()
    offered = list(dict.fromkeys(datastores.find(text) for text in settings.datastores))
    with progress.step("guest system"):  # a minute for each version at the first time
        roots = image.roots(settings.cache, offered)
    with progress.step("guest agent"):
        agents = {version: image.agent(settings, root, version) for version, root in roots.items()}
    with progress.step("minicloud"):
        cloud.up(settings)
        broker.begin(settings)
    with progress.step("accounts, catalog, images"):
        cloud.ensure_accounts(settings)
        images = [(version, cloud.ensure_image(settings, root, agents[version], image.binds(settings)))
                  for version, root in roots.items()]
        cloud.write_openrc(settings)
    with progress.step("infrastructure database, datastore"):
        config.write_all(settings)
        services.ensure_database(settings, images)
    with progress.step("RabbitMQ"):
        broker.wait_ready(settings)
    with progress.step("trove-api, trove-taskmanager, trove-conductor"):
        return services.ensure(settings)


def take_down(arguments):
    """Remove everything that was started, and the state directory."""
    progress = Progress()
    left = down.remove(progress)
    _print(arguments, {"removed": not left, "left": left}, "Nothing is left." if not left else "\n".join(left))
    return 1 if left else 0


def status(arguments):
    """Show what runs; the exit status is 3 when something is missing or does not answer."""
    settings = load()
    if settings is None:
        _print(arguments, {"running": False, "services": {}}, "Nothing runs here; tools/quickstart starts it.")
        return 3
    running = {name: processes.main_pid(settings, name) for name in SERVICES}
    silent = [name for name, pid in running.items() if pid and not answers(settings, name)]
    report = {**_facts(settings), "services": running, "silent": silent, "cloud": cloud.status(settings)}
    report["running"] = not silent and all(running.values()) and all(
        ((report["cloud"] or {}).get("services") or {"": None}).values())
    lines = [f"{name:<20}{f'pid {pid}' if pid else 'not running'}{', does not answer' if name in silent else ''}"
             for name, pid in running.items()]
    for name, pid in ((report["cloud"] or {}).get("services") or {}).items():
        lines.append(f"{'minicloud ' + name:<20}{'pid ' + str(pid) if pid else 'not running'}")
    for guest in (report["cloud"] or {}).get("guests", ()):
        lines.append(f"guest {guest['guest_id']} {guest['address']} {guest['state']}")
    _print(arguments, report, "\n".join(lines))
    return 0 if report["running"] else 3


def answers(settings, name):
    """Whether a service that runs does its work: it may be starting, stopping or stuck."""
    return broker.answers(settings) if name == "rabbitmq" else services.ready(settings, name)


def quoted(paths):
    """Return paths ({name: path}) as a shell takes them, whatever characters are in the checkout's."""
    return {name: shlex.quote(str(path)) for name, path in paths.items()}


def _facts(settings):
    return {"state": str(settings.state), "prefix": settings.prefix, "subnet": settings.subnet,
            "agent": settings.agent, "datastores": settings.datastores, "api": settings.api_url,
            "auth_url": f"http://{settings.gateway}:8770/identity/v3", "openrc": str(settings.state / "openrc"),
            "admin_openrc": str(settings.state / "admin-openrc"), "logs": str(settings.logs),
            "ca_file": str(certificates.ca_file(settings))}


def _print(arguments, report, text):
    print(json.dumps(report, indent=2) if arguments.json else text)


def _datastore(text):
    try:
        return str(datastores.find(text))
    except SetupError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser():
    parser = argparse.ArgumentParser(prog="tools/quickstart", description=up.__doc__)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--down", dest="run", action="store_const", const=take_down, help=take_down.__doc__)
    action.add_argument("--status", dest="run", action="store_const", const=status, help=status.__doc__)
    parser.add_argument("--json", action="store_true", help="Print facts for scripts on standard output.")
    parser.add_argument("--agent", choices=AGENTS, help="Where guests get their agent from: part of their image "
                        "(default, as in production), or this checkout (development).")
    parser.add_argument("--datastore", type=_datastore, metavar="NAME[:VERSION]", help="Offer this datastore too, "
                        f"in its default version or another; the first is what m1 is made of (default: {DATASTORE})."
                        f" There are: {', '.join(map(str, datastores.every()))}.")
    parser.set_defaults(run=up)
    return parser


if __name__ == "__main__":
    sys.exit(main())
