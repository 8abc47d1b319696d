"""The fake agent takes what the real client takes."""
import inspect

from tests.fakes import agent
from trove.guestagent import api


def test_every_command_of_the_fake_has_the_signature_of_the_real_one():
    commands = [name for name in vars(agent.FakeAgent) if not name.startswith("_")]
    assert commands
    for name in commands:
        assert inspect.signature(getattr(agent.FakeAgent, name)) == inspect.signature(getattr(api.API, name)), name
