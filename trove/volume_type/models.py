"""Cinder's volume types. They are few and asked for when a form is opened, so nothing is kept."""
from dataclasses import dataclass

from trove.common import exception, remote


@dataclass(frozen=True)
class VolumeType:
    """A kind of volume."""

    id: str
    name: str
    is_public: bool
    description: str | None


def list_volume_types():
    """Every public volume type. Raises ServiceUnavailable when Cinder does not tell."""
    cinder = remote.cinder_client()
    with remote.answering("volume"):
        found = cinder.volume_types.list()
    return [VolumeType(each.id, each.name, getattr(each, "is_public", True), getattr(each, "description", None))
            for each in found]


def get_volume_type(id_or_name):
    """The type with that id, else with that name. Raises NotFound, ServiceUnavailable."""
    found = list_volume_types()
    for key in ("id", "name"):
        for volume_type in found:
            if getattr(volume_type, key) == id_or_name:
                return volume_type
    raise exception.NotFound(resource="volume type", id=id_or_name)
