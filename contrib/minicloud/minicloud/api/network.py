"""Neutron 2.0: one table of resources, one set of handlers, and the checks that each kind needs."""

import functools
import ipaddress

from minicloud.api import network_schemas, networks, schema
from minicloud.api.web import Fault, Route, Service, page, reply
from minicloud.store import now

PLURALS = {
    "networks": "network",
    "subnets": "subnet",
    "ports": "port",
    "security-groups": "security_group",
    "security-group-rules": "security_group_rule",
}
EXTENSIONS = (
    "agent",
    "availability_zone",
    "binding",
    "default-subnetpools",
    "external-net",
    "net-mtu",
    "network_availability_zone",
    "pagination",
    "port-security",
    "project-id",
    "provider",
    "quotas",
    "quota_details",
    "security-group",
    "sorting",
    "standard-attr-description",
    "standard-attr-timestamp",
    "subnet_allocation",
    "shared-networks",
)
_BOOLEANS = (
    "shared",
    "admin_state_up",
    "enable_dhcp",
    "router:external",
    "port_security_enabled",
    "is_default",
)


class Network(Service):
    """GET /network/v2.0/networks ..."""

    prefix = "/network"

    def routes(self):
        """The table of contents. Neutron's clients append ``.json`` in old versions."""
        result = [
            Route("GET", "/", self.versions, public=True),
            Route("GET", "/v2.0", self.resources, public=True),
        ]
        table = []
        for plural, kind in PLURALS.items():
            bind = functools.partial
            table += [
                ("POST", f"/{plural}", bind(self.create, kind=kind)),
                ("GET", f"/{plural}", bind(self.list, kind=kind)),
                ("GET", f"/{plural}/<id>", bind(self.show, kind=kind)),
                ("DELETE", f"/{plural}/<id>", bind(self.delete, kind=kind)),
            ]
            if network_schemas.BODIES[kind][2]:
                table.append(("PUT", f"/{plural}/<id>", bind(self.update, kind=kind)))
        table += [
            ("GET", "/extensions", self.extensions),
            ("GET", "/extensions/<alias>", self.extension),
            ("GET", "/quotas/<project_id>", self.quota),
            ("PUT", "/quotas/<project_id>", self.set_quota),
            ("GET", "/quotas/<project_id>/details.json", functools.partial(self.quota, detail=True)),
            ("GET", "/availability_zones", self.zones),
            ("GET", "/agents", functools.partial(self.nothing, name="agents")),
        ]
        table += [
            ("GET", f"/{name}", functools.partial(self.nothing, name=name))
            for name in ("routers", "floatingips", "subnetpools")
        ]
        return result + [Route(methods, f"/v2.0{path}", handler) for methods, path, handler in table]

    def split_project(self, path):
        """``.json`` at the end says nothing."""
        return path if path.endswith("details.json") else path.removesuffix(".json"), None

    def fault(self, fault):
        """``{"NeutronError": {"type", "message", "detail"}}``; 401 as the token middleware answers it."""
        if fault.code == 401:
            return super().fault(fault)
        kinds = {
            400: "HTTPBadRequest",
            403: "PolicyNotAuthorized",
            404: "HTTPNotFound",
            405: "HTTPMethodNotAllowed",
            409: "Conflict",
            500: "HTTPInternalServerError",
        }
        error = {
            "type": fault.kind or kinds.get(fault.code, "HTTPError"),
            "message": fault.message,
            "detail": "",
        }
        return reply({"NeutronError": error}, fault.code, fault.headers)

    def versions(self, request):
        """The one version."""
        return {
            "versions": [
                {
                    "id": "v2.0",
                    "status": "CURRENT",
                    "links": [{"rel": "self", "href": f"{self.cloud.config.base_url}/network/v2.0/"}],
                }
            ]
        }

    def resources(self, request):
        """What there is below /v2.0."""
        return {
            "resources": [
                {
                    "name": kind,
                    "collection": plural,
                    "links": [{"rel": "self", "href": f"{self.cloud.config.base_url}/network/v2.0/{plural}"}],
                }
                for plural, kind in PLURALS.items()
            ]
        }

    # Reading

    def _visible(self, context, kind, document):
        if kind == "subnet":
            return context.owns(document) or networks.usable(context, self.store.get("network", document["network_id"]))
        return context.owns(document) or kind == "network" and document["shared"]

    def _get(self, request, kind, id):
        document = self.store.find(kind, id)
        if not document or not self._visible(request.context, kind, document):
            name = {
                "network": "NetworkNotFound",
                "subnet": "SubnetNotFound",
                "port": "PortNotFound",
                "security_group": "SecurityGroupNotFound",
                "security_group_rule": "SecurityGroupRuleNotFound",
            }[kind]
            label = {"security_group": "Security group", "security_group_rule": "Security group rule"}.get(
                kind, kind.capitalize()
            )
            missing = f"{label} {id} does not exist" if "group" in kind else f"{label} {id} could not be found."
            raise Fault(404, missing, name)
        return document

    def _view(self, kind, document):
        if kind == "network":
            return network_schemas.view(
                kind,
                document,
                subnets=[s["id"] for s in self.store.list("subnet", network_id=document["id"])],
            )
        if kind == "security_group":
            rules = self.store.list("security_group_rule", security_group_id=document["id"])
            return network_schemas.view(
                kind,
                document,
                security_group_rules=[network_schemas.view("security_group_rule", r) for r in rules],
            )
        if kind == "subnet":
            return network_schemas.view(kind, document)
        return network_schemas.view(kind, document)

    def list(self, request, kind):
        """All that the tenant may see and that equal the filters; ``fields`` chooses members."""
        if kind == "security_group":
            networks.default_group(self.cloud, request.context.project_id)
        found = [self._view(kind, d) for d in self.store.list(kind) if self._visible(request.context, kind, d)]
        for name in request.args:
            if name in ("marker", "limit", "fields", "sort_key", "sort_dir", "page_reverse"):
                continue
            found = [d for d in found if _matches(d, name, request.args.getlist(name))]
        keys, directions = request.args.getlist("sort_key"), request.args.getlist("sort_dir")
        for n, key in reversed(list(enumerate(keys))):
            found.sort(
                key=lambda d, key=key: (d.get(key) is not None, d.get(key) or ""),
                reverse=directions[n : n + 1] == ["desc"],
            )
        shown, following = page(request, found)
        wanted = request.args.getlist("fields")
        plural = f"{kind}s"
        body = {plural: [{k: v for k, v in d.items() if not wanted or k in wanted} for d in shown]}
        if following:
            body[f"{plural}_links"] = [
                {"rel": "next", "href": f"{self.cloud.config.base_url}{request.path}?{following}"}
            ]
        return body

    def show(self, request, id, kind):
        """200 with one."""
        view = self._view(kind, self._get(request, kind, id))
        wanted = request.args.getlist("fields")
        return {kind: {k: v for k, v in view.items() if not wanted or k in wanted}}

    # Writing

    def create(self, request, kind):
        """201 with one, or with many when the body has the plural."""
        body = request.body
        plural = f"{kind}s"
        if plural in body:
            schema.check(
                body,
                schema.fields((plural,), **{plural: {"type": "array", "items": network_schemas.create(kind)}}),
            )
            with self.store.transaction():
                made = [self._create(request, kind, item) for item in body[plural]]
            return 201, {plural: [self._view(kind, document) for document in made]}
        item = schema.body_of(request, kind, network_schemas.create(kind))
        document = self._create(request, kind, item)
        return 201, {kind: self._view(kind, self.store.get(kind, document["id"]))}

    def _create(self, request, kind, body):
        project = body.get("project_id") or body.get("tenant_id") or request.context.project_id
        if project != request.context.project_id:
            request.context.require_admin(f"(rule:create_{kind}:tenant_id)")
        with self.cloud.jobs.transaction() as add:
            if kind != "port":
                networks.require_quota(self.cloud, project, kind)
            return getattr(self, f"_create_{kind}")(request, project, body, add)

    def _create_network(self, request, project, body, add):
        if body.get("shared"):
            request.context.require_admin("((rule:create_network and rule:create_network:shared) on network)")
        return networks.add_network(self.cloud, project, body)

    def _create_subnet(self, request, project, body, add):
        network = self._get(request, "network", body["network_id"])
        if not request.context.owns(network):
            raise Fault(403, "rule:create_subnet is disallowed by policy", "PolicyNotAuthorized")
        try:
            if int(body["ip_version"]) != 4 or ipaddress.ip_network(body["cidr"]).version != 4:
                raise Fault(400, "Invalid input for ip_version: only IPv4 exists here.", "InvalidInput")
            addresses = [body.get("gateway_ip")] + [
                p[end] for p in body.get("allocation_pools", []) for end in ("start", "end")
            ]
            for address in filter(None, addresses):
                ipaddress.ip_address(address)
        except ValueError as error:
            raise Fault(400, f"Invalid input for cidr or an address. Reason: {error}.", "HTTPBadRequest") from error
        return networks.add_subnet(self.cloud, project, body)

    def _create_port(self, request, project, body, add):
        network = self._get(request, "network", body["network_id"])
        self._check_groups(request, body.get("security_groups"))
        try:
            for ip in body.get("fixed_ips", []):
                ipaddress.ip_address(ip.get("ip_address", self.cloud.config.gateway))
        except ValueError as error:
            raise Fault(400, f"Invalid input for fixed_ips. Reason: {error}.") from error
        if body.get("device_owner", "").startswith("network:"):
            request.context.require_admin("rule:create_port:device_owner")
        port = networks.add_port(self.cloud, project, network, body)
        networks.refresh_rules(self.cloud, add, port["security_groups"])
        return port

    def _check_groups(self, request, ids):
        for id in ids or []:
            self._get(request, "security_group", id)

    def _create_security_group(self, request, project, body, add):
        if body["name"] == "default":
            raise Fault(409, "Default security group already exists.", "SecurityGroupDefaultAlreadyExists")
        return networks.add_group(self.cloud, project, body["name"], body.get("description", ""))

    def _create_security_group_rule(self, request, project, body, add):
        group = self._get(request, "security_group", body["security_group_id"])
        rule = check_rule(body)
        if rule.get("remote_group_id"):
            self._get(request, "security_group", rule["remote_group_id"])
        same = (
            "direction",
            "protocol",
            "port_range_min",
            "port_range_max",
            "remote_ip_prefix",
            "remote_group_id",
        )
        for other in self.store.list("security_group_rule", security_group_id=group["id"]):
            if all(other[name] == rule.get(name) for name in same) and other["ethertype"] == rule["ethertype"]:
                raise Fault(
                    409,
                    f"Security group rule already exists. Rule id is {other['id']}.",
                    "SecurityGroupRuleExists",
                )
        made = networks.add_rule(self.cloud, group, rule)
        networks.refresh_rules(self.cloud, add, [group["id"]])
        return made

    def update(self, request, id, kind):
        """Change the given members."""
        changes = schema.body_of(request, kind, network_schemas.update(kind))
        with self.cloud.jobs.transaction() as add:
            document = self._get(request, kind, id)
            if not request.context.owns(document):
                raise Fault(403, f"rule:update_{kind} is disallowed by policy", "PolicyNotAuthorized")
            if changes.get("shared") and not document["shared"]:
                request.context.require_admin("rule:update_network:shared")
            if (
                kind == "security_group"
                and document["name"] == "default"
                and changes.get("name", "default") != "default"
            ):
                raise Fault(409, "Updating default security group not allowed.", "SecurityGroupCannotUpdateDefault")
            if kind == "port":
                self._check_groups(request, changes.get("security_groups"))
            new = self.store.change(kind, id, **changes, updated_at=now() + "Z")
            if kind == "port" and "security_groups" in changes:
                networks.refresh_rules(self.cloud, add, set(document["security_groups"]) | set(new["security_groups"]))
                if new["device_owner"].startswith("compute:"):
                    add("port.rules", new["device_id"])
        return {kind: self._view(kind, new)}

    def delete(self, request, id, kind):
        """204, 409 while it is in use."""
        with self.cloud.jobs.transaction() as add:
            document = self._get(request, kind, id)
            if not request.context.owns(document):
                raise Fault(403, f"rule:delete_{kind} is disallowed by policy", "PolicyNotAuthorized")
            getattr(self, f"_delete_{kind}")(document, add)
            self.store.remove(kind, id)
        return 204, None

    def _delete_network(self, network, add):
        if self.store.list("port", network_id=network["id"]):
            raise Fault(
                409,
                f"Unable to complete operation on network {network['id']}. There are one or more ports still in use on "
                "the network.",
                "NetworkInUse",
            )
        for subnet in self.store.list("subnet", network_id=network["id"]):
            self.store.remove("subnet", subnet["id"])

    def _delete_subnet(self, subnet, add):
        ports = self.store.list("port", network_id=subnet["network_id"])
        if any(ip["subnet_id"] == subnet["id"] for port in ports for ip in port["fixed_ips"]):
            raise Fault(
                409,
                f"Unable to complete operation on subnet {subnet['id']}: One or more ports have an IP allocation from "
                "this subnet.",
                "SubnetInUse",
            )

    def _delete_port(self, port, add):
        if port["device_owner"].startswith("compute:") and self.store.find("server", port["device_id"]):
            raise Fault(
                409,
                f"Port {port['id']} is the only one of server {port['device_id']}: delete the server.",
                "PortInUse",
            )
        networks.refresh_rules(self.cloud, add, port["security_groups"])

    def _delete_security_group(self, group, add):
        if group["name"] == "default":
            raise Fault(
                409,
                "Insufficient rights for removing default security group.",
                "SecurityGroupCannotRemoveDefault",
            )
        if any(group["id"] in port["security_groups"] for port in self.store.list("port")):
            raise Fault(409, f"Security Group {group['id']} in use.", "SecurityGroupInUse")
        for rule in self.store.list("security_group_rule"):
            if group["id"] in (rule["security_group_id"], rule["remote_group_id"]):
                self.store.remove("security_group_rule", rule["id"])
                networks.refresh_rules(self.cloud, add, [rule["security_group_id"]])

    def _delete_security_group_rule(self, rule, add):
        networks.refresh_rules(self.cloud, add, [rule["security_group_id"]])

    # The rest

    def extensions(self, request):
        """What this Neutron has beyond the core."""
        return {"extensions": [_extension(alias) for alias in EXTENSIONS]}

    def extension(self, request, alias):
        """One of them."""
        if alias not in EXTENSIONS:
            raise Fault(404, f"Extension with alias {alias} does not exist")
        return {"extension": _extension(alias)}

    def quota(self, request, project_id, detail=False):
        """The quotas of a project."""
        if project_id not in (request.context.project_id, "tenant", "project"):
            request.context.require_admin("rule:get_quota")
        project_id = request.context.project_id if project_id in ("tenant", "project") else project_id
        limits = {
            **networks.QUOTAS,
            **((self.store.find("network_quota", project_id) or {}).get("limits", {})),
        }
        if detail:
            limits = {
                name: {"limit": n, "used": len(self.store.list(name, project_id=project_id)), "reserved": 0}
                for name, n in limits.items()
            }
        return {"quota": limits}

    def set_quota(self, request, project_id):
        """For administrators."""
        request.context.require_admin("rule:update_quota")
        number = {"type": "integer", "minimum": -1}
        new = schema.body_of(
            request, "quota", schema.fields(**dict.fromkeys(networks.QUOTAS, number), tenant_id=schema.ID)
        )
        new.pop("tenant_id", None)
        with self.store.transaction():
            limits = {**((self.store.find("network_quota", project_id) or {}).get("limits", {})), **new}
            self.store.remove("network_quota", project_id)
            self.store.add("network_quota", {"id": project_id, "limits": limits})
        return {"quota": {**networks.QUOTAS, **limits}}

    def zones(self, request):
        """The one zone."""
        return {"availability_zones": [{"name": "nova", "resource": "network", "state": "available"}]}

    def nothing(self, request, name):
        """There are none here."""
        return {name: []}


