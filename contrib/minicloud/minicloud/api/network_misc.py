"""Neutron beside its resources: extensions, quotas, zones, and what there is none of."""

import functools

from minicloud.api import networks, schema
from minicloud.api.web import Fault

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


class NetworkMisc:
    """The handlers."""

    def __init__(self, cloud):
        self.cloud, self.store = cloud, cloud.store

    def table(self):
        """The routes."""
        return [
            ("GET", "/extensions", self.extensions),
            ("GET", "/extensions/<alias>", self.extension),
            ("GET", "/quotas/<project_id>", self.quota),
            ("PUT", "/quotas/<project_id>", self.set_quota),
            *(
                ("GET", f"/quotas/<project_id>/details{suffix}", functools.partial(self.quota, detail=True))
                for suffix in ("", ".json")
            ),
            ("GET", "/quotas/<project_id>/default", self.default_quota),
            ("GET", "/availability_zones", self.zones),
            ("GET", "/agents", functools.partial(self.nothing, name="agents")),
            *(
                ("GET", f"/{name}", functools.partial(self.nothing, name=name))
                for name in ("routers", "floatingips", "subnetpools")
            ),
        ]

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

    def default_quota(self, request, project_id):
        """The quotas of a project for which nobody set any."""
        return {"quota": networks.QUOTAS}

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
