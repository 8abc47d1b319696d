"""The fakes of tests have the signatures of what they stand for."""
import inspect

from tests.fakes import guest
from trove.guestagent import api


def methods(cls):
    return {name: str(inspect.signature(function)) for name, function in inspect.getmembers(cls, inspect.isfunction)
            if not name.startswith("_")}


def test_the_fake_guest_has_the_signatures_of_the_client():
    real, fake = methods(api.API), methods(guest.Client)
    assert fake.items() <= real.items()
    assert len(fake) > 15
