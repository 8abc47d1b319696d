"""Commands to a guest over the in-process bus: only those whose proof fits are obeyed, errors keep their class."""
import sys

import pymysql
import pytest

from trove import rpc
from trove.common import crypto, exception, remote
from trove.db import guest_secrets
from trove.guestagent import api
from trove.guestagent.common import obeyed


class Endpoint:
    """Stands for a manager."""

    def __init__(self):
        self.seen = []

    @rpc.expose
    def rpc_ping(self, context):
        self.seen.append(context.project_id)
        return True

    @rpc.expose
    def list_access(self, context, username, hostname):
        raise exception.NotFound(resource="user", id=username)

    @rpc.expose
    def restart(self, context):
        raise exception.DatastoreOperationNotSupported(operation="restart", datastore="stone")

    @rpc.expose
    def get_diagnostics(self, context):
        raise exception.ServiceUnavailable("The database server cannot do it now: gone")

    @rpc.expose
    def stop_db(self, context, do_not_start_on_reboot=False):
        raise self.raised

    @rpc.expose
    def reset_configuration(self, context, configuration):
        raise exception.Refused(*configuration["arguments"])

    @rpc.expose
    def get_hwinfo(self, context):
        raise OSError("no such disk")


@pytest.fixture
def bus(conf, db):
    conf.set_override("transport_url", "fake://")
    conf.set_override("agent_call_low_timeout", 2)
    rpc.cleanup()
    yield conf
    rpc.cleanup()


@pytest.fixture
def endpoint(bus, tmp_path):
    endpoint = Endpoint()
    gate = obeyed.Gate(crypto.guest_key("i-1"), tmp_path / "commands")
    server = rpc.get_server("guestagent.i-1", "i-1", [endpoint], gate=gate)
    server.start()
    yield endpoint
    server.stop()
    server.wait()


def test_a_signed_command_is_obeyed(endpoint, context):
    assert api.API(context, "i-1").rpc_ping() is True
    assert endpoint.seen == ["tenant-1"]


def test_a_command_without_a_proof_is_refused(endpoint, context):
    with pytest.raises(exception.Forbidden, match="no proof|when it was sent"):
        rpc.get_client("guestagent.i-1", "guestagent").prepare(timeout=2).call(context, "rpc_ping")
    assert endpoint.seen == []


@pytest.mark.parametrize(("key_of", "method", "args"), [
    ("i-2", "rpc_ping", {}), ("i-1", "restart", {}), ("i-1", "list_access", {"username": "u", "hostname": "%"}),
])
def test_a_proof_of_something_else_is_refused(endpoint, context, key_of, method, args):
    other = rpc.signed(context, crypto.guest_key(key_of), method, args)
    with pytest.raises(exception.Forbidden, match="does not fit"):
        rpc.get_client("guestagent.i-1", "guestagent").prepare(timeout=2).call(other, "rpc_ping")
    assert endpoint.seen == []


def test_what_a_guest_refuses_keeps_its_class(endpoint, context):
    guest = api.API(context, "i-1")
    with pytest.raises(exception.NotFound, match="user nobody"):
        guest.list_access("nobody", "%")
    with pytest.raises(exception.DatastoreOperationNotSupported, match="'restart' operation is not supported"):
        guest.restart()


@pytest.mark.parametrize("arguments", [("x", 400), ("x", 503), ("x", "y")])
def test_a_guest_does_not_choose_a_code(endpoint, context, arguments):
    with pytest.raises(exception.GuestError):
        api.API(context, "i-1").reset_configuration({"arguments": arguments, "config_contents": ""})


def test_what_a_guest_cannot_do_now_may_be_asked_again(endpoint, context):
    with pytest.raises(exception.ServiceUnavailable, match="cannot do it now: gone$") as caught:
        api.API(context, "i-1").get_diagnostics()
    assert remote.is_passing(caught.value)


def test_what_breaks_in_a_guest_is_a_guest_error(endpoint, context):
    with pytest.raises(exception.GuestError, match=r"an unexpected error occurred \(OSError\)") as caught:
        api.API(context, "i-1").get_hwinfo()
    assert "no such disk" not in str(caught.value)


@pytest.mark.parametrize(("raised", "kind", "code", "passing"), [
    (exception.GuestConflict("Session 7 holds it."), exception.GuestConflict, 409, False),
    (exception.GuestUnavailable("No connection left."), exception.GuestUnavailable, 503, True)])
def test_what_a_database_server_does_not_do_keeps_its_code(endpoint, context, raised, kind, code, passing):
    endpoint.raised = raised
    with pytest.raises(kind) as caught:
        api.API(context, "i-1").stop_db()
    assert (str(caught.value), caught.value.code, remote.is_passing(caught.value)) == (str(raised), code, passing)


def test_the_words_of_a_database_driver_are_not_handed_on(endpoint, context):
    endpoint.raised = pymysql.err.OperationalError(1205, "Lock wait timeout exceeded on 'a secret'")
    with pytest.raises(exception.GuestError, match="the database server reported the error 1205") as caught:
        api.API(context, "i-1").stop_db()
    assert "secret" not in str(caught.value)


def test_a_dead_bus_is_a_guest_error_without_the_brokers_address(bus, context):
    with pytest.raises(exception.GuestError, match="the message bus does not answer$") as caught, rpc.GuestErrors():
        raise rpc.DeliveryFailure("Unable to connect to AMQP server on 10.1.2.3:5672 after 2 tries")
    assert remote.is_passing(caught.value)


def test_a_silent_guest_is_a_timeout(bus, context):
    bus.set_override("agent_call_low_timeout", 1)
    with pytest.raises(exception.GuestTimeout):
        api.API(context, "i-9").rpc_ping()


