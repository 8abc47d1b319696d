"""The rest of Cinder's API: types, limits, quotas, zones, services, and the resources that are always empty."""

import functools
import shutil

from minicloud.api import schema, volumes
from minicloud.api.schema import fields
from minicloud.api.web import Fault
from minicloud.store import new_id, now

# The resources that are always empty: path, and key of the list.
NONE_OF = {"snapshots": "snapshots", "backups": "backups", "os-volume-transfer": "transfers", "groups": "groups"}


class VolumeMisc:
    """The handlers."""

    def __init__(self, cloud):
        self.cloud, self.store = cloud, cloud.store

    def table(self):
        """The routes."""
        kind, quota = "/types/<id>", "/os-quota-sets/<project_id>"
        return [
            ("GET", "/types", self.types),
            ("POST", "/types", self.create_type),
            ("GET", kind, self.show_type),
            ("DELETE", kind, self.delete_type),
            ("GET", f"{kind}/os-volume-type-access", self.access),
            ("POST", f"{kind}/action", self.change_access),
            ("GET", f"{kind}/extra_specs", self.extra_specs),
            ("GET", "/limits", self.limits),
            ("GET", quota, self.quota),
            ("PUT", quota, self.set_quota),
            ("GET", f"{quota}/defaults", self.default_quota),
            ("GET", "/os-availability-zone", self.zones),
            ("GET", "/os-services", self.services),
            ("GET", "/scheduler-stats/get_pools", self.pools),
            ("GET", "/extensions", self.extensions),
            *(
                ("GET", f"/{path}{detail}", functools.partial(self.nothing, name=name))
                for path, name in NONE_OF.items()
                for detail in ("", "/detail")
            ),
        ]

    def _projects_of(self, volume_type):
        return (self.store.find("type_access", volume_type["id"]) or {}).get("projects", [])

    def _may_use(self, context, volume_type):
        """Whether it is public, or the token's project was given it."""
        return volume_type["is_public"] or context.project_id in self._projects_of(volume_type)

    def type(self, context, name):
        """A volume type that a token may use, by id or name. :raises Fault: 404"""
        for volume_type in self.store.list("volume_type"):
            if name in (volume_type["id"], volume_type["name"]) and (
                context.is_admin or self._may_use(context, volume_type)
            ):
                return volume_type
        raise Fault(404, f"Volume type {name} could not be found.")

    @staticmethod
    def _type_view(volume_type):
        return {
            "id": volume_type["id"],
            "name": volume_type["name"],
            "description": volume_type["description"],
            "is_public": volume_type["is_public"],
            "os-volume-type-access:is_public": volume_type["is_public"],
            "extra_specs": volume_type["extra_specs"],
            "qos_specs_id": None,
        }

    def types(self, request):
        """Public types and what the project was given; is_public=None or False shows an administrator private ones."""
        found = self.store.list("volume_type")
        wanted = request.args.get("is_public", "true").lower()
        if not request.context.is_admin:
            found = [t for t in found if self._may_use(request.context, t)]
        elif wanted in ("true", "1"):
            found = [t for t in found if t["is_public"]]
        elif wanted != "none":
            found = [t for t in found if not t["is_public"]]
        return {"volume_types": [self._type_view(t) for t in found]}

    def show_type(self, request, id):
        """One by id; ``default`` is the first."""
        found = self.store.list("volume_type")[0] if id == "default" else self.type(request.context, id)
        return {"volume_type": self._type_view(found)}

    def create_type(self, request):
        """For administrators."""
        request.context.require_admin("volume_extension:type_create")
        body = schema.body_of(
            request,
            "volume_type",
            fields(
                ("name",),
                **{
                    "name": schema.NAME,
                    "description": schema.TEXT,
                    "extra_specs": schema.METADATA,
                    "os-volume-type-access:is_public": schema.BOOLEAN,
                },
            ),
        )
        with self.store.transaction():
            if self.store.list("volume_type", name=body["name"]):
                raise Fault(409, f"Volume Type {body['name']} already exists.")
            volume_type = self.store.add(
                "volume_type",
                {
                    "id": new_id(),
                    "name": body["name"],
                    "description": body.get("description"),
                    "created_at": now(),
                    "extra_specs": body.get("extra_specs", {}),
                    "is_public": schema.is_true(body.get("os-volume-type-access:is_public", True)),
                },
            )
        return {"volume_type": self._type_view(volume_type)}

    def delete_type(self, request, id):
        """202, 400 while a volume has it."""
        request.context.require_admin("volume_extension:type_delete")
        volume_type = self.type(request.context, id)
        if any(v["volume_type"] == volume_type["name"] for v in self.store.list("volume")):
            raise Fault(400, "Target volume type is still in use.")
        self.store.remove("volume_type", volume_type["id"])
        self.store.remove("type_access", volume_type["id"])
        return 202, None

    def _private_type(self, request, id):
        volume_type = self.type(request.context, id)
        if volume_type["is_public"]:
            raise Fault(404, "Access list not available for public volume types.")
        return volume_type

    def access(self, request, id):
        """For administrators: who may use a private type. 404 for a public one."""
        request.context.require_admin("volume_extension:volume_type_access:get_all_for_type")
        volume_type = self._private_type(request, id)
        return {
            "volume_type_access": [
                {"volume_type_id": volume_type["id"], "project_id": project}
                for project in self._projects_of(volume_type)
            ]
        }

    def change_access(self, request, id):
        """For administrators: addProjectAccess and removeProjectAccess of a private type; 202."""
        request.context.require_admin("volume_extension:volume_type_access:addProjectAccess")
        project = fields(("project",), project=schema.ID)
        schema.check(request.body, fields(addProjectAccess=project, removeProjectAccess=project))
        if len(request.body) != 1:
            raise Fault(400, "There must be exactly one action.")
        ((action, arguments),) = request.body.items()
        with self.store.transaction():
            volume_type = self.type(request.context, id)
            if volume_type["is_public"]:
                raise Fault(409, "Type access modification is not applicable to public volume type.")
            projects = self._projects_of(volume_type)
            given = arguments["project"] in projects
            if action == "addProjectAccess":
                if given:
                    raise Fault(409, f"Volume type access for {id} / {arguments['project']} already exists.")
                projects = [*projects, arguments["project"]]
            else:
                if not given:
                    raise Fault(404, f"Volume type access not found for {id} / {arguments['project']} combination.")
                projects = [each for each in projects if each != arguments["project"]]
            self.store.remove("type_access", volume_type["id"])
            self.store.add("type_access", {"id": volume_type["id"], "projects": projects})
        return 202, None

    def extra_specs(self, request, id):
        """Extra specs of a type."""
        return {"extra_specs": self.type(request.context, id)["extra_specs"]}

    def limits(self, request):
        """Absolute limits and what is used of them."""
        limit = volumes.limits(self.cloud, request.context.project_id)
        mine = self.store.list("volume", project_id=request.context.project_id)
        return {
            "limits": {
                "rate": [],
                "absolute": {
                    "maxTotalVolumes": limit["volumes"],
                    "maxTotalVolumeGigabytes": limit["gigabytes"],
                    "maxTotalSnapshots": limit["snapshots"],
                    "maxTotalBackups": limit["backups"],
                    "maxTotalBackupGigabytes": limit["backup_gigabytes"],
                    "totalVolumesUsed": len(mine),
                    "totalGigabytesUsed": sum(v["size"] for v in mine),
                    "totalSnapshotsUsed": 0,
                    "totalBackupsUsed": 0,
                    "totalBackupGigabytesUsed": 0,
                },
            }
        }

    def _require_quota_access(self, request, project_id):
        if project_id != request.context.project_id:
            request.context.require_admin("volume_extension:quotas:show")

    def quota(self, request, project_id):
        """The quotas; with usage=True what is used of each."""
        self._require_quota_access(request, project_id)
        limit = volumes.limits(self.cloud, project_id)
        if request.args.get("usage", "false").lower() in ("true", "1"):
            mine = self.store.list("volume", project_id=project_id)
            used = {"volumes": len(mine), "gigabytes": sum(v["size"] for v in mine)}
            limit = {
                name: {"limit": n, "in_use": used.get(name, 0), "reserved": 0, "allocated": 0}
                for name, n in limit.items()
            }
        return {"quota_set": {"id": project_id, **limit}}

    def default_quota(self, request, project_id):
        """Show the default quotas: those of a project whose quotas were never changed."""
        return {"quota_set": {"id": project_id, **volumes.QUOTAS}}

    def set_quota(self, request, project_id):
        """For administrators."""
        request.context.require_admin("volume_extension:quotas:update")
        number = {"type": ["integer", "string"], "pattern": "^-?[0-9]+$", "minimum": -1}
        body = schema.body_of(
            request, "quota_set", fields(**dict.fromkeys(volumes.QUOTAS, number), tenant_id=schema.TEXT)
        )
        body.pop("tenant_id", None)
        limits = {
            **volumes.limits(self.cloud, project_id),
            **{name: int(value) for name, value in body.items()},
        }
        with self.store.transaction():
            self.store.remove("volume_quota", project_id)
            self.store.add("volume_quota", {"id": project_id, "limits": limits})
        return {"quota_set": limits}

    def zones(self, request):
        """The one zone."""
        return {"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}}]}

    def services(self, request):
        """For administrators: one of each."""
        request.context.require_admin("volume_extension:services:index")
        return {
            "services": [
                {
                    "binary": binary,
                    "host": "minicloud",
                    "zone": "nova",
                    "status": "enabled",
                    "state": "up",
                    "updated_at": now() + ".000000",
                    "disabled_reason": None,
                }
                for binary in ("cinder-scheduler", "cinder-volume")
            ]
        }

    def pools(self, request):
        """For administrators: the one pool, the disk on which the state lies; sizes in GB."""
        request.context.require_admin("scheduler_extension:scheduler_stats:get_pools")
        disk = shutil.disk_usage(self.cloud.config.state_dir)
        pool = {"name": "minicloud@files#files"}
        if request.args.get("detail", "").lower() in ("true", "1"):
            pool["capabilities"] = {
                "volume_backend_name": "files",
                "storage_protocol": "file",
                "driver_version": "1",
                "total_capacity_gb": round(disk.total / 1024**3, 2),
                "free_capacity_gb": round(disk.free / 1024**3, 2),
                "provisioned_capacity_gb": sum(volume["size"] for volume in self.store.list("volume")),
                "reserved_percentage": 0,
            }
        return {"pools": [pool]}

    def extensions(self, request):
        """What Horizon asks for before it shows quotas."""
        names = (
            "os-quota-sets",
            "os-availability-zone",
            "os-extended-volumes",
            "os-services",
            "os-types-manage",
        )
        return {
            "extensions": [
                {
                    "alias": name,
                    "name": name,
                    "description": name,
                    "links": [],
                    "updated": "2013-01-01T00:00:00+00:00",
                }
                for name in names
            ]
        }

    def nothing(self, request, name):
        """There are none here."""
        return {name: []}
