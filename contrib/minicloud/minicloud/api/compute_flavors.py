"""Nova's flavors."""

import functools

from minicloud.api import compute_schemas, compute_views, schema
from minicloud.api.web import Fault, next_link, page, sort
from minicloud.store import new_id


def may_use(cloud, context, flavor):
    """Whether a token's project may have a flavor: a public one, one that it was given, or an administrator's."""
    return context.is_admin or flavor["is_public"] or context.project_id in projects_of(cloud, flavor)


def projects_of(cloud, flavor):
    """Ids of the projects that were given a private flavor."""
    return (cloud.store.find("flavor_access", flavor["id"]) or {}).get("projects", [])


def find_flavor(cloud, context, reference, code=404):
    """A flavor that a token may use, by id or URL. :raises Fault: with ``code`` when there is none."""
    flavor = cloud.store.find("flavor", reference.rsplit("/", 1)[-1])
    if not flavor or not may_use(cloud, context, flavor):
        raise Fault(code, f"Flavor {reference} could not be found.")
    return flavor


class Flavors:
    """The handlers."""

    def __init__(self, cloud):
        self.cloud, self.store = cloud, cloud.store

    def table(self):
        """The routes."""
        flavor = "/flavors/<id>"
        return [
            ("GET", "/flavors", self.list),
            ("GET", "/flavors/detail", functools.partial(self.list, detail=True)),
            ("POST", "/flavors", self.create),
            ("GET", flavor, self.show),
            ("DELETE", flavor, self.delete),
            ("GET", f"{flavor}/os-flavor-access", self.access),
            ("POST", f"{flavor}/action", self.change_access),
            ("GET", f"{flavor}/os-extra_specs", self.extra_specs),
            ("POST", f"{flavor}/os-extra_specs", self.set_extra_specs),
        ]

    def _visible(self, request):
        wanted = request.args.get("is_public", "").lower()
        if not request.context.is_admin:
            return [f for f in self.store.list("flavor") if may_use(self.cloud, request.context, f)]
        if wanted not in ("none", "false", "0"):
            return [f for f in self.store.list("flavor") if f["is_public"]]
        return [f for f in self.store.list("flavor") if wanted == "none" or not f["is_public"]]

    def list(self, request, detail=False):
        """The public ones and what the project was given; is_public=None shows an administrator all."""
        found = [
            f
            for f in self._visible(request)
            if f["ram"] >= request.number("minRam", 0) and f["disk"] >= request.number("minDisk", 0)
        ]
        names = {"flavorid": "id", "memory_mb": "ram", "root_gb": "disk"}
        found = [{**f, **{alias: f[name] for alias, name in names.items()}} for f in found]
        found = sort(
            request,
            found,
            ("flavorid", "id", "name", "memory_mb", "vcpus", "root_gb", "created_at"),
            ("flavorid", "asc"),
        )
        shown, following = page(request, found)
        base = self.cloud.config.url("compute")
        body = [
            compute_views.flavor(base, f, request.version)
            if detail
            else {
                "id": f["id"],
                "name": f["name"],
                "links": compute_views.links(base, "flavors", f["id"]),
                **({"description": f["description"]} if request.version >= (2, 55) else {}),
            }
            for f in shown
        ]
        return {"flavors": body, **next_link(request, following, "flavors", base, request.path)}

    def _visible_one(self, request, id):
        return find_flavor(self.cloud, request.context, id)

    def show(self, request, id):
        """One."""
        return {
            "flavor": compute_views.flavor(
                self.cloud.config.url("compute"), self._visible_one(request, id), request.version
            )
        }

    def create(self, request):
        """For administrators."""
        request.context.require_admin("os_compute_api:os-flavor-manage:create")
        body = schema.body_of(request, "flavor", compute_schemas.FLAVOR)
        flavor = {
            "id": str(body["id"]) if body.get("id") not in (None, "auto") else new_id(),
            "name": body["name"],
            "ram": int(body["ram"]),
            "vcpus": int(body["vcpus"]),
            "disk": int(body["disk"]),
            "ephemeral": int(body.get("OS-FLV-EXT-DATA:ephemeral", 0)),
            "swap": int(body.get("swap", 0)),
            "rxtx_factor": float(body.get("rxtx_factor", 1.0)),
            "disabled": False,
            "extra_specs": {},
            "is_public": schema.is_true(body.get("os-flavor-access:is_public", True)),
            "description": body.get("description"),
        }
        if flavor["ram"] < 1 or flavor["vcpus"] < 1:
            raise Fault(400, "Invalid input for field/attribute ram or vcpus: must be at least 1.")
        with self.store.transaction():
            if any(f["name"] == flavor["name"] or f["id"] == flavor["id"] for f in self.store.list("flavor")):
                raise Fault(409, f"Flavor with name {flavor['name']} or ID {flavor['id']} already exists.")
            self.store.add("flavor", flavor)
        return {"flavor": compute_views.flavor(self.cloud.config.url("compute"), flavor, request.version)}

    def delete(self, request, id):
        """202; servers keep what they were made with."""
        request.context.require_admin("os_compute_api:os-flavor-manage:delete")
        find_flavor(self.cloud, request.context, id)
        self.store.remove("flavor", id)
        self.store.remove("flavor_access", id)
        return 202, None

    def _access_view(self, flavor):
        return {
            "flavor_access": [
                {"flavor_id": flavor["id"], "tenant_id": project} for project in projects_of(self.cloud, flavor)
            ]
        }

    def access(self, request, id):
        """For administrators: who may use a private flavor. 404 for a public one."""
        request.context.require_admin("os_compute_api:os-flavor-access")
        flavor = find_flavor(self.cloud, request.context, id)
        if flavor["is_public"]:
            raise Fault(404, "Access list not available for public flavors.")
        return self._access_view(flavor)

    def change_access(self, request, id):
        """For administrators: addTenantAccess and removeTenantAccess of a private flavor."""
        request.context.require_admin("os_compute_api:os-flavor-access:add_tenant_access")
        tenant = schema.fields(("tenant",), tenant=schema.ID)
        schema.check(request.body, schema.fields(addTenantAccess=tenant, removeTenantAccess=tenant))
        if len(request.body) != 1:
            raise Fault(400, "There must be exactly one action.")
        ((action, arguments),) = request.body.items()
        with self.store.transaction():
            flavor = find_flavor(self.cloud, request.context, id)
            projects = projects_of(self.cloud, flavor)
            given = arguments["tenant"] in projects
            if action == "addTenantAccess":
                if flavor["is_public"]:
                    raise Fault(409, "Can not add access to a public flavor.")
                if given:
                    raise Fault(409, f"Flavor access already exists for flavor {id} and project {arguments['tenant']}.")
                projects = [*projects, arguments["tenant"]]
            else:
                if not given:
                    raise Fault(404, f"Flavor access not found for {id} / {arguments['tenant']} combination.")
                projects = [project for project in projects if project != arguments["tenant"]]
            self.store.remove("flavor_access", id)
            self.store.add("flavor_access", {"id": id, "projects": projects})
        return self._access_view(flavor)

    def extra_specs(self, request, id):
        """Extra specs of a flavor."""
        return {"extra_specs": self._visible_one(request, id)["extra_specs"]}

    def set_extra_specs(self, request, id):
        """For administrators: add some."""
        request.context.require_admin("os_compute_api:os-flavor-extra-specs:create")
        new = schema.body_of(request, "extra_specs", schema.METADATA)
        with self.store.transaction():
            self.store.change(
                "flavor", id, extra_specs={**self._visible_one(request, id)["extra_specs"], **new}
            )
        return {"extra_specs": new}
