"""What an agent keeps of a traced command and sends, and that it does neither without a trace."""
import pytest

from trove import rpc
from trove.conductor import api as conductor_api
from trove.guestagent.common import operating_system, spans

ORIGIN = {"request_id": "req-1", "trace": {"base_id": "b", "parent_id": "p"}, "until": 1, "seal": "s"}


@pytest.fixture
def sent(conf, monkeypatch):
    """[(origin, spans)] that went to the conductor; ``broken`` makes the bus refuse."""
    conf.set_override("guest_id", "i-1")

    class Sent(list):
        broken = False
    sent = Sent()

    class Conductor:
        def __init__(self, context):
            self.context = context

        def report_spans(self, instance_id, parts):
            assert instance_id == "i-1"
            if sent.broken:
                raise rpc.DeliveryFailure("no broker")
            sent.append((self.context.origin, parts))
    monkeypatch.setattr(conductor_api, "API", Conductor)
    return sent


def test_a_traced_command_tells_its_parts(sent):
    with spans.command({"origin": ORIGIN}, "prepare"):
        operating_system.run(["true", "--password=secret"])
        with pytest.raises(operating_system.ProcessError):
            operating_system.run(["/does/not/exist"])
        with spans.span("datastore", "restart"), spans.span("datastore", "stop"):
            pass
    (origin, parts), = sent
    assert origin == ORIGIN
    assert [(part["name"], part["detail"], part["inside"], part.get("error")) for part in parts] == [
        ("guest", "prepare", None, None), ("command", "true", 0, None),
        ("command", "/does/not/exist", 0, "FileNotFoundError"), ("datastore", "restart", 0, None),
        ("datastore", "stop", 3, None)]
    assert all(0 <= part["ended"] <= part["begun"] < 60 for part in parts)


@pytest.mark.parametrize("context", [{}, {"origin": None}, {"origin": {**ORIGIN, "trace": None}}])
def test_without_a_trace_nothing_is_kept(sent, context):
    with spans.command(context, "prepare"), spans.span("command", "true"):
        pass
    assert sent == []


def test_a_failing_command_tells_and_fails(sent):
    with pytest.raises(ZeroDivisionError), spans.command({"origin": ORIGIN}, "restart"):
        raise ZeroDivisionError
    assert sent[0][1][0]["error"] == "ZeroDivisionError"
    with spans.command({}, "restart"), spans.span("command", "true"):
        pass
    assert len(sent) == 1


def test_there_are_never_too_many(sent):
    with spans.command({"origin": ORIGIN}, "prepare"):
        for _ in range(200):
            with spans.span("command", "x" * 1000):
                pass
    assert len(sent[0][1]) == spans.MOST
    assert max(len(part["detail"]) for part in sent[0][1]) == spans.LONGEST


def test_a_dead_bus_fails_no_command(sent):
    sent.broken = True
    with spans.command({"origin": ORIGIN}, "prepare"):
        pass
