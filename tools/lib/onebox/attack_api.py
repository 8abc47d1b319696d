"""Attacks on trove-api with the token of an ordinary member of another project."""
import re
import socket
import time

import pymysql
from keystoneauth1 import exceptions

from onebox import instance, processes
from onebox.attack_bus import LINE, databases, no_line, server_has
from onebox.attack_list import register
from onebox.attack_stage import SLOW, Broken, Weak, judge
from onebox.attack_store import smallest
from onebox.settings import secret
from trove.common import api as routes
from trove.common import policy

ATTACKS = []
attack = register(ATTACKS)
# What each writing route needs to get past the check of its body.
BODIES = {
    ("PUT", "/instances/{instance_id}"): {"instance": {"name": "mine"}},
    ("PATCH", "/instances/{instance_id}"): {"instance": {"name": "mine"}},
    ("POST", "/instances/{instance_id}/action"): {"restart": {}},
    ("POST", "/instances/{instance_id}/log"): {"name": "general", "enable": 1},
    ("POST", "/instances/{instance_id}/databases"): {"databases": [{"name": "mine"}]},
    ("POST", "/instances/{instance_id}/users"): {"users": [{"name": "mine", "password": "p1"}]},
    ("PUT", "/instances/{instance_id}/users"): {"users": [{"name": "alice", "password": "p1"}]},
    ("POST", "/instances/{instance_id}/users/{name}"): {"users": {"name": "alice", "password": "p1"}},
    ("PUT", "/instances/{instance_id}/users/{name}"): {"user": {"password": "p1"}},
    ("PUT", "/instances/{instance_id}/users/{user}/databases"): {"databases": [{"name": "app"}]},
    ("POST", "/clusters/{cluster_id}"): {"grow": [{"flavorRef": "1"}]},
    ("PUT", "/modules/{module_id}"): {"module": {"name": "mine"}},
    ("PUT", "/configurations/{configuration_id}"): {"configuration": {"name": "mine"}},
    ("PATCH", "/configurations/{configuration_id}"): {"configuration": {"values": {}}},
}
# What of the victim's may stand in no answer.
BELONGINGS = ("instance", "backup", "configuration", "module", "group", "rule", "network", "port")
VARIABLE = re.compile(r"{(\w+)}")


def victims_path(stage, path):
    """Return a path of the table with the victim's ids in it."""
    ids = {"instance_id": stage.victim.instance, "backup_id": stage.things["backup"], "name": "alice", "user": "alice",
           "configuration_id": stage.things["configuration"], "module_id": stage.things["module"],
           "group_id": stage.things["group"], "rule_id": stage.things["rule"], "database": "app",
           "tenant": stage.victim.project, "cluster_id": stage.victim.instance}
    return VARIABLE.sub(lambda found: ids.get(found[1]) or stage.made_up(), path)


def route_attack(name, rows, expected, cause, tries):
    """Register an attack that asks each of these rows of the route table with the victim's ids."""
    def run(stage):
        codes = set()
        for row in rows:
            path = row.path.removeprefix("/{tenant_id}")
            body = BODIES.get((row.method, path), {} if row.method in ("POST", "PUT", "PATCH") else None)
            codes.add(stage.must_not(row.method, victims_path(stage, path), body))
        return f"{len(rows)} routes answer {sorted(codes)}"
    run.__doc__ = tries
    attack(name, cause, expected)(run)


def _group(path):
    words = [word for word in path.removeprefix("/{tenant_id}").split("/") if word and not word.startswith("{")]
    return words[1] if words[0] in ("instances", "mgmt") and len(words) > 1 else words[0]


def _register_routes():
    """Register one attack for each noun of the route table, so that a new route is tried as well."""
    owned, managed = {}, {}
    for row in routes.ROUTES:
        named = set(VARIABLE.findall(row.path)) & {
            "instance_id", "backup_id", "configuration_id", "module_id", "group_id", "rule_id", "cluster_id", "tenant"}
        if row.role == policy.ADMIN:
            managed.setdefault(_group(row.path), []).append(row)
        elif named:
            owned.setdefault(_group(row.path), []).append(row)
    for noun, rows in owned.items():
        route_attack(f"api.victims-{noun}", rows, "404", "ids", f"Ask every route of {noun} with the victim's ids.")
    for noun, rows in managed.items():
        route_attack(f"api.management-of-{noun}", rows, "403", "token",
                     f"Ask every route of the administrator's {noun} as a member, with the victim's ids.")


