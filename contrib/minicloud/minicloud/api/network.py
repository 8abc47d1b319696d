"""Neutron 2.0: one table of resources, one set of handlers, and the checks that each kind needs."""

import functools
import ipaddress

from minicloud.api import network_checks, network_schemas, networks, schema, security_groups
from minicloud.api.network_misc import NetworkMisc
from minicloud.api.web import Fault, Route, Service, page, reply
from minicloud.store import now

PLURALS = {
    "networks": "network",
    "subnets": "subnet",
    "ports": "port",
    "security-groups": "security_group",
    "security-group-rules": "security_group_rule",
}


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
        table += NetworkMisc(self.cloud).table()
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
                    "links": [{"rel": "self", "href": f"{self.cloud.config.url('network')}/v2.0/"}],
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
                    "links": [{"rel": "self", "href": f"{self.cloud.config.url('network')}/v2.0/{plural}"}],
                }
                for plural, kind in PLURALS.items()
            ]
        }

    # Reading

    def _visible(self, context, kind, document):
        if kind == "subnet":
            return context.owns(document) or networks.usable(
                context, self.store.get("network", document["network_id"])
            )
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
            missing = (
                f"{label} {id} does not exist" if "group" in kind else f"{label} {id} could not be found."
            )
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
            security_groups.default_group(self.cloud, request.context.project_id)
        found = [
            self._view(kind, d) for d in self.store.list(kind) if self._visible(request.context, kind, d)
        ]
        for name in request.args:
            if name in ("marker", "limit", "fields", "sort_key", "sort_dir", "page_reverse"):
                continue
            found = [d for d in found if network_checks.matches(d, name, request.args.getlist(name))]
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
                {"rel": "next", "href": f"{self.cloud.config.root('network')}{request.path}?{following}"}
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
                schema.fields(
                    (plural,), **{plural: {"type": "array", "items": network_schemas.create(kind)}}
                ),
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
            raise Fault(
                400, f"Invalid input for cidr or an address. Reason: {error}.", "HTTPBadRequest"
            ) from error
        return networks.add_subnet(self.cloud, project, body)

    def _create_port(self, request, project, body, add):
        network = self._get(request, "network", body["network_id"])
        self._check_groups(request, body.get("security_groups"))
        for ip in body.get("fixed_ips", []):
            if "ip_address" in ip and not network_checks.is_address(ip["ip_address"]):
                raise Fault(
                    400,
                    f"Invalid input for fixed_ips. Reason: '{ip['ip_address']}' is not a valid IP address.",
                )
        self._check_owner(request, body)
        port = networks.add_port(self.cloud, project, network, body)
        security_groups.refresh_rules(self.cloud, add, port["security_groups"])
        return port

    @staticmethod
    def _check_owner(request, body):
        # Whoever could say that a port is a server's would put it into that server, whosever it is.
        if body.get("device_owner", "").startswith(("network:", "compute:")):
            request.context.require_admin("rule:create_port:device_owner")

    def _check_groups(self, request, ids):
        for id in ids or []:
            self._get(request, "security_group", id)

    def _create_security_group(self, request, project, body, add):
        if body["name"] == "default":
            raise Fault(409, "Default security group already exists.", "SecurityGroupDefaultAlreadyExists")
        return security_groups.add_group(self.cloud, project, body["name"], body.get("description", ""))

    def _create_security_group_rule(self, request, project, body, add):
        group = self._get(request, "security_group", body["security_group_id"])
        rule = network_checks.check_rule(body)
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
            if (
                all(other[name] == rule.get(name) for name in same)
                and other["ethertype"] == rule["ethertype"]
            ):
                raise Fault(
                    409,
                    f"Security group rule already exists. Rule id is {other['id']}.",
                    "SecurityGroupRuleExists",
                )
        made = security_groups.add_rule(self.cloud, group, rule)
        security_groups.refresh_rules(self.cloud, add, [group["id"]])
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
                raise Fault(
                    409, "Updating default security group not allowed.", "SecurityGroupCannotUpdateDefault"
                )
            if kind == "port":
                self._check_groups(request, changes.get("security_groups"))
                self._check_owner(request, changes)
            new = self.store.change(kind, id, **changes, updated_at=now() + "Z")
            if kind == "port" and "security_groups" in changes:
                security_groups.refresh_rules(
                    self.cloud, add, set(document["security_groups"]) | set(new["security_groups"])
                )
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
        security_groups.refresh_rules(self.cloud, add, port["security_groups"])

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
                security_groups.refresh_rules(self.cloud, add, [rule["security_group_id"]])

    def _delete_security_group_rule(self, rule, add):
        security_groups.refresh_rules(self.cloud, add, [rule["security_group_id"]])
