"""Glance v2: images with their files, properties, tags and members.

Properties of our own: ``minicloud_base`` (this file is one layer on the image with that id), and for administrators
``minicloud_binds`` (JSON list of {"source", "target"}) and ``minicloud_file`` (absolute path of a file, used there).
"""

import hashlib
import json
import os
import re
from pathlib import Path

from werkzeug.wsgi import FileWrapper

from minicloud.api import image_schemas, images
from minicloud.api.image_sharing import ImageSharing
from minicloud.api.schema import check
from minicloud.api.web import Fault, Response, Route, Service, page, reply, sort
from minicloud.store import new_id, now

BLOCK = 1 << 20
ADMIN_PROPERTIES = ("minicloud_file", "minicloud_binds")
_SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
_FILTERS = ("name", "status", "container_format", "disk_format", "owner", "id")
_UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)


class Image(Service):
    """GET /image/v2/images ..."""

    prefix = "/image"

    def routes(self):
        """The table of contents."""
        image = "/v2/images/<id>"
        return [
            Route("GET", "/", self.versions, public=True),
            Route("GET", "/versions", self.versions, public=True),
            Route("GET", "/v2", self.versions, public=True),
            Route("GET", "/v2/schemas/<name>", self.schema),
            Route("POST", "/v2/images", self.create),
            Route("GET", "/v2/images", self.list),
            Route("GET", image, self.show),
            Route("PATCH", image, self.patch),
            Route("DELETE", image, self.delete),
            Route("PUT", f"{image}/file", self.upload),
            Route("GET", f"{image}/file", self.download),
            *ImageSharing(self).routes(),
        ]

    def fault(self, fault):
        """Glance answers errors in HTML."""
        text = fault.message.replace("&", "&amp;").replace("<", "&lt;")
        html = (
            f"<html>\n <head>\n  <title>{fault.code} {fault.title}</title>\n </head>\n <body>\n  <h1>{fault.code} "
            f"{fault.title}</h1>\n  {text}<br /><br />\n\n\n </body>\n</html>"
        )
        return Response(
            html, status=fault.code, headers=fault.headers, content_type="text/html; charset=UTF-8"
        )

    def versions(self, request):
        """The versions, as Glance does with 300."""
        href = f"{self.cloud.config.url('image')}/v2/"
        found = [
            {
                "id": f"v2.{minor}",
                "status": "CURRENT" if minor == 9 else "SUPPORTED",
                "links": [{"rel": "self", "href": href}],
            }
            for minor in (9, 7, 6, 5, 4, 3, 2, 1, 0)
        ]
        return 300, {"versions": found}

    def schema(self, request, name):
        """What clients read to know the members of an image."""
        if name not in image_schemas.SCHEMAS:
            raise Fault(404, "The resource could not be found.")
        return image_schemas.SCHEMAS[name]

    def _view(self, image):
        own = {
            key: image[key]
            for key in (
                "id",
                "name",
                "status",
                "visibility",
                "container_format",
                "disk_format",
                "min_disk",
                "min_ram",
                "size",
                "checksum",
                "os_hash_algo",
                "os_hash_value",
                "protected",
                "tags",
                "created_at",
                "updated_at",
            )
        }
        path = f"/v2/images/{image['id']}"
        return {
            **image["properties"],
            **own,
            "owner": image["project_id"],
            "os_hidden": False,
            "virtual_size": None,
            "self": path,
            "file": f"{path}/file",
            "schema": "/v2/schemas/image",
        }

    def get(self, request, id, write=False):
        """The image, if the tenant may see (or, with ``write``, change) it. :raises Fault: 404, 403"""
        image = self.store.find("image", id)
        if not image or not images.visible(request.context, image):
            raise Fault(404, f"No image found with ID {id}")
        if write and not request.context.owns(image):
            raise Fault(403, "You are not authorized to complete this action.")
        return image

    def create(self, request):
        """201: an image without data, or an active one when ``minicloud_file`` names it."""
        body = request.body
        check(body, image_schemas.BODY)
        id = body.pop("id", None) or new_id()
        if not _UUID.match(id):
            raise Fault(400, f"Invalid image id format: '{id}'.")
        if self.store.find("image", id):
            raise Fault(409, f"Image ID {id} already exists!")
        members = {name: body.pop(name) for name in list(body) if name in image_schemas.BASE}
        owner = members.pop("owner", None)
        if owner not in (None, request.context.project_id):
            request.context.require_admin("add_image")
        time = now() + "Z"
        image = {
            "id": id,
            "name": None,
            "visibility": "shared",
            "container_format": None,
            "disk_format": None,
            "min_disk": 0,
            "min_ram": 0,
            "protected": False,
            "tags": [],
            **members,
            "project_id": owner or request.context.project_id,
            "status": "queued",
            "size": None,
            "checksum": None,
            "os_hash_algo": None,
            "os_hash_value": None,
            "members": {},
            "properties": {},
            "created_at": time,
            "updated_at": time,
        }
        if image["visibility"] == "public":
            request.context.require_admin("publicize_image")
        self._set_properties(request, image, body)
        self.store.add("image", image)
        return reply(
            self._view(image), 201, {"Location": f"{self.cloud.config.url('image')}/v2/images/{id}"}
        )

    def _set_properties(self, request, image, properties):
        for name, value in properties.items():
            if not isinstance(value, str):
                raise Fault(400, f"Property {name} must be a string.")
            if name in ADMIN_PROPERTIES:
                request.context.require_admin(f"set_image_property {name}")
            if name == "minicloud_base":
                self._check_base(request, value)
            if name == "minicloud_binds":
                _check_binds(value)
            if name == "minicloud_file":
                if not Path(value).is_absolute() or not Path(value).is_file():
                    raise Fault(400, f"Property minicloud_file: {value} must be the absolute path of a file.")
                with open(value, "rb") as file:
                    image.update(_digest(file.read), status="active", minicloud_file=value)
                image["container_format"] = image["container_format"] or "bare"
                image["disk_format"] = image["disk_format"] or "raw"
            image["properties"][name] = value

    def _check_base(self, request, id):
        base = self.store.find("image", id)
        if not base or not images.visible(request.context, base):
            raise Fault(400, f"Property minicloud_base: {id} must be the id of an image that you can see.")

    def list(self, request):
        """All that the tenant may see and that equal the filters."""
        found = [
            i
            for i in self.store.list("image")
            if images.visible(request.context, i) and self._matches(request, i)
        ]
        found = sort(request, found, _SORT_KEYS)
        shown, following = page(request, found)
        body = {
            "images": [self._view(image) for image in shown],
            "first": "/v2/images",
            "schema": "/v2/schemas/images",
        }
        if following:
            body["next"] = f"/v2/images?{following}"
        return body

    def _matches(self, request, image):
        for name, wanted in request.args.items():
            if name in ("marker", "limit", "sort", "sort_key", "sort_dir", "os_hidden", "member_status"):
                continue
            if name == "tag":
                if not set(request.args.getlist("tag")) <= set(image["tags"]):
                    return False
            elif name == "visibility":
                if wanted != "all" and image["visibility"] != wanted:
                    return False
            elif name == "protected":
                if image["protected"] != request.flag("protected"):
                    return False
            elif name in ("size_min", "size_max"):
                size = image["size"] or 0
                if size < request.number("size_min", 0) or size > request.number("size_max", 1 << 60):
                    return False
            else:
                value = (
                    image["project_id"]
                    if name == "owner"
                    else image.get(name)
                    if name in _FILTERS
                    else image["properties"].get(name)
                )
                choices = wanted[3:].split(",") if wanted.startswith("in:") else [wanted]
                if value not in choices:
                    return False
        return True

    def show(self, request, id):
        """200 with one."""
        return self._view(self.get(request, id))

    def patch(self, request, id):
        """JSON patch of one level: add, replace and remove."""
        if "json-patch" not in (request.content_type or ""):
            raise Fault(415, "Unsupported Content-Type: use application/openstack-images-v2.1-json-patch.")
        try:
            changes = json.loads(request.text)
        except ValueError as error:
            raise Fault(400, "The request body is not valid JSON.") from error
        check(changes, image_schemas.PATCH)
        with self.store.transaction():
            image = self.get(request, id, write=True)
            for change in changes:
                self._apply(request, image, change)
            self.store.change("image", id, **{**image, "updated_at": now() + "Z"})
        return self._view(self.store.get("image", id))

    def _apply(self, request, image, change):
        name = change["path"].lstrip("/").replace("~1", "/").replace("~0", "~")
        if name in image_schemas.READ_ONLY:
            raise Fault(403, f"Attribute '{name}' is read-only.")
        if change["op"] == "remove":
            if name in image_schemas.BASE:
                raise Fault(403, f"Property {name} may not be removed.")
            if name not in image["properties"]:
                raise Fault(409, f"Property {name} does not exist.")
            del image["properties"][name]
        elif name in image_schemas.BASE:
            check({name: change.get("value")}, image_schemas.BODY)
            if name == "owner" or (name, change["value"]) == ("visibility", "public"):
                request.context.require_admin("publicize_image")
            image["project_id" if name == "owner" else name] = change["value"]
        else:
            self._set_properties(request, image, {name: change.get("value")})

    def delete(self, request, id):
        """204, 403 when protected, 409 while a layer of another image."""
        with self.store.transaction():
            image = self.get(request, id, write=True)
            if image["protected"]:
                raise Fault(403, f"Image {id} is protected and cannot be deleted.")
            if any(other["properties"].get("minicloud_base") == id for other in self.store.list("image")):
                raise Fault(
                    409,
                    f"Image {id} could not be deleted because it is in use: other images are based on it.",
                )
            self.store.remove("image", id)
        (self.cloud.config.state_dir / "images" / id).unlink(missing_ok=True)
        return 204, None

    def upload(self, request, id):
        """204: the data of a queued image. It becomes visible whole or not at all."""
        if request.mimetype != "application/octet-stream":
            raise Fault(415, "Unsupported Content-Type: use application/octet-stream.")
        with self.store.transaction():
            image = self.get(request, id, write=True)
            if image["status"] != "queued":
                raise Fault(409, f"Image status transition from {image['status']} to saving is not allowed")
            if not image["container_format"] or not image["disk_format"]:
                raise Fault(400, "Properties disk_format, container_format must be set prior to saving data.")
            self.store.change("image", id, status="saving")
        path = self.cloud.config.state_dir / "images" / id
        part = path.with_suffix(".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(part, "wb") as file:
                facts = _digest(request.stream.read, file.write)
                if request.content_length not in (None, facts["size"]):
                    raise Fault(400, "The upload ended before its Content-Length.")
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            self.store.change("image", id, **facts, status="active", updated_at=now() + "Z")
        except BaseException as error:
            part.unlink(missing_ok=True)
            if self.store.find("image", id):
                self.store.change("image", id, status="queued")
            if isinstance(error, OSError):
                raise Fault(413, f"There is not enough room for the image: {error.strerror}.") from error
            raise
        return 204, None

    def download(self, request, id):
        """200 with the data, 204 when there is none yet."""
        image = self.get(request, id)
        if image["status"] != "active":
            return 204, None
        file = open(images.path_of(self.cloud, image), "rb")  # noqa: SIM115 - closed with the response
        response = Response(
            FileWrapper(file, BLOCK), content_type="application/octet-stream", direct_passthrough=True
        )
        response.content_length = image["size"]
        response.headers["Content-MD5"] = image["checksum"]
        return response


def _check_binds(value):
    try:
        binds = json.loads(value)
    except ValueError:
        binds = None
    if not isinstance(binds, list) or not all(
        isinstance(bind, dict)
        and set(bind) == {"source", "target"}
        and all(isinstance(path, str) and Path(path).is_absolute() for path in bind.values())
        for bind in binds
    ):
        raise Fault(
            400, 'Property minicloud_binds must be a JSON list of {"source", "target"} with absolute paths.'
        )


def _digest(read, write=lambda block: None):
    """Size and hashes of what ``read`` delivers, handed on to ``write`` block by block."""
    md5, sha512, size = hashlib.md5(usedforsecurity=False), hashlib.sha512(), 0
    while block := read(BLOCK):
        md5.update(block)
        sha512.update(block)
        size += len(block)
        write(block)
    return {
        "size": size,
        "checksum": md5.hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": sha512.hexdigest(),
    }
