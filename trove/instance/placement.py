"""Check, as the caller, the cloud resources that a request for an instance names, before a row is written.

Flavors are checked by ``trove.flavor.models.offered``.
"""
from trove.common import cached, exception, remote
from trove.common.cfg import CONF
from trove.network import base, requested
from trove.volume_type import models as volume_types


def check_access(access, manager):
    """Return the networks that may connect as a request says: sorted CIDRs, or None when it says nothing of them.

    access: the ``access`` object or None; manager: name of the datastore's option group. Raises BadValue, OverLimit,
    NotImplementedHere.
    """
    access = access or {}
    if access.get("is_public"):
        raise exception.NotImplementedHere(
            "instance.access.is_public: there are no public addresses in this cloud. Put the instance on a network "
            "that its clients reach (nics), and name them in allowed_cidrs.")
    cidrs = access.get("allowed_cidrs")
    return None if cidrs is None else base.checked_cidrs(cidrs, manager)


def _load_zones():
    return {zone.zoneName: bool(zone.zoneState.get("available"))
            for zone in remote.nova_client().availability_zones.list(detailed=False)}


_zones = cached.Cached("compute", _load_zones)


def _check_zone(name):
    """Refuse a zone that is not offered. Nova takes "zone:host" from administrators, so only whole names pass."""
    available = _zones.get(CONF.flavor_cache_time).get(name)
    if available is None:
        raise exception.NotFound(
            f"instance.availability_zone: there is no availability zone '{name}' that you can use.")
    if not available:
        raise exception.BadValue(field="instance.availability_zone", reason=f"the zone '{name}' is not available now.")


def _check_volume_type(name, project_id):
    try:
        volume_types.get_volume_type(name, project_id)
    except exception.NotFound:
        raise exception.NotFound(
            f"instance.volume.type: there is no volume type '{name}' that you can use.") from None


def check(context, token, spec):
    """Refuse what the caller may not use of the cloud. Returns the nics for Nova.

    token: the caller's; spec: ``instance.create.Spec``. Asks the cloud at most four times for all nics together, and,
    once in ``flavor_cache_time``, for zones, volume types and access to private types that are named.
    Raises NotFound, BadValue or Conflict naming the field, Unauthorized, ServiceUnavailable.
    """
    if spec.availability_zone:
        _check_zone(spec.availability_zone)
    if spec.volume_type:
        _check_volume_type(spec.volume_type, context.project_id)
    return requested.resolve(token, context.project_id, spec.nics)
