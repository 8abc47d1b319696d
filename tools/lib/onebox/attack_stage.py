"""The stage of tools/attack: two tenants with instances, the intruder in the attacker's guest, and the witness.

Everything that it makes is its own, found again by name after an interrupted run, and removed in the end.
"""
import base64
import contextlib
import copy
import json
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from keystoneauth1 import exceptions
from keystoneauth1.adapter import Adapter
from keystoneclient.v3.client import Client as Keystone
from minicloud import config as cloud_config
from minicloud.host.client import HostClient

from onebox import broker, cloud, instance, intruder, processes
from onebox.settings import SetupError, secret

PROGRAM = "/root/intruder.py"
CONTAINER = "database_backups"
EVENT = re.compile(r"security event ([a-z_.]+): (.*)")
GUEST_LOG = "/var/log/trove/trove-guestagent.log"
# Seconds for a message to have had its effect, and for answers of the API to count as such.
SETTLE, SLOW = 0.6, 15
BACKUP_TIMEOUT, ASK_TIMEOUT = 120, 90


class Broken(Exception):
    """The attack did what it must not; the text is the evidence."""


class Weak(Exception):
    """No harm was seen, but the refusal is not the expected one; the text says what came instead."""


@dataclass
class Tenant:
    """One side: its member's client, project and main instance (with its server in the cloud)."""

    name: str
    api: Adapter
    project: str
    instance: str = ""
    server: str = ""
    host: str = ""

    @property
    def token(self):
        """Return a valid token of the member."""
        return self.api.session.get_token()


