"""The agent tells the end of a command that somebody is to be notified of, and nothing of others."""
import pytest

from trove import rpc
from trove.common import exception
from trove.conductor import api as conductor_api
from trove.guestagent.common import telling

ORIGIN = {"request_id": "req-1", "trace": None, "notification": {"event": "e", "payload": {}}, "until": 1, "seal": "s"}


@pytest.fixture
def sent(conf, monkeypatch):
    """[(origin, method, arguments)]; ``broken`` makes the bus refuse."""
    conf.set_override("guest_id", "i-1")

    class Sent(list):
        broken = False
    sent = Sent()

    class Conductor:
        def __init__(self, context):
            self.context = context

        def __getattr__(self, method):
            def call(*arguments):
                if sent.broken:
                    raise rpc.DeliveryFailure("no broker")
                sent.append((self.context.origin, method, arguments))
            return call
    monkeypatch.setattr(conductor_api, "API", Conductor)
    return sent


def test_the_end(sent):
    with telling.command({"origin": ORIGIN}, "create_database"):
        pass
    assert sent == [(ORIGIN, "notify_end", ("i-1",))]


@pytest.mark.parametrize(("error", "message", "name"), [
    (exception.NotFound("There is none."), "There is none.", "NotFound"),
    (ZeroDivisionError("a secret"), "An unexpected error occurred (ZeroDivisionError); the log says more.",
     "ZeroDivisionError")])
def test_a_failure(sent, error, message, name):
    with pytest.raises(type(error)), telling.command({"origin": ORIGIN}, "create_database"):
        raise error
    assert sent == [(ORIGIN, "notify_exc_info", ("i-1", message, name))]


@pytest.mark.parametrize("context", [{}, {"origin": None}, {"origin": {**ORIGIN, "notification": None}}])
def test_nothing_is_told_of_other_commands(sent, context):
    with telling.command(context, "create_database"):
        pass
    assert sent == []


def test_a_dead_bus_fails_no_command(sent):
    sent.broken = True
    with telling.command({"origin": ORIGIN}, "create_database"):
        pass
