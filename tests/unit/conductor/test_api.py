"""What a guest reports: signed so that the conductor believes it, over the library's in-process bus."""
import time
import types
from contextlib import nullcontext

import pytest

from tests.waiting import wait_until
from trove import rpc
from trove.common import crypto, envelope
from trove.conductor import api


class Conductor:
    """Takes what arrives and notes whether its proof fits instance i-1."""

    def __init__(self):
        self.genuine = []

    def _note(self, method, sent, proof, **args):
        envelope.verify(crypto.guest_key("i-1"), method, args, sent, proof)
        self.genuine.append((method, args))

    @rpc.expose
    def heartbeat(self, context, **args):
        self._note("heartbeat", **args)

    @rpc.expose
    def report_root(self, context, **args):
        self._note("report_root", **args)

    @rpc.expose
    def update_backup(self, context, **args):
        self._note("update_backup", **args)


@pytest.fixture
def conductor(conf):
    conf.set_override("transport_url", "fake://")
    conf.set_override("guest_key", crypto.guest_key("i-1"))
    rpc.cleanup()
    conductor = Conductor()
    conf.set_override("guest_id", "i-1")
    server = rpc.get_server(f"{conf.conductor_queue}.i-1", "here", [conductor], from_guests=True)
    server.start()
    yield conductor
    server.stop()
    server.wait()
    rpc.cleanup()


def arrived(conductor):
    return wait_until(lambda: conductor.genuine, pause=0.01)


@pytest.mark.parametrize(("method", "args"), [
    ("heartbeat", {"instance_id": "i-1", "payload": {"service_status": "running", "agent_version": "1"}}),
    ("heartbeat", {"instance_id": "i-1", "payload": {}}),
    ("report_root", {"instance_id": "i-1", "user": "someone"}),
    ("update_backup", {"instance_id": "i-1", "backup_id": "b-1", "state": "COMPLETED", "size": 0.5}),
])
def test_reports_are_believed(conductor, context, method, args):
    getattr(api.API(context), method)(**args)
    assert arrived(conductor) == [(method, args)]


def test_the_time_may_be_given(conductor, context):
    api.API(context).heartbeat("i-1", {}, time.time() - 5)
    assert arrived(conductor) == [("heartbeat", {"instance_id": "i-1", "payload": {}})]


@pytest.mark.parametrize(("kept", "mode"), [(True, None), (False, 1)])
def test_a_heartbeat_that_is_repeated_costs_the_broker_no_disk(conductor, context, monkeypatch, kept, mode):
    """As the library's driver for RabbitMQ publishes it. None is the library's own: persistent."""
    sent = []
    monkeypatch.setattr(api.rpc.messaging.transport.RPCTransport, "_send", lambda _self, _target, _context, _message,
                        transport_options=None, **_options: sent.append(transport_options))
    api.API(context).heartbeat("i-1", {}, kept=kept)
    published = []
    connection = types.SimpleNamespace(
        _declared_exchanges={"e"}, kombu_compression=None, _transport_socket_timeout=lambda _seconds: nullcontext(),
        _producer=types.SimpleNamespace(publish=lambda _message, exchange, **_options: published.append(exchange)))
    rpc.impl_rabbit.Connection._publish(connection, rpc.kombu_entity.Exchange("e"), {}, "key",
                                        transport_options=sent[0])
    assert published[0].delivery_mode == mode