class Stage:
    """What attacks act on. rng: random.Random of the run's seed; short: whether the long attacks are left out;
    patience: seconds for an expected security event to be logged.
    """

    def __init__(self, settings, progress, rng, short, patience):
        self.settings, self.progress, self.rng, self.short, self.patience = settings, progress, rng, short, patience
        environment = cloud.admin_environment(settings)
        self.auth_url, admin = environment["OS_AUTH_URL"], cloud.session(environment)
        self.keystone = Keystone(session=admin, interface="public", region_name=cloud.REGION)
        self.admin = Adapter(admin, service_type="database", interface="public", region_name=cloud.REGION)
        self.cloud = {kind: Adapter(admin, service_type=kind, interface="public", region_name=cloud.REGION)
                      for kind in ("network", "compute")}
        self.service = cloud.session(cloud.service_environment(settings))
        self.host = HostClient(cloud_config.load(settings.cloud_state))
        self.attacker, self.victim = self._tenant("attacker"), self._tenant("victim")
        self.things, self.loot, self.second = {}, {}, None
        self.reported = {}  # name of a security event -> when it was seen last, by the monotonic clock

    # ------------------------------------------------------------------ making and removing

    def _tenant(self, name):
        """Make a project with one member in it."""
        project = next(iter(self.keystone.projects.list(name=name)), None) or self.keystone.projects.create(
            name, domain="default")
        user = next(iter(self.keystone.users.list(name=name)), None) or self.keystone.users.create(
            name, domain="default", password=secret(self.settings, name), default_project=project)
        self.keystone.roles.grant(self.keystone.roles.list(name="member")[0], user=user, project=project)
        environment = {**cloud.admin_environment(self.settings), "OS_USERNAME": name, "OS_PROJECT_NAME": name,
                       "OS_PASSWORD": secret(self.settings, name)}
        return Tenant(name, instance.client(self.settings, environment), project.id)

    def set_up(self):
        """Make instances of both tenants and the victim's belongings; start the intruder in the attacker's guest."""
        for tenant in (self.attacker, self.victim):
            _clear(tenant)
        wanted = ((self.attacker, "attacker-1"), (self.victim, "victim-1"), (self.victim, "victim-2"))
        made = [instance.create(tenant.api, name, secret(self.settings, tenant.name))["id"] for tenant, name in wanted]
        with ThreadPoolExecutor(len(made)) as pool:
            views = list(pool.map(lambda pair: instance.wait_active(pair[0][0].api, pair[1]),
                                  zip(wanted, made, strict=True)))
        for tenant, view in zip((self.attacker, self.victim), views[:2], strict=True):
            tenant.instance, tenant.host = view["id"], instance.address(view)
            tenant.server = self._server(view["id"])
        self.things["second"] = self.second = made[2]
        self._belongings()
        self.say_in_guest(self.attacker, ["python3", "-c", "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())",
                                          PROGRAM], Path(intruder.__file__).read_text())
        self.say_in_guest(self.attacker, ["python3", PROGRAM, "start"])
        if not processes.wait(self._listens, 60, 0.2):
            log = self.say_in_guest(self.attacker, ["cat", "/run/intruder.log"])
            raise SetupError(f"The intruder does not start: {log}")
        self.facts = self.ask({"do": "facts"})

    def _belongings(self):
        """Make what the victim has beside instances: a backup, a group, a module, a network and a port."""
        api, things = self.victim.api, self.things
        things["backup"] = api.post("/backups", json={"backup": {
            "instance": self.victim.instance, "name": "victims"}}).json()["backup"]["id"]
        things["configuration"] = api.post("/configurations", json={"configuration": {
            "name": "victims", "values": {"max_connections": 77}}}).json()["configuration"]["id"]
        things["module"] = api.post("/modules", json={"module": {
            "name": "victims", "module_type": "ping", "contents": "bWVzc2FnZT1oZWxsbw=="}}).json()["module"]["id"]
        groups = api.get("/security-groups").json()["security_groups"]
        things["group"] = next(group["id"] for group in groups if group["instance_id"] == self.victim.instance)
        [*_, rule] = api.get(f"/security-groups/{things['group']}").json()["security_group"]["rules"]
        things["rule"] = rule["id"]
        network = self.cloud["network"].post("/v2.0/networks", json={"network": {
            "name": "victims", "project_id": self.victim.project}}).json()["network"]
        things["network"] = network["id"]
        things["port"] = next(port["id"] for port in self.cloud["network"].get("/v2.0/ports").json()["ports"]
                              if port["device_id"] == self.victim.server)
        location = self.wait_backup(self.victim, things["backup"], ("COMPLETED",))["locationRef"]
        things["account"], things["location"] = location.partition(f"/{CONTAINER}")[0], location

    def take_down(self):
        """Remove instances, belongings and tenants."""
        for tenant in (self.attacker, self.victim):
            _clear(tenant)
        for network in self.cloud["network"].get("/v2.0/networks?name=victims").json()["networks"]:
            self.cloud["network"].delete(f"/v2.0/networks/{network['id']}")
        for tenant in (self.attacker, self.victim):
            for user in self.keystone.users.list(name=tenant.name):
                self.keystone.users.delete(user)
            self.keystone.projects.delete(tenant.project)

    def _server(self, instance_id):
        answer = self.service.get("/servers/detail", endpoint_filter={"service_type": "compute", "interface": "public"})
        return next(server["id"] for server in answer.json()["servers"]
                    if server["metadata"].get("trove_instance_id") == instance_id)

    def wait_backup(self, tenant, backup_id, states, timeout=BACKUP_TIMEOUT):
        """Return the view of a backup when it is in one of these states. Raises SetupError."""
        def ended():
            view = tenant.api.get(f"/backups/{backup_id}").json()["backup"]
            return view if view["status"] in states else None
        found = processes.wait(ended, timeout, 0.25)
        if found is None:
            raise SetupError(f"Backup {backup_id} is not {' or '.join(states)} after {timeout} s")
        return found

    # ------------------------------------------------------------------ acting

    def say_in_guest(self, tenant, command, stdin=""):
        """Return the output of a command inside a tenant's guest. Raises SetupError when it fails."""
        done = self.host.exec_guest(tenant.server, command, stdin=stdin, timeout=ASK_TIMEOUT)
        if done["rc"]:
            raise SetupError(f"{command[0]} in the guest of {tenant.name} failed: {done['stderr'][-500:]}")
        return done["stdout"]

    def _listens(self):
        return self.host.exec_guest(self.attacker.server, ["test", "-S", intruder.SOCKET])["rc"] == 0

    def moves(self, *moves):
        """Let the intruder carry out moves; return their results (see ``intruder``)."""
        output = self.say_in_guest(self.attacker, ["python3", "-I", PROGRAM, "ask"], json.dumps(moves))
        results = json.loads(output)
        for move, result in zip(moves, results, strict=True):
            if "error" in result:
                raise SetupError(f"The intruder's move {move['do']} is faulty: {result['error']}")
        return results

    def ask(self, move):
        """Return the value of one move that must succeed."""
        return self.ask_all(move)[0]

    def ask_all(self, *moves):
        """Return the values of moves that must all succeed."""
        results = self.moves(*moves)
        for move, result in zip(moves, results, strict=True):
            if "ok" not in result:
                raise SetupError(f"The intruder could not do {move['do']}: {result['refused']}")
        return [result["ok"] for result in results]

    def must_refuse(self, *moves, what="it was allowed"):
        """Carry out moves, each of which must be refused; return the first refusal."""
        results = self.moves(*moves)
        for move, result in zip(moves, results, strict=True):
            if "ok" in result:
                raise Broken(f"{what}: {_short(move)} -> {str(result['ok'])[:200]}")
        return results[0]["refused"]

    def capture(self, method, key=None, sent=None, context=None, **args):
        """Return a report as the guest's own code makes it, as a Message."""
        return Message(self.ask({"do": "report", "method": method, "args": args, "key": key, "sent": sent,
                                 "context": context}))

    def captures(self, method, *several):
        """Return reports as ``capture`` does, for as many dicts of arguments, in one go."""
        return [Message(raw) for raw in self.ask_all(*[
            {"do": "report", "method": method, "args": args} for args in several])]

    def send(self, *messages, times=1):
        """Publish messages; return "refused by the broker: ..." or "taken by the broker"."""
        results = self.moves(*[{"do": "send", **message.raw, "times": times} for message in messages])
        refused = [result["refused"] for result in results if "refused" in result]
        return f"refused by the broker: {refused[0]}" if refused else "taken by the broker"

    def take_commands(self, request, wanted, acknowledge):
        """Stop the attacker's agent, let ``request()`` make the control plane send a command, read it, go on.

        wanted: a text in the command; acknowledge: take it away, so that the agent never gets it. Returns the Message
        and what ``request`` returned.
        """
        with ThreadPoolExecutor(1) as pool:
            self.ask({"do": "agent", "action": "stop"})
            try:
                answer = pool.submit(request)
                found = self.ask({"do": "get", "seconds": 20, "acknowledge": acknowledge, "wanted": wanted})
            finally:
                self.ask({"do": "agent", "action": "start"})
            for raw in found:
                if wanted.encode() in base64.b64decode(raw["body"]):
                    return Message(raw), answer.result(90)
        raise SetupError(f"No command with {wanted} came to the attacker's guest")

    def call(self, method, path, body=None, tenant=None, headers=None, **options):
        """Send a request to trove-api as a member (the attacker by default); return the answer."""
        tenant = tenant or self.attacker
        return tenant.api.request(path, method, json=body, headers=headers or {}, raise_exc=False, **options)

    def must_not(self, method, path, body=None, allowed=(), **options):
        """Send a request of the attacker's that must be refused with 4xx or 501; return the code."""
        answer = self.call(method, path, body, **options)
        return judge(answer, f"{method} {path}", allowed)

    def http(self, method, url, headers=None, body=""):
        """Send a request of the intruder's; return the answer as a dict, or {"status": 0, "body": refusal}."""
        return self.http_all([{"method": method, "url": url, "headers": headers, "body": body}])[0]

    def http_all(self, requests):
        """Send several requests of the intruder's in one go, dicts of ``http``'s arguments; return their answers."""
        return [result.get("ok") or {"status": 0, "body": result["refused"], "headers": {}}
                for result in self.moves(*[{"do": "http", **request} for request in requests])]

    def endpoint(self, kind):
        """Return scheme, host and port of a service of the cloud, such as http://10.64.0.1:8770."""
        parts = urlsplit(self.admin.session.get_endpoint(service_type=kind, interface="public"))
        return f"{parts.scheme}://{parts.netloc}"

    def made_up(self):
        """Return an id that belongs to nothing."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    # ------------------------------------------------------------------ looking

    def swift(self, method, path="", **options):
        """Send a request below the account of the backups, as the cloud's administrator; return the answer."""
        return self.admin.session.request(f"{self.things['account']}{path}", method, raise_exc=False,
                                          authenticated=True, **options)

    def objects(self, backup_id=""):
        """Return {container/name: (bytes, hash)} of the objects in containers of backups whose names begin with
        ``backup_id``; archives of logs are left out, since guests fill them by the clock.
        """
        found = {}
        for container in self.swift("GET", f"?format=json&prefix={CONTAINER}").json():
            if container["name"].startswith(f"{CONTAINER}_archive_"):
                continue
            answer = self.swift("GET", f"/{quote(container['name'])}?format=json")
            for item in answer.json() if answer.status_code == 200 else ():
                if item["name"].startswith(backup_id):
                    found[f"{container['name']}/{item['name']}"] = (item["bytes"], item["hash"])
        return found

    def broker(self, path):
        """Return what the broker's management API has at a path, for the witness alone."""
        return broker.request(self.settings, "GET", f"/api/{path}", timeout=15)

    def mark(self):
        """Return where all logs end now: for ``events`` and ``lines``."""
        return {path: path.stat().st_size for path in self.settings.logs.glob("*.log")}

    def lines(self, mark):
        """Return the lines that the services logged since a mark."""
        found = []
        for path in self.settings.logs.glob("*.log"):
            with path.open("rb") as file:
                file.seek(mark.get(path, 0))
                found += file.read().decode(errors="replace").splitlines()
        return found

    def events(self, mark):
        """Return [(name, reason)] of the security events that the services logged since a mark."""
        return [found.groups() for found in map(EVENT.search, self.lines(mark)) if found]

    def guest_events(self, tenant):
        """Return [(name, reason)] of all security events in the log of a tenant's agent."""
        found = self.host.exec_guest(tenant.server, ["grep", "-h", "security event", GUEST_LOG])
        return [each.groups() for each in map(EVENT.search, found["stdout"].splitlines()) if each]

    def instance(self, tenant):
        """Return the view of a tenant's main instance."""
        return tenant.api.get(f"/instances/{tenant.instance}").json()["instance"]

    def await_beat(self, tenant, timeout=45):
        """Wait until the conductor records the next sign of life of a tenant's guest. Raises Broken."""
        before = self.instance(tenant)["service_status_updated"]
        begun = time.monotonic()
        if not processes.wait(lambda: self.instance(tenant)["service_status_updated"] != before, timeout, 0.5):
            raise Broken(f"no heartbeat of the {tenant.name}'s guest was recorded for {timeout} s")
        return f"the next heartbeat of the {tenant.name} was recorded after {time.monotonic() - begun:.1f} s"

    def witness(self):
        """Return what no attack may change: {what: value}."""
        begun = time.monotonic()
        with ThreadPoolExecutor(6) as pool:
            parts = [pool.submit(look) for look in (
                self._victims_instance, self._victims_server, self._victims_things, self._in_the_broker,
                lambda: {"victim's objects": self.objects(self.things["backup"])}, self._in_keystone)]
            found = {key: value for part in parts for key, value in part.result().items()}
        return {**found, "all of it answers in time": time.monotonic() - begun < SLOW}

    def _victims_instance(self):
        view = self.instance(self.victim)
        kept = ("status", "operating_status", "name", "flavor", "datastore", "volume", "configuration", "fault")
        return {**{f"victim's {key}": _without(view.get(key), "links", "used") for key in kept},
                "victim's root": self.victim.api.get(f"/instances/{self.victim.instance}/root").json()}

    def _victims_server(self):
        path = f"/instances/{self.victim.instance}"
        return {f"victim's {kind}": sorted(each["name"] for each in self.victim.api.get(f"{path}/{kind}").json()[kind])
                for kind in ("databases", "users")}

    def _victims_things(self):
        listed = {kind: self.victim.api.get(f"/{kind}").json()[kind]
                  for kind in ("instances", "backups", "configurations", "modules")}
        listed["instances"] = [each["name"] for each in listed["instances"] if each["name"] == "victim-1"]
        values = self.victim.api.get(f"/configurations/{self.things['configuration']}").json()["configuration"]
        return {**{f"victim's {kind}": [_without(each, "links", "updated") for each in each_list]
                   for kind, each_list in listed.items()}, "victim's values": values["values"]}

    def _in_the_broker(self):
        queues = {queue["name"]: queue for queue in self.broker("queues")}
        found = {f"queue {name} is read": name in queues and queues[name].get("consumers", 0) > 0
                 for name in (f"guestagent.{self.victim.instance}", "taskmanager")}
        found["bindings of the victim"] = sorted(
            (each["source"], each["destination"], each["routing_key"]) for each in self.broker("bindings")
            if self.victim.instance in each["routing_key"] and each["source"] != ""
            and not each["destination"].startswith("reply_"))  # bound while the API asks it
        found["exchanges"] = sorted(each["name"] for each in self.broker("exchanges")
                                    if each["name"].startswith("trove"))
        for kind in ("permissions", "topic-permissions"):
            found[f"broker's {kind}"] = sorted(json.dumps(each, sort_keys=True) for each in self.broker(kind)
                                               if self.second not in each["user"])
        return found

    def _in_keystone(self):
        return {"roles": sorted(json.dumps(each.to_dict(), sort_keys=True)
                                for each in self.keystone.role_assignments.list()),
                "projects": sorted(each.id for each in self.keystone.projects.list())}


