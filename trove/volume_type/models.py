"""Cinder's volume types, kept for ``flavor_cache_time``.

Cinder is asked as the service user, once for all tenants. A private type is offered to the projects on its access list
only.
"""
from dataclasses import dataclass

from trove.common import cached, exception, remote
from trove.common.cfg import CONF


@dataclass(frozen=True)
class VolumeType:
    """A kind of volume. is_public: whether every project may use it."""

    id: str
    name: str
    is_public: bool
    description: str | None


def _load():
    return [VolumeType(each.id, each.name, each.is_public is True, getattr(each, "description", None))
            for each in remote.cinder_client().volume_types.list(is_public=None)]


_types = cached.Cached("volume", _load)
_access = cached.Access(
    "volume", lambda type_id: [entry.project_id for entry in remote.cinder_client().volume_type_access.list(type_id)])


def list_volume_types(project_id):
    """Return every volume type that the project may use.

    Raises ServiceUnavailable if Cinder does not answer and nothing is known. The first list after
    ``flavor_cache_time`` asks once for each private type.
    """
    return [each for each in _types.get(CONF.flavor_cache_time)
            if each.is_public or _access.allows(each.id, project_id, CONF.flavor_cache_time)]


def get_volume_type(id_or_name, project_id):
    """Return the type with that id, else with that name, among those of ``list_volume_types``.

    Raises NotFound, ServiceUnavailable.
    """
    found = list_volume_types(project_id)
    for key in ("id", "name"):
        for volume_type in found:
            if getattr(volume_type, key) == id_or_name:
                return volume_type
    raise exception.NotFound(resource="volume type", id=id_or_name)
