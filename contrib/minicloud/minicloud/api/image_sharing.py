"""Glance: the tags of an image, and the projects with which it is shared."""

from minicloud.api import image_schemas
from minicloud.api.schema import check
from minicloud.api.web import Fault, Route
from minicloud.store import now


class ImageSharing:
    """The handlers; ``image`` is the facade that finds images."""

    def __init__(self, image):
        self.image, self.store = image, image.store

    def routes(self):
        """The table of contents."""
        image = "/v2/images/<id>"
        return [
            Route("PUT", f"{image}/tags/<tag>", self.add_tag),
            Route("DELETE", f"{image}/tags/<tag>", self.remove_tag),
            Route("GET", f"{image}/members", self.members),
            Route("POST", f"{image}/members", self.add_member),
            Route("PUT", f"{image}/members/<member>", self.set_member),
            Route("DELETE", f"{image}/members/<member>", self.remove_member),
        ]

    def add_tag(self, request, id, tag):
        """204."""
        with self.store.transaction():
            tags = self.image.get(request, id, write=True)["tags"]
            self.store.change("image", id, tags=[*[t for t in tags if t != tag], tag])
        return 204, None

    def remove_tag(self, request, id, tag):
        """204, 404 when it has no such tag."""
        with self.store.transaction():
            tags = self.image.get(request, id, write=True)["tags"]
            if tag not in tags:
                raise Fault(404, "Tag not found.")
            self.store.change("image", id, tags=[t for t in tags if t != tag])
        return 204, None

    def _member(self, image, member):
        return {
            "image_id": image["id"],
            "member_id": member,
            "schema": "/v2/schemas/member",
            **image["members"][member],
        }

    def members(self, request, id):
        """Projects with which a shared image is shared."""
        image = self.image.get(request, id)
        return {
            "members": [self._member(image, member) for member in image["members"]],
            "schema": "/v2/schemas/members",
        }

    def add_member(self, request, id):
        """Share an image."""
        check(request.body, image_schemas.MEMBER)
        member, time = request.body["member"], now() + "Z"
        with self.store.transaction():
            image = self.image.get(request, id, write=True)
            if member in image["members"]:
                raise Fault(409, f"Image member {member} already exists for image {id}.")
            image["members"][member] = {"status": "pending", "created_at": time, "updated_at": time}
            self.store.change("image", id, members=image["members"])
        return self._member(image, member)

    def set_member(self, request, id, member):
        """The receiving project accepts or rejects."""
        check(request.body, image_schemas.MEMBER_STATUS)
        with self.store.transaction():
            image = self.image.get(request, id)
            if (
                member not in image["members"]
                or not request.context.is_admin
                and member != request.context.project_id
            ):
                raise Fault(404, f"No member {member} found for image {id}.")
            image["members"][member].update(status=request.body["status"], updated_at=now() + "Z")
            self.store.change("image", id, members=image["members"])
        return self._member(image, member)

    def remove_member(self, request, id, member):
        """204."""
        with self.store.transaction():
            image = self.image.get(request, id, write=True)
            if not image["members"].pop(member, None):
                raise Fault(404, f"No member {member} found for image {id}.")
            self.store.change("image", id, members=image["members"])
        return 204, None
