"""The running system as the scenarios see it: the tools, the real clients, and what lies in cloud and broker.

Only the conftest beside it makes these objects. No knowledge of the control plane's insides beyond its public API.
"""
import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

from onebox import broker, cloud, instance, processes
from onebox.probes import mysql_family
from onebox.settings import CHECKOUT, load

from tests import waiting

PASSWORD = "pa55 %Word$of(tests)"
WAIT = 120  # seconds for what normally takes a few
TOOL = 1800  # seconds after which a program that hangs is ended


def quickstart(*arguments, state, check=True):
    """Run tools/quickstart --json in a state directory; returns what it printed."""
    done = subprocess.run([str(CHECKOUT / "tools/quickstart"), "--json", *arguments], capture_output=True, text=True,
                          env={**os.environ, "TROVE_STATE": str(state)}, timeout=TOOL, check=False)
    if check:
        assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def begin_quickstart(state):
    """Start tools/quickstart and return its process."""
    return subprocess.Popen([str(CHECKOUT / "tools/quickstart")], env={**os.environ, "TROVE_STATE": str(state)},
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_until(condition, timeout=WAIT, pause=0.25):
    """The first true value of ``condition()``; fails the test after ``timeout`` seconds, later on a busy machine."""
    return waiting.wait_until(condition, timeout, pause)


def kill(settings, name=None):
    """SIGKILL to every process of a service, or of the whole set-up; returns when they are gone."""
    found = processes.running(settings, name)
    assert found, f"{name} does not run"
    for pid in found:
        with contextlib.suppress(ProcessLookupError):  # it ended with its parent
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes.running(settings, name))


class CommandFailed(Exception):
    """A client ended with an error; the text is what it printed."""


class Client:
    """A command line client in an environment of its own."""

    def __init__(self, program, environment, prefix=()):
        self.program, self.environment, self.prefix = str(program), environment, prefix

    def __call__(self, *arguments):
        """Its standard output; raises CommandFailed."""
        done = subprocess.run([self.program, *self.prefix, *arguments], capture_output=True, text=True, timeout=TOOL,
                              env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **self.environment}, check=False)
        if done.returncode:
            raise CommandFailed(done.stdout + done.stderr)
        return done.stdout

    def json(self, *arguments):
        """The output of a command that can print JSON."""
        return json.loads(self(*arguments, "-f", "json"))

    def rows(self, *arguments):
        """The cells of the table that a command prints, as a list of rows without the heading."""
        lines = [line for line in self(*arguments).splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]

    def fields(self, *arguments):
        """A table of properties and values as a dict."""
        return {row[0]: row[1] for row in self.rows(*arguments)}


