"""Nova's flavors, kept for ``flavor_cache_time`` so that requests do not wait for Nova.

Nova is asked as the service user, once for all tenants. A private flavor is offered to the projects on its access list
only.
"""
from dataclasses import dataclass

from trove.common import cached, exception
from trove.common.cfg import CONF
from trove.common.strategies import strategy

# An id that is not known makes us ask again, but not more often than this (seconds): clients look names up as ids.
_MISS_INTERVAL = 5.0


@dataclass(frozen=True)
class Flavor:
    """id: text, numeric in most clouds; ram: MB; disk, ephemeral: GB; is_public: whether every project may use it."""

    id: str
    name: str
    ram: int
    vcpus: int
    disk: int
    ephemeral: int
    is_public: bool = True


def _nova():
    return strategy.load(CONF.remote_nova_client, option="remote_nova_client")()


def _load():
    return {flavor.id: flavor for flavor in map(_from_nova, _nova().flavors.list(is_public=None))}


def _from_nova(flavor):
    return Flavor(id=str(flavor.id), name=flavor.name, ram=flavor.ram, vcpus=flavor.vcpus, disk=flavor.disk,
                  ephemeral=int(flavor.ephemeral or 0), is_public=flavor.is_public is True)


_flavors = cached.Cached("compute", _load)
_access = cached.Access(
    "compute", lambda flavor_id: [entry.tenant_id for entry in _nova().flavor_access.list(flavor=flavor_id)])


def _may_use(flavor, project_id):
    return flavor.is_public or _access.allows(flavor.id, project_id, CONF.flavor_cache_time)


def list_flavors(project_id):
    """Return every flavor that the project may use.

    Raises ServiceUnavailable if Nova does not answer and nothing is known. The first list after ``flavor_cache_time``
    asks once for each private flavor.
    """
    return [flavor for flavor in _flavors.get(CONF.flavor_cache_time).values() if _may_use(flavor, project_id)]


def get_flavor(flavor_id, project_id=None):
    """Return the flavor with that id (text or integer).

    project_id: of the tenant who names it, None for the product's own purposes. Raises NotFound, also if the project
    may not use it, and ServiceUnavailable as ``list_flavors`` does.
    """
    flavor_id = str(flavor_id)
    for max_age in (CONF.flavor_cache_time, min(_MISS_INTERVAL, CONF.flavor_cache_time)):
        flavor = _flavors.get(max_age).get(flavor_id)
        if flavor and (project_id is None or _may_use(flavor, project_id)):
            return flavor
    raise exception.NotFound(resource="flavor", id=flavor_id)


def offered(flavor_id, project_id, bound, settings, field):
    """Return the flavor with that id if an instance of the project may have it; ``field`` of the request names it.

    bound: ids of the flavors of the datastore version, none for all; settings: the datastore's options.
    Raises BadValue, and ServiceUnavailable as ``list_flavors`` does.
    """
    try:
        flavor = get_flavor(flavor_id, project_id)
    except exception.NotFound:
        raise exception.BadValue(field=field, reason=f"there is no flavor '{flavor_id}' that you can use.") from None
    if bound and flavor.id not in bound:
        raise exception.BadValue(field=field, reason=f"flavor '{flavor.id}' is not offered for this datastore version.")
    if not (CONF.trove_volume_support and settings.volume_support) and settings.device_path and not flavor.ephemeral:
        raise exception.BadValue(field=field,
                                 reason=f"flavor '{flavor.id}' has no ephemeral disk, which this datastore needs.")
    return flavor