class Message:
    """A message that the intruder holds: raw has body (base64), exchange, key and properties."""

    def __init__(self, raw):
        self.raw = raw

    @property
    def body(self):
        """Return the text of the body."""
        return base64.b64decode(self.raw["body"]).decode()

    @property
    def content(self):
        """Return the inner message of oslo.messaging as a dict: method, args, _context_*, ..."""
        return json.loads(json.loads(self.body)["oslo.message"])

    def altered(self, body=None, content=None, key=None, exchange=None, **properties):
        """Return a copy with another body (text or bytes), with keys of the inner message set, or properties replaced.

        With ``content``, an empty dict too, it gets another _unique_id, by which the library knows repetitions.
        """
        raw = copy.deepcopy(self.raw)
        if content is not None:
            outer = json.loads(self.body)
            outer["oslo.message"] = json.dumps({**self.content, "_unique_id": uuid.uuid4().hex, **content})
            body = json.dumps(outer)
        if body is not None:
            raw["body"] = base64.b64encode(body if isinstance(body, bytes) else body.encode()).decode()
        raw["key"] = raw["key"] if key is None else key
        raw["exchange"] = raw["exchange"] if exchange is None else exchange
        raw["properties"].update(properties)
        return Message(raw)

    def find(self, wanted):
        """Return the first dict anywhere in the message for which ``wanted(dict)`` is true, or None."""
        return _find(self.content, wanted)