_register_routes()


def creation(stage, **more):
    """Return a request for an instance with something in it that is not the attacker's."""
    return {"instance": {"name": "attackers", "flavorRef": smallest(stage), "volume": {"size": 1}, **more}}


def refused_creations(stage, *several):
    """Ask for creations, none of which may be accepted; return the codes."""
    codes = []
    for more in several:
        answer = stage.call("POST", "/instances", creation(stage, **more))
        if answer.status_code < 400:
            made = answer.json()["instance"]["id"]
            ended = processes.wait(lambda made=made: stage.call(
                "GET", f"/instances/{made}").json()["instance"]["status"] in ("ACTIVE", "ERROR", "FAILED"), 60, 0.5)
            status = stage.call("GET", f"/instances/{made}").json()["instance"]["status"] if ended else "unknown"
            instance.delete(stage.attacker.api, made)
            kind = Broken if status == "ACTIVE" else Weak
            raise kind(f"an instance with {str(more)[:150]} was accepted and became {status}")
        codes.append(judge(answer, f"POST /instances with {str(more)[:100]}"))
    return f"answers {codes}"


@attack("api.create-on-the-victims-network", "ids", "404 or 400")
def create_on_the_victims_network(stage):
    """Create an instance on the victim's private network, by both families of names."""
    network = stage.things["network"]
    return refused_creations(stage, {"nics": [{"net-id": network}]}, {"nics": [{"network_id": network}]},
                             {"nics": [{"net-id": network, "v4-fixed-ip": "10.0.0.9"}]},
                             {"nics": [{"net-id": network.upper()}]})


@attack("api.create-on-the-victims-port", "ids", "404 or 400")
def create_on_the_victims_port(stage):
    """Create an instance on the port of the victim's server, in the service's project."""
    port = stage.things["port"]
    return refused_creations(stage, {"nics": [{"port-id": port}]}, {"nics": [{"port_id": port}]})


@attack("api.create-with-odd-nics", "ids", "400", long=True)
def create_with_odd_nics(stage):
    """Create instances on networks whose ids are paths, query strings or SQL."""
    return refused_creations(stage, *[{"nics": [{"net-id": text}]} for text in (
        f"../ports/{stage.things['port']}", "x?all_tenants=1", "' OR '1'='1", "%2e%2e", stage.made_up())])


@attack("api.create-of-what-is-the-victims", "ids", "404")
def create_of_what_is_the_victims(stage):
    """Create instances from the victim's backup, as a replica of its instance, with its group and its module."""
    return refused_creations(
        stage, {"restorePoint": {"backupRef": stage.things["backup"]}}, {"replica_of": stage.victim.instance},
        {"slave_of": stage.victim.instance}, {"configuration": stage.things["configuration"]},
        {"modules": [{"id": stage.things["module"]}]},
        {"restorePoint": {"backupRef": f"http://x/v1.0/{stage.victim.project}/backups/{stage.things['backup']}"}})


@attack("api.create-of-odd-flavors", "ids", "400 or 404", long=True)
def create_of_odd_flavors(stage):
    """Create instances of flavors and volume types that are paths, not there, or of the wrong type."""
    return refused_creations(
        stage, *[{"flavorRef": each} for each in ("../servers", "%2e%2e%2fservers", "0", "999999", "x?is_public=None")],
        *[{"volume": {"size": 1, "type": each}} for each in ("no such type", "../volumes", stage.made_up())])


