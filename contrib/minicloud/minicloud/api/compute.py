"""Nova 2.1: the table of contents; servers: list, show, create, update, delete. Actions: compute_actions.py."""

import functools
import re

from minicloud.api import (
    compute_schemas,
    compute_views,
    schema,
    server_create,
    server_state,
    servers,
)
from minicloud.api.compute_actions import Actions
from minicloud.api.compute_flavors import Flavors
from minicloud.api.compute_misc import ComputeMisc
from minicloud.api.microversion import Microversions, text
from minicloud.api.web import Fault, Route, Service, next_link, page, reply, sort

_SORT_KEYS = (
    "created_at",
    "updated_at",
    "display_name",
    "name",
    "uuid",
    "id",
    "vm_state",
    "task_state",
    "host",
    "user_id",
    "project_id",
)


class Compute(Service):
    """GET /compute/v2.1/servers ..."""

    prefix = "/compute"
    project_in_path = True
    versions = Microversions("compute", (2, 1), (2, 72), "X-OpenStack-Nova-API-Version")

    def routes(self):
        """The table of contents: each path under /v2.1 and /v2."""
        result = [Route("GET", "/", self.show_versions, public=True)]
        for version in ("/v2.1", "/v2"):
            result.append(
                Route("GET", version, functools.partial(self.show_version, version=version[1:]), public=True)
            )
            result += [Route(methods, version + path, handler) for methods, path, handler in self._table()]
        return result

    def _table(self):
        return [
            ("POST", "/servers", self.create),
            ("POST", "/os-volumes_boot", self.create),
            ("GET", "/servers", self.list),
            ("GET", "/servers/detail", functools.partial(self.list, detail=True)),
            ("GET", "/servers/<id>", self.show),
            ("PUT", "/servers/<id>", self.update),
            ("DELETE", "/servers/<id>", self.delete),
            *Actions(self).table(),
            *Flavors(self.cloud).table(),
            *ComputeMisc(self.cloud).table(),
        ]

    def negotiate(self, request):
        """Every answer is given in a microversion."""
        request.version = self.versions.choose(request)

    def finish(self, request, response):
        """Request id under both of its names, and the microversion."""
        super().finish(request, response)
        response.headers["x-compute-request-id"] = request.request_id
        self.versions.stamp(request, response)

    def fault(self, fault):
        """``{"itemNotFound": {"code": 404, "message": ...}}``; 401 as the token middleware answers it."""
        if fault.code == 401:
            return super().fault(fault)
        names = {
            400: "badRequest",
            403: "forbidden",
            404: "itemNotFound",
            405: "badMethod",
            409: "conflictingRequest",
            413: "overLimit",
            415: "badMediaType",
            429: "overLimit",
            501: "notImplemented",
            503: "serviceUnavailable",
        }
        return reply(
            {names.get(fault.code, "computeFault"): {"code": fault.code, "message": fault.message}},
            fault.code,
            fault.headers,
        )

    def _version(self, version):
        current = version == "v2.1"
        return {
            "id": "v2.1" if current else "v2.0",
            "status": "CURRENT" if current else "SUPPORTED",
            "version": text(self.versions.maximum) if current else "",
            "min_version": text(self.versions.minimum) if current else "",
            "updated": "2013-07-23T11:33:21Z" if current else "2011-01-21T11:33:21Z",
            "links": [{"rel": "self", "href": f"{self.cloud.config.url('compute')}/{version}/"}],
        }

    def show_versions(self, request):
        """Both versions."""
        return {"versions": [self._version("v2"), self._version("v2.1")]}

    def show_version(self, request, version):
        """One version with its range of microversions."""
        kind = "application/vnd.openstack.compute+json;version=2.1"
        return {
            "version": {**self._version(version), "media-types": [{"base": "application/json", "type": kind}]}
        }

    # Servers

    def get(self, request, id):
        """The record of a server that the tenant may see. :raises Fault: 404"""
        record = self.store.find("server", id)
        if not record or not request.context.owns(record):
            raise Fault(404, f"Instance {id} could not be found.")
        return record

    def views(self, request, records):
        """The full views of many servers; the tables they refer to are read once."""
        guests = self.cloud.guests.states()
        ports, volumes = servers.ports_by_server(self.cloud), {}
        for volume in self.store.list("volume"):
            for attachment in volume["attachments"]:
                volumes.setdefault(attachment["server_id"], []).append(volume)
        names = {network["id"]: network["name"] for network in self.store.list("network")}
        groups = {group["id"]: group["name"] for group in self.store.list("security_group")}
        result = []
        for record in records:
            mine = ports.get(record["id"], [])
            group_names = [groups[id] for port in mine for id in port["security_groups"] if id in groups]
            attached = sorted(volumes.get(record["id"], []), key=lambda v: v["attachments"][0]["device"])
            result.append(
                compute_views.server(
                    self.cloud.config.url("compute"),
                    record,
                    guests.get(record["id"]),
                    mine,
                    names,
                    list(dict.fromkeys(group_names)),
                    attached,
                    request.version,
                    request.context.is_admin,
                )
            )
        return result

    def create(self, request):
        """202 with id and links; the rest shows in GET."""
        body = request.body
        schema.check(body, compute_schemas.create(request.version))
        created = server_create.create(self.cloud, request.context, body["server"])
        if schema.is_true(body["server"].get("return_reservation_id")):
            return 202, {"reservation_id": f"r-{created[0]['id'][:8]}"}
        first = created[0]
        location = compute_views.links(self.cloud.config.url("compute"), "servers", first["id"])[0]["href"]
        shown = {
            "id": first["id"],
            "links": compute_views.links(self.cloud.config.url("compute"), "servers", first["id"]),
            "OS-DCF:diskConfig": first["disk_config"],
            "adminPass": body["server"].get("adminPass") or first["id"][:12],
            "security_groups": [
                {"name": group["name"]} for group in body["server"].get("security_groups", [])
            ]
            or [{"name": "default"}],
        }
        return reply({"server": shown}, 202, {"Location": location})

    def list(self, request, detail=False):
        """The tenant's; with all_tenants everybody's for an administrator (403 for others)."""
        everybody = request.flag("all_tenants")
        if everybody:
            request.context.require_admin("os_compute_api:servers:detail:get_all_tenants")
        project = (
            (request.args.get("project_id") or request.args.get("tenant_id"))
            if everybody
            else request.context.project_id
        )
        records = self._filter(request, self.store.list("server", project_id=project))
        records = sort(
            request, [{**r, "uuid": r["id"], "display_name": r["name"]} for r in records], _SORT_KEYS
        )
        shown, following = page(request, records)
        base = self.cloud.config.url("compute")
        body = {
            "servers": self.views(request, shown)
            if detail
            else [
                {"id": r["id"], "name": r["name"], "links": compute_views.links(base, "servers", r["id"])}
                for r in shown
            ]
        }
        return {**body, **next_link(request, following, "servers", base, request.path)}

    def _filter(self, request, records):
        args = request.args
        if "name" in args:
            wanted = _pattern(request, "name")
            records = [r for r in records if wanted.search(r["name"])]
        if "status" in args:
            wanted = {value.upper() for value in args.getlist("status")}
            guests = self.cloud.guests.states()
            records = [r for r in records if server_state.status(r, guests.get(r["id"])) in wanted]
        for name, key in (("image", "image_id"), ("user_id", "user_id"), ("uuid", "id")):
            if name in args:
                records = [r for r in records if r[key] == args[name]]
        if "flavor" in args:
            records = [r for r in records if r["flavor"]["id"] == args["flavor"]]
        if "ip" in args:
            wanted, ports = _pattern(request, "ip"), servers.ports_by_server(self.cloud)
            matching = {
                id
                for id, mine in ports.items()
                for p in mine
                for ip in p["fixed_ips"]
                if wanted.search(ip["ip_address"])
            }
            records = [r for r in records if r["id"] in matching]
        if "changes-since" in args:
            records = [r for r in records if r["updated_at"] >= args["changes-since"][:19]]
        if "tags" in args:
            records = [r for r in records if set(args["tags"].split(",")) <= set(r["tags"])]
        if "tags-any" in args:
            records = [r for r in records if set(args["tags-any"].split(",")) & set(r["tags"])]
        if request.flag("deleted"):
            records = []
        return records

    def show(self, request, id):
        """200 with one."""
        return {"server": self.views(request, [self.get(request, id)])[0]}

    def update(self, request, id):
        """Name, description and access addresses."""
        body = schema.body_of(request, "server", compute_schemas.update(request.version))
        self.get(request, id)
        changes = {
            "disk_config" if name == "OS-DCF:diskConfig" else name: value for name, value in body.items()
        }
        return {"server": self.views(request, [servers.change(self.cloud, id, **changes)])[0]}

    def delete(self, request, id):
        """204: accepted."""
        self.get(request, id)
        servers.delete(self.cloud, id)
        return 204, None


def _pattern(request, name):
    """The regular expression of a filter. :raises Fault: 400 when it is none."""
    try:
        return re.compile(request.args[name], re.IGNORECASE)
    except re.error as error:
        raise Fault(
            400, f"{name}: '{request.args[name]}' is not a valid regular expression: {error}."
        ) from error