class System:
    """One set-up made by tools/quickstart, with its instance m1."""

    def __init__(self, facts):
        self.facts = facts
        self.settings = load(facts["state"])
        self.api = instance.client(self.settings)
        self.admin = instance.client(self.settings, cloud.admin_environment(self.settings))
        self._service = cloud.session(cloud.service_environment(self.settings))
        self.tenant_id = self.api.get_project_id()

    @property
    def m1(self):
        """The facts of the instance of the tour: id, host, user, password, database."""
        return self.facts["instance"]

    def create(self, name, **extra):
        """Ask for an instance with a volume, a database and a user; returns its id."""
        request = instance.body(name, self.smallest_flavor(), PASSWORD)
        request["instance"].update(extra)
        answer = self.api.post("/instances", json=request, raise_exc=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["instance"]["id"]

    def smallest_flavor(self):
        """The id of the flavor with the least memory."""
        return str(min(self.api.get("/flavors").json()["flavors"], key=lambda flavor: flavor["ram"])["id"])

    def show(self, instance_id):
        """The view of an instance, or None when the API answers 404."""
        answer = self.api.get(f"/instances/{instance_id}", raise_exc=False)
        assert answer.status_code in (200, 404), answer.text
        return answer.json()["instance"] if answer.status_code == 200 else None

    def wait_ended(self, instance_id, timeout=600):
        """Return the instance when it is ACTIVE or in error, and no longer on its way."""
        def ended():
            found = self.show(instance_id)
            assert found, f"instance {instance_id} is gone"
            return found if found["status"] in ("ACTIVE", "ERROR", "FAILED") else None
        return wait_until(ended, timeout)

    def wait_step(self, instance_id, step, timeout=WAIT):
        """Return when the operation of the instance has come to a step (or beyond it)."""
        def there():
            operation = instance.newest_operation(self.api, instance_id)
            done = [past["name"] for past in operation["steps"]]
            return operation["step"] == step or step in done
        wait_until(there, timeout, 0.02)

    def delete(self, instance_id):
        """Delete an instance and wait until it is gone."""
        answer = self.api.delete(f"/instances/{instance_id}", raise_exc=False)
        assert answer.status_code == 202, answer.text
        wait_until(lambda: self.show(instance_id) is None)

    def sql(self, statement, host, user, password, database=None):
        """The rows of a statement of an engine of the MySQL family over TCP."""
        with mysql_family.Probe(host, user, password, database, connect_timeout=10, answer_timeout=30) as probe:
            return probe.query(statement)

    def guest(self, instance_id, *command):
        """Run a command inside the guest of an instance."""
        return cloud.execute(self.settings, self.server(instance_id), command)

    def kill_guest(self, instance_id):
        """Let the guest of an instance die as in a power cut."""
        group = f"minicloud-{self.settings.prefix}/guests/{self.server(instance_id)}"
        [kill] = Path("/sys/fs/cgroup").glob(f"**/{group}/cgroup.kill")
        kill.write_text("1")

    def server(self, instance_id):
        """The id of the server of an instance."""
        for server in self.cloud_get("compute", "/servers/detail")["servers"]:
            if server["metadata"].get("trove_instance_id") == instance_id:
                return server["id"]
        raise AssertionError(f"no server was made for instance {instance_id}")

    def cloud_get(self, service_type, path):
        """GET of one of the cloud's services as the service user, in whose project everything is made."""
        return self._service.get(path, endpoint_filter={"service_type": service_type, "interface": "public"}).json()

    def inventory(self):
        """Everything that instances leave in cloud and broker, as a set of (kind, name)."""
        found = set()
        for kind, service, path, key, name in (
                ("server", "compute", "/servers/detail", "servers", "id"),
                ("volume", "volumev3", "/volumes/detail", "volumes", "id"),
                ("port", "network", "/v2.0/ports", "ports", "id"),
                ("security group", "network", "/v2.0/security-groups", "security_groups", "name")):
            found |= {(kind, item[name]) for item in self.cloud_get(service, path)[key]}
        found |= {("broker user", user["name"]) for user in broker.request(self.settings, "GET", "/api/users")}
        # Replies of the services are queues too; they change whenever a service starts.
        found |= {("queue", queue["name"]) for queue in broker.request(self.settings, "GET", "/api/queues")
                  if "guestagent" in queue["name"]}
        host = cloud.status(self.settings)
        return found | {("guest", guest["guest_id"]) for guest in host["guests"]} | {
            ("sparse file", volume["volume_id"]) for volume in host["volumes"]}

    def assert_nothing_more_than(self, before):
        """Fail unless the inventory comes back to what it was."""
        waiting.wait_until(lambda: self.inventory() <= before, 30, 0.5,
                           lambda: f"left behind: {self.inventory() - before}")


def remains(prefix, state):
    """What a set-up has on the machine: mounts, loop devices, namespaces, links, routes, filters, processes, files."""
    def lines(*command):
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout.splitlines()

    marks = (f"{prefix}-", f"{prefix}g", str(state))
    mounts = Path("/proc/self/mountinfo").read_text().replace("\\040", " ").splitlines()
    found = [("mount", line) for line in mounts
             if any(mark in line for mark in marks)]
    for kind, command in (("loop device", ("losetup", "--noheadings", "--output", "NAME,BACK-FILE")),
                          ("namespace", ("ip", "netns")), ("link", ("ip", "-brief", "link")),
                          ("route", ("ip", "route")), ("filter", ("nft", "list", "tables"))):
        found += [(kind, line) for line in lines(*command) if any(mark in line for mark in marks)]
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit() or int(directory.name) == os.getpid():
            continue
        try:
            seen = (directory / "cgroup").read_bytes() + (directory / "environ").read_bytes()
            seen += str((directory / "cwd").readlink()).encode()
        except OSError:  # it ended meanwhile
            continue
        if f"minicloud-{prefix}".encode() in seen or str(state).encode() in seen:
            found.append(("process", (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
    found += [("control group", str(path)) for path in Path("/sys/fs/cgroup").glob(f"**/minicloud-{prefix}")]
    return found + ([("directory", str(state))] if Path(state).exists() else [])