@attack("api.attach-what-is-the-victims", "ids", "404")
def attach_what_is_the_victims(stage):
    """Give the attacker's instance the victim's configuration group, module and source; back up the victim's."""
    own, things = f"/instances/{stage.attacker.instance}", stage.things
    return ", ".join((
        stage.must_not("PUT", own, {"instance": {"configuration": things["configuration"]}}),
        stage.must_not("PATCH", own, {"instance": {"configuration": things["configuration"]}}),
        stage.must_not("PUT", own, {"instance": {"replica_of": stage.victim.instance}}),
        stage.must_not("POST", f"{own}/modules", {"modules": [{"id": things["module"]}]}),
        stage.must_not("POST", "/backups", {"backup": {"instance": stage.victim.instance, "name": "mine"}}),
        stage.must_not("POST", "/backups", {"backup": {"instance": stage.attacker.instance, "name": "mine",
                                                       "parent_id": things["backup"]}}),
        stage.must_not("POST", "/security-group-rules", {"security_group_rule": {
            "group_id": things["group"], "cidr": "0.0.0.0/0"}})))


@attack("api.lists", "ids", "only the attacker's own")
def lists(stage):
    """List everything with the victim's ids as markers and filters, and with parameters for all tenants."""
    queries = ("", f"?marker={stage.victim.instance}", f"?instance_id={stage.victim.instance}", "?all_tenants=1",
               f"?tenant_id={stage.victim.project}", f"?project_id={stage.victim.project}", "?deleted=true",
               "?limit=-1", "?include_clustered=true", f"?datastore={stage.victim.instance}", "?is_admin=1")
    for path in ("/instances", "/instances/detail", "/backups", "/configurations", "/modules", "/clusters",
                 "/security-groups", "/backup_strategies"):
        for query in queries:
            answer = stage.call("GET", path + query)
            if answer.status_code >= 500 and answer.status_code != 501:
                raise Weak(f"GET {path}{query} -> {answer.status_code}")
            body = answer.text.replace(query, "")
            for name, value in (("instance", stage.victim.instance), *stage.things.items()):
                if name in BELONGINGS and answer.status_code < 400 and value in body:
                    raise Broken(f"GET {path}{query} shows the victim's {name}")
    return "nothing of the victim's is listed"


# ---------------------------------------------------------------------- tokens

def raw(stage, method, path, headers):
    """Send a request with these headers alone; return the answer."""
    return stage.attacker.api.session.request(f"{stage.settings.api_url}{path}", method, headers=headers,
                                              authenticated=False, raise_exc=False)


@attack("token.victims-project-in-the-path", "token", "403, 401 or 404", ("tenant.refused",))
def victims_project_in_the_path(stage):
    """Ask for the victim's project with the attacker's token, plainly and by dot segments."""
    attacker, victim, codes = stage.attacker.project, stage.victim.project, []
    for path in (f"/v1.0/{victim}/instances", f"/v1.0/{victim}/instances/{stage.victim.instance}",
                 f"/v1.0/{attacker}/../{victim}/instances", f"/v1.0/{attacker}/%2e%2e/{victim}/instances",
                 f"/v1.0//{victim}/instances", f"/v1.0/{victim};{attacker}/instances",
                 f"/v1.0/{victim.upper()}/instances"):
        answer = raw(stage, "GET", path, {"X-Auth-Token": stage.attacker.token})
        if answer.status_code < 400 and stage.victim.instance in answer.text:
            raise Broken(f"GET {path} -> {answer.status_code}: the victim's instances")
        codes.append(answer.status_code)
    return f"answers {codes}"


@attack("token.none-or-made-up", "token", "401")
def none_or_made_up(stage):
    """Ask without a token, with made-up ones, with an id and with odd characters as one."""
    codes = set()
    for token in (None, "", "admin", stage.victim.project, "gAAAAA" + "A" * 180, "x" * 4000, "a b", "'; --"):
        answer = raw(stage, "GET", f"/v1.0/{stage.victim.project}/instances",
                     {} if token is None else {"X-Auth-Token": token})
        codes.add(answer.status_code)
        if answer.status_code < 400:
            raise Broken(f"the token {token!r} was accepted")
    if max(codes) >= 500:
        raise Weak(f"answers {sorted(codes)}")
    return f"answers {sorted(codes)}"


