"""What an image is to the host: a chain of squashfs files and some bind mounts. Called when a server is created."""

import json

from minicloud.api.web import Fault

MAX_LAYERS = 16


def recover(cloud):
    """At the start of the service: uploads that were cut off have left images that wait for their data again."""
    for image in cloud.store.list("image", status="saving"):
        cloud.store.change("image", image["id"], status="queued")
    for part in (cloud.config.state_dir / "images").glob("*.part"):
        part.unlink()


def path_of(cloud, image):
    """The file of an image: its own upload, or the one that an administrator named."""
    return image.get("minicloud_file") or str(cloud.config.state_dir / "images" / image["id"])


def layers(cloud, image):
    """The files of an image and of those it is based on, lowest first, and their read-only bind mounts.

    :returns: (paths, [{"source", "target"}])
    :raises Fault: 400 when a base is missing, not active, or the chain does not end.
    """
    paths, binds = [], []
    while image:
        if len(paths) == MAX_LAYERS:
            raise Fault(
                400, f"Image {image['id']}: the chain of minicloud_base has more than {MAX_LAYERS} images."
            )
        if image["status"] != "active":
            raise Fault(400, f"Image {image['id']} is not active.")
        paths.insert(0, path_of(cloud, image))
        binds = json.loads(image["properties"].get("minicloud_binds", "[]")) + binds
        base = image["properties"].get("minicloud_base")
        if base and not cloud.store.find("image", base):
            raise Fault(400, f"Image {image['id']}: its base image {base} (minicloud_base) does not exist.")
        image = base and cloud.store.get("image", base)
    return paths, binds


def visible(context, image):
    """Whether a tenant may see (and use) an image."""
    return (
        context.owns(image)
        or image["visibility"] in ("public", "community")
        or context.project_id in image["members"]
    )
