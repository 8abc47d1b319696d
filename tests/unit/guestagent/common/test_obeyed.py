"""Commands are obeyed once, in time, and not out of order; also after the agent was started again or killed."""
import dataclasses
import json
import threading
import time

import pytest

from trove.common import envelope
from trove.guestagent.common import obeyed

KEY = "k" * 64


@pytest.fixture
def path(conf, tmp_path):
    return tmp_path / "state" / "commands"


def order(valid=120, **changes):
    return dataclasses.replace(envelope.new_order(valid), **changes)


def test_a_command_is_obeyed_once(path):
    keeper, command = obeyed.Obeyed(path), order()
    keeper.admit(command)
    with pytest.raises(envelope.Replayed, match="came before"):
        keeper.admit(command)
    keeper.admit(order())


def test_that_holds_after_a_restart(path):
    command = order()
    obeyed.Obeyed(path).admit(command)
    assert path.stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        with pytest.raises(envelope.Replayed):
            obeyed.Obeyed(path).admit(command)


@pytest.mark.parametrize("tail", ['{"id": "a', "\n", "\0\0\0", '{"id": 5}\n', '{"newest": {}}\n', "[]\n"])
def test_an_agent_that_was_killed_while_it_wrote_goes_on(path, tail):
    first, second = order(), order()
    obeyed.Obeyed(path).admit(first)
    with path.open("a") as file:
        file.write(tail)
    obeyed.Obeyed(path).admit(second)
    keeper = obeyed.Obeyed(path)
    for command in (first, second):
        with pytest.raises(envelope.Replayed):
            keeper.admit(command)


def test_a_disk_that_takes_nothing_stops_no_guest(conf, tmp_path):
    (tmp_path / "file").write_text("")
    keeper, command = obeyed.Obeyed(tmp_path / "file" / "commands"), order()
    keeper.admit(command)
    with pytest.raises(envelope.Replayed):
        keeper.admit(command)


@pytest.mark.parametrize(("age", "valid", "fits"), [
    (100, 120, True), (-100, 120, True), (130, 120, False), (-130, 120, False), (800, 900, True)])
def test_a_command_out_of_its_validity_is_refused(path, age, valid, fits):
    command = order(valid, sent=time.time() - age)
    if fits:
        obeyed.Obeyed(path).admit(command)
        return
    with pytest.raises(envelope.OutOfTime, match="clock of the guest is wrong") as caught:
        obeyed.Obeyed(path).admit(command)
    assert caught.value.difference == pytest.approx(age, abs=1)


def test_a_clock_that_is_behind_is_told_until_it_is_right(path):
    keeper = obeyed.Obeyed(path)
    assert keeper.seconds_behind() is None
    with pytest.raises(envelope.OutOfTime):
        keeper.admit(order(sent=time.time() - 500))
    assert keeper.seconds_behind() is None, "it may have waited"
    with pytest.raises(envelope.OutOfTime):
        keeper.admit(order(sent=time.time() + 500))
    assert keeper.seconds_behind() in (499, 500)
    keeper.admit(order())
    assert keeper.seconds_behind() is None


def test_what_is_kept_is_bounded(path, monkeypatch):
    monkeypatch.setattr(obeyed, "MOST_IDS", 20)
    monkeypatch.setattr(obeyed, "_WASTE", 10)
    keeper = obeyed.Obeyed(path)
    for _ in range(50):
        keeper.admit(order(valid=10))
        keeper._ids = dict.fromkeys(keeper._ids, 0.0)
    assert len(path.read_text().splitlines()) < 40
    for _ in range(20):
        keeper.admit(order())
    with pytest.raises(envelope.BadProof, match="more than 20"):
        keeper.admit(order())


def carry_out(keeper, method, command):
    with keeper.in_order(method, command):
        pass