@attack("token.headers-of-the-middleware", "token", "401 or 403: they are removed")
def headers_of_the_middleware(stage):
    """Send the headers in which the token's owner is handed on inside the service, with and without a token."""
    headers = {"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X-User-Id": "a", "X-Project-Id":
               stage.victim.project, "X-Tenant-Id": stage.victim.project, "X-Tenant": stage.victim.project,
               "X-Role": "admin", "X-Service-Roles": "admin", "X-Is-Admin-Project": "True"}
    codes = []
    for more in ({}, {"X-Auth-Token": stage.attacker.token}):
        for path in (f"/v1.0/{stage.victim.project}/instances", f"/v1.0/{stage.victim.project}/mgmt/instances"):
            answer = raw(stage, "GET", path, {**headers, **more})
            codes.append(answer.status_code)
            if answer.status_code < 400:
                raise Broken(f"GET {path} with headers of the middleware -> {answer.status_code}")
    return f"answers {codes}"


@attack("token.unscoped-and-of-another-project", "token", "401 or 403")
def unscoped(stage):
    """Use a token without a project, and one of another project with a role there."""
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": {
        "name": "attacker", "domain": {"id": "default"}, "password": secret(stage.settings, "attacker")}}},
        "scope": "unscoped"}}
    url = f"{stage.auth_url}/auth/tokens"
    token = stage.attacker.api.session.post(url, json=body, authenticated=False).headers["X-Subject-Token"]
    codes = []
    for project in (stage.attacker.project, stage.victim.project):
        answer = raw(stage, "GET", f"/v1.0/{project}/instances", {"X-Auth-Token": token})
        codes.append(answer.status_code)
        if answer.status_code < 400:
            raise Broken(f"a token without a project lists the instances of {project}")
    return f"answers {codes}"


@attack("token.revoked", "token", "401 within 75 s", long=True)
def revoked(stage):
    """Go on with a token after it was revoked."""
    url = f"{stage.auth_url}/auth/tokens"
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": {
        "name": "attacker", "domain": {"id": "default"}, "password": secret(stage.settings, "attacker")}}},
        "scope": {"project": {"id": stage.attacker.project}}}}
    token = stage.attacker.api.session.post(url, json=body, authenticated=False).headers["X-Subject-Token"]
    path = f"/v1.0/{stage.attacker.project}/instances"
    if raw(stage, "GET", path, {"X-Auth-Token": token}).status_code != 200:
        raise Weak("the token was not accepted before it was revoked")
    # A member may end its own tokens only, each with itself.
    own = {"X-Subject-Token": token, "X-Auth-Token": token}
    stage.attacker.api.session.delete(url, headers=own, authenticated=False)
    begun = time.monotonic()
    if not processes.wait(lambda: raw(stage, "GET", path, {"X-Auth-Token": token}).status_code == 401, 75, 0.5):
        raise Broken("a revoked token is accepted for more than 75 s")
    return f"401 after {time.monotonic() - begun:.1f} s"


# ---------------------------------------------------------------------- odd, large and slow requests

@attack("api.paths", "edge", "404 or 400")
def paths(stage):
    """Ask for paths with dot segments, encoded slashes, NUL characters, and suffixes behind the victim's ids."""
    base, victim = f"/v1.0/{stage.attacker.project}", stage.victim.instance
    own, codes = stage.attacker.instance, set()
    for path in (f"{base}/instances/{victim}.json", f"{base}/instances/{own}/../{victim}",
                 f"{base}/instances/{victim}%00", f"{base}/instances/{own}%2F..%2F{victim}",
                 f"{base}/instances//{victim}", f"{base}/instances/%2e%2e",
                 f"{base}/instances/{own}/databases/..%2F..%2F..%2F{victim}",
                 f"{base}/instances/{victim}%0d%0aX-A:%20b",
                 f"{base}/../../etc/passwd", f"{base}/instances/{victim}?format=json#x"):
        answer = raw(stage, "GET", path, {"X-Auth-Token": stage.attacker.token})
        codes.add(answer.status_code)
        if answer.status_code < 400 and '"name": "victim' in answer.text:
            raise Broken(f"GET {path} shows the victim's instance")
        if answer.status_code >= 500 and answer.status_code != 501:
            raise Weak(f"GET {path} -> {answer.status_code}")
    return f"answers {sorted(codes)}"


