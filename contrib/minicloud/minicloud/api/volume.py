"""Cinder v3 (and v2): routes, checks and views of volumes and their types; volumes.py knows what happens to them."""

import functools

from minicloud.api import schema, volumes
from minicloud.api.metadata import Metadata
from minicloud.api.microversion import Microversions, text
from minicloud.api.schema import fields
from minicloud.api.volume_misc import VolumeMisc
from minicloud.api.web import Fault, Route, Service, next_link, page, reply, sort
from minicloud.store import now

_SORT_KEYS = ("id", "name", "status", "size", "created_at", "updated_at", "display_name")
_SIZE = {"type": ["integer", "string"], "pattern": "^[0-9]+$", "minimum": 1}
_NULL = {"type": "null"}
_CREATE = fields(
    ("size",),
    size=_SIZE,
    name=schema.TEXT,
    display_name=schema.TEXT,
    description=schema.TEXT,
    display_description=schema.TEXT,
    volume_type=schema.TEXT,
    metadata={"anyOf": [schema.METADATA, _NULL]},
    availability_zone=schema.TEXT,
    multiattach=schema.BOOLEAN,
    imageRef=_NULL,
    image_id=_NULL,
    snapshot_id=_NULL,
    source_volid=_NULL,
    source_replica=_NULL,
    consistencygroup_id=_NULL,
    group_id=_NULL,
    backup_id=_NULL,
    project_id=schema.TEXT,
    user_id=schema.TEXT,
    attach_status=schema.TEXT,
    status=schema.TEXT,
)
_STATUSES = (
    "creating",
    "available",
    "deleting",
    "error",
    "error_deleting",
    "attaching",
    "detaching",
    "in-use",
    "maintenance",
    "extending",
    "error_extending",
)
BODY_ACTIONS = {
    "os-extend": fields(("new_size",), new_size=_SIZE),
    "os-reset_status": fields(
        status={"enum": list(_STATUSES)}, attach_status=schema.TEXT, migration_status=schema.TEXT
    ),
    "os-force_delete": {"type": ["object", "null"]},
    "os-set_bootable": fields(("bootable",), bootable=schema.BOOLEAN),
    "os-update_readonly_flag": fields(("readonly",), readonly=schema.BOOLEAN),
}


