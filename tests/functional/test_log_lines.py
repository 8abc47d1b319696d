"""Texts that outsiders choose, in each of the four processes: every record stays one line of the log."""
import contextlib
import dataclasses
import logging
import time

import pytest

from trove import rpc
from trove.cmd import conductor as conductor_cmd
from trove.cmd import guest as guest_cmd
from trove.common import cfg, crypto, envelope, exception, log
from trove.common.context import TroveContext
from trove.conductor.manager import Manager
from trove.guestagent.common import obeyed

INSTANCE = "11111111-1111-4111-8111-111111111111"
FORGED = "2026-11-27 14:00:00.000 1 INFO trove.cmd.api [-] forged"
HOSTILE = [f"a\n{FORGED}", f"a\r\n{FORGED}", "\x1b[2J\x1b]0;title\x07", "a\0b", f"a\u2028{FORGED}", f"a\x85{FORGED}",
           "\udcff"]


@pytest.fixture
def log_lines(conf, tmp_path):
    """A function that starts a log as the processes do, and one that gives its lines."""
    path = tmp_path / "log"
    cfg.parse_args(["--log-file", str(path)], default_config_files=[])

    def lines():
        for handler in logging.getLogger().handlers:
            handler.flush()
        return path.read_bytes().decode().removesuffix("\n").split("\n")
    yield lines
    cfg.parse_args([], default_config_files=[])


def check(lines, word):
    """Each line is a record of its own; one of them has the word."""
    assert any(word in line for line in lines), lines
    for line in lines:
        assert line.isprintable() and line.startswith("20"), line
        assert not line.startswith(FORGED)


@pytest.mark.parametrize("text", HOSTILE)
def test_api(alice, admin, log_lines, text):
    name = text.encode("utf-8", "surrogatepass").decode("latin-1")
    header = name.replace("\r", "").replace("\n", "")  # a header cannot carry them to us
    for caller in (alice, admin):
        caller("GET", "/instances", headers={"X-OpenStack-Request-ID": header, "User-Agent": header, "Accept": header})
        caller("GET", f"/instances/{INSTANCE}/users/" + "".join(f"%{byte:02x}" for byte in name.encode("latin-1")))
        caller("POST", "/instances", {"instance": {
            "name": text, "flavorRef": text, "databases": [{"name": text}],
            "users": [{"name": text, "password": text}]}})
    check(log_lines(), "/instances")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("signed", [True, False])
def test_conductor(db, log_lines, text, signed):
    def send(method, **args):
        sent = time.time()
        proof = envelope.sign(crypto.guest_key(INSTANCE) if signed else "k", method, args, sent)
        getattr(Manager(), method)(TroveContext(overwrite=False), sent=sent, proof=proof, **args)
    for instance_id in (INSTANCE, text):
        send("heartbeat", instance_id=instance_id, payload={"service_status": text})
        send("heartbeat", instance_id=instance_id, payload={"service_status": "running", "agent_version": text})
        send("heartbeat", instance_id=instance_id, payload={"service_status": "failed to spawn", "cause": text})
        send("update_backup", instance_id=instance_id, backup_id=text, location=text)
        send("report_spans", instance_id=instance_id, spans=[text])
    check(log_lines(), "security event message.")


@pytest.mark.parametrize("text", HOSTILE[:-1])
def test_taskmanager(log_lines, text):
    """What a guest answers to its commands. Lone surrogates do not come so far: trove.common.delivery refuses them."""
    with contextlib.suppress(exception.GuestError), rpc.GuestErrors():
        raise rpc.messaging.RemoteError("ValueError", text, [text])
    check([line for line in log_lines() if not line.startswith(log.TRACE)], "A command to a guest failed")


@pytest.mark.parametrize("text", HOSTILE)
def test_guest(log_lines, text, tmp_path):
    """Commands that are not signed, or wrongly, and signed ones that came before."""
    gate = obeyed.Gate("key", tmp_path / "commands")
    order = envelope.new_order(60)
    signed = envelope.sign_command("key", text, {text: text}, order)
    assert gate.admit(text, {text: text}, signed) == order
    fields = dataclasses.asdict(order)
    wrong = ({"proof": text}, {"proof": "a" * 64}, {"sender": text})
    for proof in (None, {}, *({**fields, **more} for more in wrong), signed):
        with pytest.raises(envelope.BadProof):
            gate.admit(text, {text: text}, proof)
    check(log_lines(), "security event message.replayed")


@pytest.mark.parametrize(("read", "options"), [
    (lambda argv: conductor_cmd.common.read_configuration("/nonexistent", argv=argv), ()),
    (guest_cmd.read_configuration, ("guest_id=i-1", "datastore_manager=mysql", f"guest_key={'k' * 64}")),
])
def test_every_process_sets_its_log_up_like_this(conf, tmp_path, read, options):
    """The services of the control plane read their configuration with one function, the agent with another."""
    path = tmp_path / "some.conf"
    path.write_text("\n".join(["[DEFAULT]", "transport_url = fake://", *options, ""]))
    read(["--config-file", str(path)])
    assert all(isinstance(handler.formatter, log.OneLine) for handler in logging.getLogger().handlers
               if type(handler).__module__.startswith(("oslo_log", "logging")))