NAN, USER = float("nan"), {"_name": "u", "_host": "%", "_password": "p", "_databases": [{"_name": "d"}]}
DIAGNOSTICS = {"version": "1", **dict.fromkeys(("fd_size", "vm_size", "vm_peak", "vm_rss", "vm_hwm", "threads"), 1)}
# Commands with answers of the right shape, then with ones that only somebody else's agent can give.
ANSWERS = [
    ("list_databases", (), [[[{"_name": "d"}], "d"], [[], None]],
     [None, [], {}, [[{"_name": "d"}]], [[{"name": "d"}], None], [["d"], None], [[{"_name": 1}], None], [[], 7]]),
    ("list_users", (), [[[USER], None]],
     [[[{**USER, "_host": 1}], None], [[{**USER, "_databases": ["d"]}], None], [[{**USER, "_databases": "d"}], None]]),
    ("get_user", ("u", "%"), [None, USER, {"_name": "u"}], ["u", [], {}, {"_name": None}]),
    ("list_access", ("u", "%"), [[], [{"_name": "d"}]], [None, "d", [1], {"_name": "d"}]),
    ("enable_root", (), [USER], [None, {}, {"_name": "root"}, {"_name": "root", "_password": 1}]),
    ("enable_root_with_password", ("x",), [USER], [None, {"_name": "root"}]),
    ("get_filesystem_stats", (), [{"total": 1, "free": 0.5, "used": 0.5}],
     [None, [], {}, {"total": 1, "free": 1}, {"total": 1, "free": 1, "used": "much"},
      {"total": 1, "free": 1, "used": NAN}, {"total": 1, "free": 1, "used": True}]),
    ("get_hwinfo", (), [{"mem_total": 1, "num_cpus": 1}],
     [None, {}, {"mem_total": 1}, {"mem_total": 1, "num_cpus": "1"}, {"mem_total": 1, "num_cpus": 10 ** 400}]),
    ("apply_overrides", ({"sql_mode": "x"},), [{}, {"sql_mode": "is wrong"}],
     [None, 5, ["sql_mode"], "sql_mode", {"sql_mode": 5}, {"another": "is wrong"}, {"sql_mode": "x" * 70000}]),
    ("get_diagnostics", (), [DIAGNOSTICS], [None, {**DIAGNOSTICS, "version": 1}, {**DIAGNOSTICS, "threads": None}]),
]


class Answering:
    """Stands for the client of the bus: every call gets one answer."""

    def __init__(self, answer):
        self.answer = answer

    def prepare(self, **_options):
        return self

    def call(self, _context, _method, **_args):
        return self.answer


@pytest.mark.parametrize(("method", "args", "right", "wrong"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_an_answer_of_another_shape_is_an_error_of_the_guest(db, conf, context, monkeypatch, method, args, right,
                                                             wrong):
    conf.set_override("transport_url", "fake://")
    command = getattr(api.API(context, "i-1"), method)
    for answer in right:
        monkeypatch.setattr(rpc, "get_client", lambda *_args, answer=answer: Answering(answer))
        assert command(*args) == answer
    for answer in wrong:
        monkeypatch.setattr(rpc, "get_client", lambda *_args, answer=answer: Answering(answer))
        with pytest.raises(exception.GuestError, match=f"its answer to {method} is not understood"):
            command(*args)


def test_a_long_complaint_of_a_guest_is_cut(db, conf, context, monkeypatch):
    class Complaining(Answering):
        def call(self, _context, _method, **_args):
            raise OSError("x" * 100000)
    conf.set_override("transport_url", "fake://")
    monkeypatch.setattr(rpc, "get_client", lambda *_args: Complaining(None))
    with pytest.raises(exception.GuestError) as caught:
        api.API(context, "i-1").restart()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(("refusal", "shown"), [
    (exception.NotFound(resource="user", id="nobody"), "The user nobody does not exist."),
    (exception.BadValue("one\ntwo"), "one"), (exception.Conflict("a\x1b[2Jb"), r"a\x1b[2Jb"),
    (exception.BadRequest("x" * 100000), "x" * 500 + "...")])
def test_a_refusal_of_a_guest_is_one_short_line_without_its_traceback(db, conf, context, monkeypatch, refusal, shown):
    class Refusing(Answering):
        def call(self, _context, _method, **_args):
            try:
                raise refusal
            except exception.TroveError:
                sent = rpc.driver_common.serialize_remote_exception(sys.exc_info())
            raise rpc.driver_common.deserialize_remote_exception(sent, ["trove.common.exception"])
    conf.set_override("transport_url", "fake://")
    monkeypatch.setattr(rpc, "get_client", lambda *_args: Refusing(None))
    with pytest.raises(type(refusal)) as caught:
        api.API(context, "i-1").restart()
    assert str(caught.value) == shown


def test_while_its_key_is_replaced_a_guest_obeys_with_either(bus, db, context, tmp_path):
    def obeys(generation):
        endpoint = Endpoint()
        gate = obeyed.Gate(crypto.guest_key("i-1", generation), tmp_path / f"obeyed-{generation}")
        server = rpc.get_server("guestagent.i-1", "i-1", [endpoint], gate=gate)
        server.start()
        try:
            return api.API(context, "i-1").rpc_ping()
        except exception.Forbidden:
            return False
        finally:
            server.stop()
            server.wait()
            rpc.cleanup()

    assert [obeys(0), obeys(1)] == [True, False]
    with db.writer() as session:
        guest_secrets.renew(session, "i-1")
    assert [obeys(0), obeys(1), obeys(2)] == [True, True, False]
    with db.writer() as session:
        guest_secrets.heard(session, "i-1", 1)
    assert [obeys(0), obeys(1)] == [False, True]