@attack("api.log-lines", "log", "400, or escaped in the log")
def log_lines(stage):
    """Put a line end and a made-up log line into names, paths, headers and errors."""
    mark, text, own = stage.mark(), f"x\n{LINE}", f"/instances/{stage.attacker.instance}"
    encoded = "x%0A" + LINE.replace(" ", "%20")
    codes = [stage.call(method, path, body, headers=headers).status_code for method, path, body, headers in (
        ("PUT", own, {"instance": {"name": text}}, None),
        ("POST", f"{own}/databases", {"databases": [{"name": text}]}, None),
        ("POST", f"{own}/users", {"users": [{"name": text, "password": "p1"}]}, None),
        ("POST", "/configurations", {"configuration": {"name": text, "values": {text: text}}}, None),
        ("POST", "/backups", {"backup": {"instance": text, "name": text}}, None),
        ("POST", f"{own}/action", {text: {}}, None), ("GET", f"/instances/{encoded}", None, None),
        ("GET", f"{own}?{encoded}={encoded}", None, None), ("DELETE", f"{own}/users/{encoded}", None, None),
        ("GET", own, None, {"X-Openstack-Request-Id": "req-" + "a" * 300, "User-Agent": "a\x1b[2Jb"}),
        ("POST", f"{own}/log", {"name": text, "enable": 1}, None))]
    stage.call("PUT", own, {"instance": {"name": "attacker-1"}})
    time.sleep(1)
    no_line(stage, mark)
    if any(code >= 500 and code != 501 for code in codes):
        raise Weak(f"answers {codes}")
    return f"answers {codes}"


@attack("api.names-and-sql", "edge", "400, or taken literally")
def names_and_sql(stage):
    """Name databases, users, hosts and grants so that careless SQL would do more than it should."""
    own, codes = f"/instances/{stage.attacker.instance}", []
    tricks = ("x`; CREATE DATABASE owned; -- ", "x'; CREATE DATABASE owned; -- ", 'x"; CREATE DATABASE owned; -- ',
              "x\\", "../mysql", "mysql", "information_schema", "os_admin", "root", "%", "x'@'%", "` or 1=1", "\\'")
    for text in tricks:
        for path, body in ((f"{own}/databases", {"databases": [{"name": text}]}),
                           (f"{own}/users", {"users": [{"name": text, "password": "a'b\"c\\", "databases": []}]}),
                           (f"{own}/users", {"users": [{"name": "u1", "password": "p1", "host": text}]}),
                           (f"{own}/users/alice/databases", {"databases": [{"name": text}]})):
            answer = stage.call("PUT" if path.endswith("alice/databases") else "POST", path, body)
            codes.append(answer.status_code)
            if answer.status_code >= 500 and answer.status_code != 501:
                raise Weak(f"{path} with {text!r} -> {answer.status_code} {answer.text[:100]}")
    time.sleep(1)
    if server_has(stage, stage.attacker, "owned") or "owned" in databases(stage, stage.attacker):
        raise Broken("a name was executed as SQL")
    accounts = stage.say_in_guest(stage.attacker, ["mariadb", "-N", "-e", (
        "SELECT CONCAT(user, '@', host) FROM mysql.user WHERE Super_priv = 'Y'")]).split()
    if any(name.startswith(("u1@", "alice@", "x", "%@")) for name in accounts):
        raise Broken(f"a user became an administrator: {accounts}")
    return f"answers {sorted(set(codes))}"


@attack("api.configuration-values", "edge", "422 or 400")
def configuration_values(stage):
    """Give configuration values that would begin a new line or section of the server's file, or load code."""
    codes = []
    for values in ({"character_set_server": "utf8\n[mysqld]\ninit_file=/x"}, {"plugin_load": "x.so"},
                   {"init_connect": "x\r\nskip-grant-tables"}, {"max_connections": "10\nskip_networking"},
                   {"init_file": "/etc/passwd"}, {"secure_file_priv": ""}, {"datadir": "/"},
                   {"skip_grant_tables": True},
                   {"max_connections\nskip_grant_tables": 5}, {"[mysqld]\nuser": "root"}, {"user": "root"}):
        answer = stage.call("POST", "/configurations", {"configuration": {"name": "attackers", "values": values}})
        if answer.status_code < 400:
            stage.call("DELETE", f"/configurations/{answer.json()['configuration']['id']}")
            raise Broken(f"the values {values} were accepted")
        codes.append(judge(answer, f"POST /configurations {values}"))
    return f"answers {sorted(set(codes))}"