class Volume(Service):
    """GET /volume/v3/<project>/volumes ..."""

    prefix = "/volume"
    project_in_path = True
    versions = Microversions("volume", (3, 0), (3, 42))

    def __init__(self, cloud):
        self.misc = VolumeMisc(cloud)
        super().__init__(cloud)

    def routes(self):
        """The table of contents: each path under /v3 and /v2."""
        result = [Route("GET", "/", self.show_versions, public=True)]
        for version in ("/v3", "/v2"):
            result.append(
                Route("GET", version, functools.partial(self.show_versions, only=version[1:]), public=True)
            )
            result += [Route(methods, version + path, handler) for methods, path, handler in self._table()]
        return result

    def _table(self):
        volume = "/volumes/<id>"
        return [
            ("POST", "/volumes", self.create),
            ("GET", "/volumes", self.list),
            ("GET", "/volumes/detail", functools.partial(self.list, detail=True)),
            ("GET", "/volumes/summary", self.summary),
            ("GET", volume, self.show),
            ("PUT", volume, self.update),
            ("DELETE", volume, self.delete),
            ("POST", f"{volume}/action", self.action),
            *Metadata(self.store, self._get, functools.partial(self.store.change, "volume"), 200).table(
                volume
            ),
            *self.misc.table(),
        ]

    def negotiate(self, request):
        """Microversions exist in v3 only."""
        if request.path.startswith("/volume/v3"):
            request.version = self.versions.choose(request)

    def finish(self, request, response):
        """Request id under both of its names, and the microversion."""
        super().finish(request, response)
        response.headers["x-compute-request-id"] = request.request_id
        if request.version:
            self.versions.stamp(request, response)

    def fault(self, fault):
        """``{"badRequest": {"code": 400, "message": ...}}``; 401 as the token middleware answers it."""
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
            500: "computeFault",
            503: "serviceUnavailable",
        }
        return reply(
            {names.get(fault.code, "computeFault"): {"code": fault.code, "message": fault.message}},
            fault.code,
            fault.headers,
        )

    def show_versions(self, request, only=None):
        """The version documents: 300 at the root, 200 (still a list) at a version."""
        found = [
            {
                "id": "v2.0",
                "status": "DEPRECATED",
                "version": "",
                "min_version": "",
                "updated": "2017-02-25T12:00:00Z",
                "links": [{"rel": "self", "href": f"{self.cloud.config.url('volume')}/v2/"}],
                "media-types": [],
            },
            {
                "id": "v3.0",
                "status": "CURRENT",
                "version": text(self.versions.maximum),
                "min_version": text(self.versions.minimum),
                "updated": "2020-03-17T00:00:00Z",
                "media-types": [],
                "links": [{"rel": "self", "href": f"{self.cloud.config.url('volume')}/v3/"}],
            },
        ]
        return 200 if only else 300, {"versions": [v for v in found if not only or v["id"].startswith(only)]}

    # Volumes

    def _get(self, request, id):
        volume = self.store.find("volume", id)
        if not volume or not request.context.owns(volume):
            raise Fault(404, f"Volume {id} could not be found.")
        return volume

    def _view(self, request, volume, detail=True):
        version = "v3" if request.path.startswith("/volume/v3") else "v2"
        base = self.cloud.config.url("volume")
        shown = {
            "id": volume["id"],
            "name": volume["name"],
            "links": [
                {"rel": "self", "href": f"{base}/{version}/{volume['project_id']}/volumes/{volume['id']}"},
                {"rel": "bookmark", "href": f"{base}/{volume['project_id']}/volumes/{volume['id']}"},
            ],
        }
        if not detail:
            return shown
        attached = [a for a in volume["attachments"] if volume["status"] not in ("attaching",)]
        shown.update(
            {
                key: volume[key]
                for key in (
                    "status",
                    "size",
                    "description",
                    "volume_type",
                    "availability_zone",
                    "created_at",
                    "updated_at",
                    "user_id",
                )
            }
        )
        shown.update(
            metadata={**volume["metadata"], **({"readonly": "True"} if volume["readonly"] else {})},
            attachments=attached,
            bootable=str(volume["bootable"]).lower(),
            snapshot_id=None,
            source_volid=None,
            encrypted=False,
            multiattach=False,
            consistencygroup_id=None,
            replication_status=None,
            migration_status=None,
        )
        shown["os-vol-tenant-attr:tenant_id"] = volume["project_id"]
        if request.context.is_admin:
            shown.update(
                {
                    "os-vol-host-attr:host": "minicloud@lvmdriver-1#lvmdriver-1",
                    "os-vol-mig-status-attr:migstat": None,
                    "os-vol-mig-status-attr:name_id": None,
                }
            )
        if request.version and request.version >= (3, 13):
            shown["group_id"] = None
        if request.version and request.version >= (3, 21):
            shown["provider_id"] = None
        return shown

    def create(self, request):
        """202: accepted."""
        body = dict(request.body)
        body.pop("OS-SCH-HNT:scheduler_hints", None)
        schema.check(body, fields(("volume",), volume=_CREATE))
        body = body["volume"]
        if schema.is_true(body.get("multiattach")):
            raise Fault(400, "Invalid input received: multiattach is not supported by the back end.")
        size = int(body["size"])
        if not 1 <= size <= volumes.MAX_SIZE_GB:
            raise Fault(
                400,
                f"Invalid input received: Volume size '{size}' must be an integer from 1 to {volumes.MAX_SIZE_GB}",
            )
        if body.get("availability_zone") not in (None, "", "nova"):
            raise Fault(
                400, f"Invalid input received: Availability zone '{body['availability_zone']}' is invalid."
            )
        volume_type = (
            self.misc.type(request.context, body["volume_type"])
            if body.get("volume_type")
            else self.store.list("volume_type")[0]
        )
        volume = volumes.create(
            self.cloud,
            request.context,
            size,
            name=body.get("name") or body.get("display_name"),
            description=body.get("description") or body.get("display_description"),
            volume_type=volume_type["name"],
            metadata=body.get("metadata") or {},
        )
        return 202, {"volume": self._view(request, volume)}

    def list(self, request, detail=False):
        """The tenant's; with all_tenants an administrator's view of everybody's."""
        everybody = request.context.is_admin and request.flag("all_tenants")
        project = request.args.get("project_id") if everybody else request.context.project_id
        found = self.store.list("volume", project_id=project)
        for name in ("name", "status", "id", "size", "volume_type", "availability_zone", "user_id"):
            if name in request.args:
                found = [v for v in found if str(v[name]) == request.args[name]]
        if "display_name" in request.args:
            found = [v for v in found if v["name"] == request.args["display_name"]]
        if "bootable" in request.args:
            found = [v for v in found if v["bootable"] == request.flag("bootable")]
        for key, value in _pairs(request.args.get("metadata")):
            found = [v for v in found if v["metadata"].get(key) == value]
        found = sort(request, found, _SORT_KEYS)
        offset = request.number("offset", 0)
        shown, following = page(request, found[offset:])
        return {
            "volumes": [self._view(request, volume, detail) for volume in shown],
            **next_link(request, following, "volumes", self.cloud.config.root("volume"), request.path),
        }

    def summary(self, request):
        """Number and size of the tenant's volumes."""
        mine = self.store.list("volume", project_id=request.context.project_id)
        return {
            "volume-summary": {
                "total_count": len(mine),
                "total_size": sum(v["size"] for v in mine),
                "metadata": {},
            }
        }

    def show(self, request, id):
        """200 with one."""
        return {"volume": self._view(request, self._get(request, id))}

    def update(self, request, id):
        """Name, description and metadata."""
        body = schema.body_of(
            request,
            "volume",
            fields(
                name=schema.TEXT,
                description=schema.TEXT,
                display_name=schema.TEXT,
                display_description=schema.TEXT,
                metadata=schema.METADATA,
            ),
        )
        self._get(request, id)
        changes = {name.removeprefix("display_"): value for name, value in body.items()}
        volume = self.store.change("volume", id, **changes, updated_at=now() + ".000000")
        return {"volume": self._view(request, volume)}

    def delete(self, request, id):
        """202: accepted."""
        self._get(request, id)
        force = request.flag("force") if "force" in request.args else False
        if force:
            request.context.require_admin("volume:force_delete")
        volumes.delete(self.cloud, id, force)
        return 202, None

    def action(self, request, id):
        """One member of the body names what to do."""
        body = request.body
        if len(body) != 1 or next(iter(body)) not in BODY_ACTIONS:
            raise Fault(400, f"There is no such action: {', '.join(body) or 'none'}")
        volume = self._get(request, id)
        ((name, arguments),) = body.items()
        schema.check(arguments, BODY_ACTIONS[name])
        if name == "os-extend":
            if volume["status"] == "in-use" and not (request.version and request.version >= (3, 42)):
                raise Fault(
                    400,
                    f"Invalid volume: Volume {id} status must be available to extend, but current status is: in-use.",
                )
            volumes.extend(self.cloud, id, int(arguments["new_size"]))
        elif name == "os-reset_status":
            request.context.require_admin("volume_extension:volume_admin_actions:reset_status")
            detached = {"attachments": []} if arguments.get("attach_status") == "detached" else {}
            if "status" in arguments:
                detached["status"] = arguments["status"]
            self.store.change("volume", id, **detached)
        elif name == "os-force_delete":
            request.context.require_admin("volume_extension:volume_admin_actions:force_delete")
            volumes.delete(self.cloud, id, force=True)
        elif name == "os-set_bootable":
            self.store.change("volume", id, bootable=schema.is_true(arguments["bootable"]))
            return 200, None
        else:
            volumes.move(
                self.cloud, id, ("available",), "available", readonly=schema.is_true(arguments["readonly"])
            )
        return 202, None


def _pairs(text):
    """The items of a metadata filter as Cinder's clients write it: ``{'key': 'value'}``."""
    if not text:
        return []
    inner = text.strip().removeprefix("{").removesuffix("}")
    pairs = (part.partition(":") for part in inner.split(",") if part.strip())
    return [(key.strip(" u'\""), value.strip(" u'\"")) for key, _, value in pairs]
