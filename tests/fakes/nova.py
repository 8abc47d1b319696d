"""A Nova client that only knows flavors, for tests of the API: the factory is named by ``remote_nova_client``."""
import types

FLAVORS = (
    {"id": "1", "name": "db.tiny", "ram": 512, "vcpus": 1, "disk": 5, "ephemeral": 0},
    {"id": "2", "name": "db.small", "ram": 2048, "vcpus": 1, "disk": 20, "ephemeral": 0},
    {"id": "10", "name": "db.local", "ram": 4096, "vcpus": 2, "disk": 20, "ephemeral": 40},
    {"id": "m1.db", "name": "db.dotted", "ram": 8192, "vcpus": 4, "disk": 40, "ephemeral": 0},
)


class Cloud:
    """What the tests steer: ``failure`` is an exception that every call raises, ``calls`` is what was asked."""

    failure = None
    calls = []

    @classmethod
    def reset(cls):
        """A cloud in good order that was asked nothing."""
        cls.failure = None
        cls.calls = []


class _Flavors:
    def list(self):
        Cloud.calls.append("flavors.list")
        if Cloud.failure is not None:
            raise Cloud.failure
        return [types.SimpleNamespace(**values) for values in FLAVORS]


def nova_client():
    """The client."""
    return types.SimpleNamespace(flavors=_Flavors())