@attack("api.sizes-and-quotas", "edge", "400, 413 or 403", long=True)
def sizes_and_quotas(stage):
    """Ask for volumes and numbers of replicas that are negative, huge, or no numbers, and for more than the quota."""
    return refused_creations(stage, *[{"volume": {"size": size}} for size in (-1, 0, 10**9, "1e3", 1.5, [1], 10**30)],
                             {"replica_count": 1000, "replica_of": stage.attacker.instance})


@attack("api.odd-bodies", "edge", "400, 413 or 415")
def odd_bodies(stage):
    """Send bodies that are deep, of wrong types, not UTF-8, not JSON, or of another media type."""
    path = f"{stage.settings.api_url}/v1.0/{stage.attacker.project}/instances"
    deep = b'{"instance": ' + b"[" * 500 + b"]" * 500 + b"}"
    codes = set()
    for body, kind in ((deep, "application/json"), (b"[]", "application/json"), (b"\xff\xfe", "application/json"),
                       (b"junk", "application/json"), (b"", "application/json"),
                       (b'{"instance": NaN}', "application/json"),
                       (b"<a/>", "application/xml"), (b"a: b", "application/x-yaml"), (b"x", "multipart/form-data"),
                       (b'{"instance": {"name": "\\ud800"}}', "application/json"),
                       (b'{"instance": {"name": "a\\u0000b"}}', "application/json")):
        answer = stage.attacker.api.session.request(
            path, "POST", data=body, headers={"Content-Type": kind, "X-Auth-Token": stage.attacker.token},
            authenticated=False, raise_exc=False)
        codes.add(judge(answer, f"POST /instances {body[:30]!r}"))
    return f"answers {sorted(codes)}"


@attack("api.large-body", "edge", "413 or 400")
def large_body(stage):
    """Send a body of 25 megabytes."""
    url = f"{stage.settings.api_url}/v1.0/{stage.attacker.project}/modules"
    body = b'{"module": {"name": "x", "module_type": "ping", "contents": "' + b"A" * (25 * 2**20) + b'"}}'
    try:
        answer = stage.attacker.api.session.request(
            url, "POST", data=body, raise_exc=False, authenticated=False, connect_retries=0,
            headers={"Content-Type": "application/json", "X-Auth-Token": stage.attacker.token})
    except Exception as error:  # noqa: BLE001 - the service may close the connection while the body is sent
        return f"the connection was closed: {type(error).__name__}"
    return judge(answer, "POST /modules with 25 MB")


def crowd(stage, count, first, more, seconds):
    """Hold connections that send ``first`` and then ``more`` every half second; the victim is served meanwhile."""
    held, slowest, end = [], 0, time.monotonic() + seconds
    try:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", stage.settings.api_port), 5)
            connection.sendall(first)
            held.append(connection)
        while time.monotonic() < end:
            begun = time.monotonic()
            try:
                code = stage.call("GET", f"/instances/{stage.victim.instance}", tenant=stage.victim, timeout=SLOW
                                  ).status_code
            except exceptions.ConnectFailure as error:
                code = f"no answer ({type(error).__name__})"
            slowest = max(slowest, time.monotonic() - begun)
            if code != 200:
                raise Broken(f"the victim got {code} while {count} connections were held")
            for connection in held:
                try:
                    connection.sendall(more)
                except OSError:  # the service closed it, which is its right
                    continue
            time.sleep(0.5)
    finally:
        for connection in held:
            connection.close()
    if slowest > SLOW / 3:
        raise Broken(f"the victim waited {slowest:.1f} s while {count} connections were held")
    return f"{count} connections were held; the victim waited at most {slowest:.2f} s"


@attack("api.slow-headers", "edge", "the victim is served", long=True)
def slow_headers(stage):
    """Hold eighty connections that send one byte of a header now and then."""
    return crowd(stage, 80, b"GET /v1.0/x/instances HTTP/1.1\r\nHost: x\r\nX-A: ", b"a", 3 if stage.short else 15)