def judge(answer, what, allowed=()):
    """Return the code of a refusal. Raises Broken for a success, Weak for a fault of the server."""
    code = answer.status_code
    text = f"{what} -> {code} {answer.text[:160]}"
    if code < 400 and code not in allowed:
        raise Broken(text)
    if code >= 500 and code != 501:
        raise Weak(text)
    return f"{code}"


def difference(before, after):
    """Return what of the witness changed, in words; None when nothing did.

    A queue that has its reader back is no damage: an agent connects anew now and then.
    """
    changed = [f"{key}: {str(before.get(key))[:150]} -> {str(after.get(key))[:150]}"
               for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)
               and not (key.endswith(" is read") and after.get(key))]
    return "; ".join(changed) or None


def _clear(tenant):
    """Delete everything that a tenant has at trove-api."""
    api = tenant.api
    listed = api.get("/instances?limit=100").json()["instances"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: instance.delete(api, each["id"]), listed))
    for kind in ("backups", "modules", "configurations"):
        for each in api.get(f"/{kind}").json()[kind]:
            with contextlib.suppress(exceptions.NotFound):
                api.delete(f"/{kind}/{each['id']}")
    processes.wait(lambda: not api.get("/backups").json()["backups"], 60, 0.25)


def _without(value, *names):
    return {key: item for key, item in value.items() if key not in names} if isinstance(value, dict) else value


def _find(value, wanted):
    if isinstance(value, dict):
        if wanted(value):
            return value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            found = _find(item, wanted)
            if found is not None:
                return found
    return None


def _short(move):
    return {key: value if len(str(value)) < 100 else "..." for key, value in move.items()}