@pytest.mark.parametrize("restarted", [False, True])
def test_an_older_command_about_the_server_is_refused(path, restarted):
    keeper, older, newer = obeyed.Obeyed(path), order(), order()
    carry_out(keeper, "make_read_only", newer)
    if restarted:
        keeper = obeyed.Obeyed(path)
    with pytest.raises(envelope.BadProof, match="newer command"):
        carry_out(keeper, "detach_replica", older)
    carry_out(keeper, "get_replica_context", older)
    carry_out(keeper, "attach_replica", order())


@pytest.mark.parametrize(("earlier", "fits"), [(3, True), (8, False)])
def test_of_two_senders_the_times_count_within_what_their_clocks_may_differ(path, earlier, fits):
    keeper, newer = obeyed.Obeyed(path), order()
    carry_out(keeper, "restart", newer)
    other = order(sender="other", number=1, sent=newer.sent - earlier)
    if fits:
        carry_out(keeper, "restart", other)
        return
    with pytest.raises(envelope.BadProof, match="newer command"):
        carry_out(keeper, "restart", other)


def test_what_waited_for_its_turn_is_looked_at_again(path):
    keeper, older, newer, refused = obeyed.Obeyed(path), order(), order(), []

    def late():
        try:
            carry_out(keeper, "detach_replica", older)
        except envelope.BadProof as error:
            refused.append(str(error))
    with keeper.in_order("attach_replica", newer):
        waiting = threading.Thread(target=late)
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
    waiting.join(5)
    assert refused == ["a newer command about the database server was obeyed before it"]


def test_every_ordered_command_exists(path):
    from trove.guestagent import api
    assert all(callable(getattr(api.API, name)) for names in obeyed.ORDERED.values() for name in names)


@pytest.mark.parametrize("restarted", [False, True])
def test_each_group_has_an_order_of_its_own_and_waits_for_none(path, restarted):
    keeper, first, second, third = obeyed.Obeyed(path), order(), order(), order()
    with keeper.in_order("create_user", third):
        carry_out(keeper, "restart", second)
    if restarted:
        keeper = obeyed.Obeyed(path)
    with pytest.raises(envelope.BadProof, match="newer command"):
        carry_out(keeper, "grant_access", second)
    with pytest.raises(envelope.BadProof, match="newer command"):
        carry_out(keeper, "stop_db", first)
    carry_out(keeper, "delete_user", order())


def test_the_file_of_an_earlier_release_is_about_the_server(path):
    older, newer = order(), order()
    path.parent.mkdir()
    path.write_text(json.dumps({"newest": dataclasses.asdict(newer)}) + "\n")
    keeper = obeyed.Obeyed(path)
    with pytest.raises(envelope.BadProof, match="newer command"):
        carry_out(keeper, "restart", older)
    carry_out(keeper, "create_user", older)


@pytest.mark.parametrize("change", [
    {"id": "0" * 32}, {"sender": "x"}, {"number": 99999999}, {"sent": 5.0}, {"valid": 1e9}, {"proof": None},
    {"proof": "0" * 64}, {"sent": "now"}, {"number": True}, {"valid": float("inf")}, {"id": {}}])
def test_a_changed_order_is_a_forgery(path, change):
    gate = obeyed.Gate(KEY, path)
    given = envelope.sign_command(KEY, "restart", {}, envelope.new_order(120))
    with pytest.raises(envelope.BadProof):
        gate.admit("restart", {}, {**given, **change})
    for wrong in (None, [], "x", {}):
        with pytest.raises(envelope.BadProof):
            gate.admit("restart", {}, wrong)
    gate.admit("restart", {}, given)


def test_a_report_is_no_command(path):
    sent = time.time()
    report = {"sent": sent, "proof": envelope.sign(KEY, "restart", {}, sent), "id": "a", "sender": "b", "number": 1,
              "valid": 60}
    with pytest.raises(envelope.BadProof):
        obeyed.Gate(KEY, path).admit("restart", {}, report)
