"""Nova's flavors."""

import functools

from minicloud.api import compute_schemas, compute_views, schema
from minicloud.api.web import Fault, next_link, page, sort
from minicloud.store import new_id


def find_flavor(cloud, reference, code=404):
    """A flavor by id or URL. :raises Fault: with ``code`` when there is none."""
    flavor = cloud.store.find("flavor", reference.rsplit("/", 1)[-1])
    if not flavor:
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
            ("GET", f"{flavor}/os-extra_specs", self.extra_specs),
            ("POST", f"{flavor}/os-extra_specs", self.set_extra_specs),
        ]

    def _visible(self, request):
        wanted = request.args.get("is_public", "").lower()
        if not request.context.is_admin or wanted not in ("none", "false", "0"):
            return [f for f in self.store.list("flavor") if f["is_public"]]
        return [f for f in self.store.list("flavor") if wanted == "none" or not f["is_public"]]

    def list(self, request, detail=False):
        """All public ones; is_public=None shows an administrator all."""
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
        flavor = find_flavor(self.cloud, id)
        if not flavor["is_public"] and not request.context.is_admin:
            raise Fault(404, f"Flavor {id} could not be found.")
        return flavor

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
        find_flavor(self.cloud, id)
        self.store.remove("flavor", id)
        return 202, None

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