def _extension(alias):
    return {
        "alias": alias,
        "name": alias,
        "description": alias,
        "links": [],
        "updated": "2015-01-01T10:00:00-00:00",
    }


def _matches(document, name, values):
    if name == "fixed_ips":
        # ip_address=10.0.0.1 or subnet_id=...: each must hold for one of the addresses.
        return all(
            any(str(ip.get(key)) == wanted for ip in document.get(name, []))
            for key, _, wanted in (v.partition("=") for v in values)
        )
    value = document.get(name)
    if name in _BOOLEANS:
        return any(value == (wanted.lower() in ("true", "1", "yes")) for wanted in values)
    if isinstance(value, list):
        return any(wanted in value for wanted in values)
    return ("" if value is None else str(value)) in values


def check_rule(body):
    """A rule of a POST with its members in their one form. :raises Fault: 400 as Neutron answers it."""
    rule = {"ethertype": "IPv4", **body}
    protocol = rule.get("protocol")
    rule["protocol"] = protocol = str(protocol).lower() if protocol not in (None, "", "any") else None
    low, high = (int(p) if (p := rule.get(name)) is not None else None for name in ("port_range_min", "port_range_max"))
    rule["port_range_min"], rule["port_range_max"] = low, high
    if (low is not None or high is not None) and protocol is None:
        raise Fault(
            400,
            "Must also specify protocol if port range is given.",
            "SecurityGroupProtocolRequiredWithPorts",
        )
    range_wrong = (low is None) != (high is None) or low is not None and not 0 <= low <= high <= 65535
    if protocol in ("tcp", "udp", "6", "17", "sctp") and range_wrong:
        raise Fault(
            400,
            "For TCP/UDP protocols, port_range_min must be <= port_range_max",
            "SecurityGroupInvalidPortRange",
        )
    if rule.get("remote_ip_prefix") and rule.get("remote_group_id"):
        raise Fault(
            400,
            "Only remote_ip_prefix or remote_group_id may be provided.",
            "SecurityGroupRemoteGroupAndRemoteIpPrefix",
        )
    if rule.get("remote_ip_prefix"):
        try:
            network = ipaddress.ip_network(rule["remote_ip_prefix"], strict=False)
        except ValueError as error:
            raise Fault(400, f"'{rule['remote_ip_prefix']}' is not a valid CIDR: {error}", "InvalidCIDR") from error
        if f"IPv{network.version}" != rule["ethertype"]:
            raise Fault(
                400,
                f"Conflicting value ethertype {rule['ethertype']} for CIDR {rule['remote_ip_prefix']}",
                "SecurityGroupRuleParameterConflict",
            )
        rule["remote_ip_prefix"] = str(network)
    return rule
