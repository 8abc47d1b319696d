"""Clients of a Nova and a Cinder that know only flavors, zones, volume types and who may use the private ones.

For tests of the API: the factories are named by ``remote_nova_client`` and ``remote_cinder_client``. The tenant of a
private thing is ``tenant-a``.
"""
import types

FLAVORS = (
    {"id": "1", "name": "db.tiny", "ram": 512, "vcpus": 1, "disk": 5, "ephemeral": 0},
    {"id": "2", "name": "db.small", "ram": 2048, "vcpus": 1, "disk": 20, "ephemeral": 0},
    {"id": "10", "name": "db.local", "ram": 4096, "vcpus": 2, "disk": 20, "ephemeral": 40},
    {"id": "m1.db", "name": "db.dotted", "ram": 8192, "vcpus": 4, "disk": 40, "ephemeral": 0},
    {"id": "p1", "name": "db.private", "ram": 4096, "vcpus": 1, "disk": 5, "ephemeral": 0, "is_public": False},
)
VOLUME_TYPES = ({"id": "type-1", "name": "fast", "is_public": True, "description": None},
                {"id": "type-2", "name": "secret/type", "is_public": False, "description": None})
ZONES = {"nova": True, "broken": False}
OWNER = "tenant-a"


class Cloud:
    """What the tests steer: ``failure`` is an exception that every call raises, ``calls`` is what was asked."""

    failure = None
    calls = []

    @classmethod
    def reset(cls):
        """A cloud in good order that was asked nothing."""
        cls.failure = None
        cls.calls = []

    @classmethod
    def call(cls, name):
        """Note a call, or fail."""
        cls.calls.append(name)
        if cls.failure is not None:
            raise cls.failure


class _Flavors:
    def list(self, is_public=True):
        Cloud.call("flavors.list")
        return [types.SimpleNamespace(**{"is_public": True, **values}) for values in FLAVORS
                if is_public is None or values.get("is_public", True) == is_public]


class _FlavorAccess:
    def list(self, flavor):
        Cloud.call(f"flavor_access.list {flavor}")
        return [types.SimpleNamespace(flavor_id=flavor, tenant_id=OWNER)]


class _Zones:
    def list(self, detailed=True):
        Cloud.call(f"availability_zones.list {detailed}")
        return [types.SimpleNamespace(zoneName=name, zoneState={"available": up}) for name, up in ZONES.items()]


class _Types:
    def list(self, is_public=None):
        Cloud.call("volume_types.list")
        return [types.SimpleNamespace(**values) for values in VOLUME_TYPES]


class _TypeAccess:
    def list(self, volume_type):
        Cloud.call(f"volume_type_access.list {volume_type}")
        return [types.SimpleNamespace(volume_type_id=volume_type, project_id=OWNER)]


def nova_client():
    """The client of Nova."""
    return types.SimpleNamespace(flavors=_Flavors(), flavor_access=_FlavorAccess(), availability_zones=_Zones())


def cinder_client():
    """The client of Cinder."""
    return types.SimpleNamespace(volume_types=_Types(), volume_type_access=_TypeAccess())
