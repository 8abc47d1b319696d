"""Whether the image of a datastore version is there: asked of Glance before a version is made or changed."""
from trove.common import exception, remote


def find_image(image_id, tags=()):
    """The id of an image that servers can be made from: the one named, else the newest with all the tags.

    Raises BadValue when there is none, ServiceUnavailable when Glance does not tell.
    """
    glance = remote.glance_client()
    with remote.answering("image"):
        if image_id:
            try:
                image = glance.images.get(image_id)
            except Exception as error:
                if not remote.is_missing(error):
                    raise
                raise exception.BadValue(field="image", reason=f"there is no image '{image_id}'.") from None
        else:
            found = glance.images.list(filters={"tag": list(tags), "status": "active"}, sort="created_at:desc", limit=1)
            image = next(iter(found), None)
            if image is None:
                raise exception.BadValue(field="image_tags", reason="no active image has these tags.")
    if image["status"] != "active":
        raise exception.BadValue(field="image", reason=f"the image '{image_id}' is {image['status']}, not active.")
    return image["id"]
