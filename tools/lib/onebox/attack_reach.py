"""Attacks by root in a guest on what else is near: ports, files, the cloud's services, other guests."""
import json

from onebox import broker
from onebox.attack_list import register
from onebox.attack_stage import Broken

ATTACKS = []
attack = register(ATTACKS)


def refused_http(stage, requests):
    """Send requests ({"method", "url", ...}), none of which may succeed; return the codes."""
    answers = stage.http_all(requests)
    for request, answer in zip(requests, answers, strict=True):
        if 200 <= answer["status"] < 300:
            raise Broken(f"{request['method']} {request['url']} -> {answer['status']} {answer['body'][:150]}")
    return f"answers {sorted({answer['status'] for answer in answers})}"


@attack("reach.ports-of-the-host", "reach", "no connection")
def ports_of_the_host(stage):
    """Connect to the broker's management API and its cluster ports, to trove-api, SSH and a database on the host."""
    ports = (broker.MANAGEMENT_PORT, stage.settings.api_port, 22, 25672, 4369, 15671, 3306, 5432, 2375)
    return stage.must_refuse(*[{"do": "tcp", "host": stage.settings.gateway, "port": port} for port in ports])


@attack("reach.hosts-other-addresses", "reach", "no connection")
def hosts_other_addresses(stage):
    """Connect to trove-api by the host's other address in the guests' network, and by the guest's own loopback."""
    host = stage.settings.gateway.rpartition(".")[0] + ".2"
    return stage.must_refuse(*[{"do": "tcp", "host": each, "port": port} for each in (host, "127.0.0.1")
                               for port in (stage.settings.api_port, broker.MANAGEMENT_PORT)])


@attack("reach.neighbours-ports", "reach", "no connection")
def neighbours_ports(stage):
    """Connect to ports of the neighbour's guest that are not its database's."""
    return stage.must_refuse(*[{"do": "tcp", "host": stage.victim.host, "port": port}
                               for port in (22, 4567, 5671, 33060)])


@attack("reach.neighbours-database", "reach", "access denied")
def neighbours_database(stage):
    """Log in to the neighbour's database with the attacker's names and passwords, and without any."""
    for user, password in (("root", ""), ("alice", ""), ("os_admin", stage.facts["guest_key"]),
                           ("root", stage.facts["password"]), ("alice", "alice")):
        done = stage.ask({"do": "run", "argv": ["mariadb", "--connect-timeout=5", f"--host={stage.victim.host}",
                                                f"--user={user}", f"--password={password}", "-e", "SELECT 1"]})
        if done["status"] == 0:
            raise Broken(f"the neighbour's database let {user} in")
    return done["output"].strip()[:200]


@attack("reach.metadata-service", "reach", "no answer")
def metadata_service(stage):
    """Ask the usual metadata service for the neighbour's data, with its id in a header."""
    headers = {"X-Instance-ID": stage.victim.server, "X-Tenant-ID": stage.victim.project,
               "X-Forwarded-For": stage.victim.host}
    return refused_http(stage, [{"method": "GET", "url": url, "headers": headers} for url in (
        "http://169.254.169.254/openstack/latest/meta_data.json", f"{stage.endpoint('compute')}/latest/meta-data",
        f"{stage.endpoint('object-store')}/openstack/latest/user_data")])


@attack("reach.files-of-the-guest", "reach", "none of it is there")
def files_of_the_guest(stage):
    """Look in the guest's configuration, config drive and state for secrets of control plane, cloud and neighbour."""
    found = stage.ask({"do": "files", "paths": ["/etc/trove", "/mnt/config", "/var/lib/trove", "/var/log/trove",
                                                "/root", "/etc/environment"]})
    own = {stage.facts["password"], stage.facts["guest_key"]}
    secrets = set(json.loads((stage.settings.state / "secrets.json").read_text()).values()) - own
    secrets |= {stage.victim.instance, stage.victim.project}
    for path, text in found.items():
        for secret in secrets:
            if secret in text and not path.startswith("/root"):
                raise Broken(f"{path} holds what belongs to the control plane or the neighbour")
    return f"{len(found)} files hold none of it"


@attack("reach.keystone-with-the-guests-credentials", "reach", "401")
def keystone_with_the_guests_credentials(stage):
    """Log in to Keystone with the guest's broker account, its id and its key."""
    facts, requests = stage.facts, []
    for name in (facts["account"], facts["guest_id"], "trove", "admin", "attacker"):
        for password in (facts["password"], facts["guest_key"]):
            body = {"auth": {"identity": {"methods": ["password"], "password": {"user": {
                "name": name, "domain": {"id": "default"}, "password": password}}}}}
            requests.append({"method": "POST", "url": f"{stage.auth_url}/auth/tokens",
                             "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)})
    return refused_http(stage, requests)


@attack("reach.cloud-without-a-token", "reach", "401")
def cloud_without_a_token(stage):
    """Ask Nova, Neutron, Cinder, Glance, Keystone and Swift without a token, and with the guest's secrets for one."""
    account = stage.things["account"].partition("/v1/")[2]
    places = {"compute": ["/compute/v2.1/servers"], "network": ["/network/v2.0/ports"],
              "volumev3": [f"/volume/v3/{stage.victim.project}/volumes"], "image": ["/image/v2/images"],
              "identity": ["/identity/v3/projects"], "object-store": [
                  f"/object-store/v1/{name}" for name in (account, f"AUTH_{stage.victim.project}")]}
    return refused_http(stage, [
        {"method": method, "url": f"{stage.endpoint(kind)}{path}", "headers": headers}
        for kind, paths in places.items() for path in paths
        for method, headers in (("GET", {}), ("GET", {"X-Auth-Token": stage.facts["guest_key"]}), ("DELETE", {}))])