@attack("api.slow-bodies", "edge", "the victim is served")
def slow_bodies(stage):
    """Hold eighty connections that send one byte of a body now and then, with a valid token."""
    head = (f"POST /v1.0/{stage.attacker.project}/instances HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"X-Auth-Token: {stage.attacker.token}\r\nContent-Length: 100000\r\n\r\n")
    return crowd(stage, 80, head.encode() + b"{", b" ", 3 if stage.short else 15)


@attack("api.idle-connections", "edge", "the victim is served", long=True)
def idle_connections(stage):
    """Hold three hundred connections that send nothing at all."""
    return crowd(stage, 300, b"", b"", 10)


@attack("api.many-calls-to-a-dead-guest", "edge", "the victim is served", long=True)
def many_calls_to_a_dead_guest(stage):
    """Stop the own agent and ask for its databases forty times at once; the victim is served meanwhile."""
    from concurrent.futures import ThreadPoolExecutor
    stage.ask({"do": "agent", "action": "stop"})
    try:
        with ThreadPoolExecutor(40) as pool:
            waiting = [pool.submit(stage.call, "GET", f"/instances/{stage.attacker.instance}/databases")
                       for _ in range(40)]
            time.sleep(1)
            begun = time.monotonic()
            answer = stage.call("GET", f"/instances/{stage.victim.instance}/databases", tenant=stage.victim)
            seconds = time.monotonic() - begun
            codes = sorted({each.result().status_code for each in waiting})
    finally:
        stage.ask({"do": "agent", "action": "start"})
    if answer.status_code != 200 or seconds > SLOW / 3:
        raise Broken(f"the victim got {answer.status_code} after {seconds:.1f} s")
    return f"the victim was served in {seconds:.2f} s; the attacker got {codes}"


@attack("api.engine-connections", "edge", "the agent still works", long=True)
def engine_connections(stage):
    """Use up all connections of the own database as its user; the control plane still reaches it, and the victim."""
    held, host = [], stage.attacker.host
    password = secret(stage.settings, "attacker")
    try:
        for _ in range(400):
            held.append(pymysql.connect(host=host, user=instance.USER, password=password.encode(), connect_timeout=5))
        refusal = "none"
    except pymysql.err.MySQLError as error:
        refusal = str(error)[:80]
    try:
        answer = stage.call("GET", f"/instances/{stage.attacker.instance}/databases")
    finally:
        for connection in held:
            connection.close()
    if answer.status_code != 200:
        raise Weak(f"with {len(held)} connections ({refusal}) the agent answers {answer.status_code} "
                   f"{answer.text[:120]}")
    return f"{len(held)} connections, then {refusal}; the agent still listed the databases"


@attack("api.logs", "ids", "404 or 400")
def logs(stage):
    """Name logs by paths and by what is not exposed, and discard with a name that would reach other objects."""
    own, codes = f"/instances/{stage.attacker.instance}/log", set()
    for name in ("../../etc/shadow", "/etc/shadow", "guest/../../x", "error", "", "guest\0", "guest_metafile", "*"):
        for action in ("publish", "discard", "enable"):
            codes.add(stage.must_not("POST", own, {"name": name, action: 1}))
    return f"answers {sorted(codes)}"


@attack("api.password-of-the-service", "edge", "400 or 404: those users are hidden")
def password_of_the_service(stage):
    """Change, delete and read the agent's own and root's users in the attacker's database."""
    own, codes = f"/instances/{stage.attacker.instance}/users", set()
    for name in ("os_admin", "root", "mariadb.sys"):  # others are the tenant's to make
        codes.add(stage.must_not("PUT", own, {"users": [{"name": name, "password": "mine"}]}))
        codes.add(stage.must_not("DELETE", f"{own}/{name}"))
        codes.add(stage.must_not("GET", f"{own}/{name}"))
        codes.add(stage.must_not("PUT", f"{own}/{name}", {"user": {"password": "mine"}}))
    stage.await_beat(stage.attacker)
    return f"answers {sorted(codes)}; the agent is heard"
