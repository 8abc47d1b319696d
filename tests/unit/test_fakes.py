"""The fakes of tests have the signatures of what they stand for."""
import inspect

import pytest

from tests.fakes import agent, guest
from trove.guestagent import api


def commands(cls):
    return {name: str(inspect.signature(function)) for name, function in inspect.getmembers(cls, inspect.isfunction)
            if not name.startswith("_")}


@pytest.mark.parametrize(("fake", "least"), [(guest.Client, 15), (agent.FakeAgent, 3)])
def test_every_command_of_a_fake_guest_is_the_clients(fake, least):
    assert commands(fake).items() <= commands(api.API).items()
    assert len(commands(fake)) >= least
