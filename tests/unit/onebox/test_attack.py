"""tools/attack without a system: its list, its selection, the judgement of answers and of the witness, its report."""
import base64
import inspect
import json
import types

import pytest
from onebox import attack, attack_api, attack_stage, attack_store, intruder
from onebox.attack_list import CAUSES, Attack
from onebox.attack_stage import Broken, Message, Weak

from trove.common import api, policy, security


def made(run, events=(), long=False):
    return Attack("x.y", "bus", "tries", "expected", tuple(events), long, run)


class Stage:
    """A stage whose witness tells what it is given, and whose logs have these events."""

    patience = 0

    def __init__(self, states=(), events=()):
        self.states, self.seen, self.reported = list(states), list(events), {}

    def mark(self):
        return {}

    def events(self, _mark):
        return [(name, "reason") for name in self.seen]

    def witness(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0] if self.states else {}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(attack.time, "sleep", lambda seconds: None)


def result(run, expected_events, stage):
    row, _ = attack.carry_out(Stage(**stage), made(run, expected_events), {})
    return row["result"]


def raises(error):
    def run(_stage):
        raise error
    return run


class TestList:
    def test_there_are_many_with_different_names(self):
        names = [each.name for each in attack.ATTACKS]
        assert len(set(names)) == len(names) >= 60

    def test_each_says_what_it_tries_and_what_is_expected(self):
        for each in attack.ATTACKS:
            assert each.tries.endswith("."), each.name
            assert each.expected, each.name
            assert each.cause in CAUSES, each.name
            assert set(each.events) <= set(security.KINDS), each.name

    def test_every_cause_is_attacked_in_a_short_run(self):
        assert {each.cause for each in attack.select(attack.ATTACKS, True, [""])} == set(CAUSES)

    def test_floods_come_last(self):
        names = [each.name.startswith("flood.") for each in attack.ATTACKS]
        assert names == sorted(names)

    def test_every_route_with_an_id_of_a_tenant_is_tried(self):
        words = {each.name for each in attack.ATTACKS}
        for row in api.ROUTES:
            if row.role == policy.ADMIN:
                assert f"api.management-of-{attack_api._group(row.path)}" in words
            elif "_id}" in row.path.replace("{tenant_id}", "").replace("{version_id}", ""):
                assert f"api.victims-{attack_api._group(row.path)}" in words

    def test_selection(self):
        attacks = [made(None), made(None, long=True)]
        assert attack.select(attacks, True, [""]) == attacks[:1]
        assert attack.select(attacks, False, ["z", "x."]) == attacks
        assert attack.select(attacks, False, ["z"]) == []


class TestJudgement:
    @pytest.mark.parametrize(("run", "events", "stage", "expected"), [
        (lambda stage: "403", (), {}, attack.REFUSED),
        (lambda stage: "taken", ("message.forged",), {"events": ["message.forged"]}, attack.REFUSED),
        (lambda stage: "taken", ("message.forged",), {"events": ["message.flood"]}, attack.WEAK),
        (raises(Weak("x")), (), {}, attack.WEAK),
        (raises(Broken("x")), (), {}, attack.BROKEN),
        (lambda stage: "403", (), {"states": [{"role": "admin"}]}, attack.BROKEN),
        # A guest may be busy for a moment: the witness looks twice.
        (lambda stage: "403", (), {"states": [{"status": "BUSY"}, {}]}, attack.REFUSED),
        (raises(KeyError("x")), (), {}, attack.FAULTY),
        (raises(OSError("x")), (), {}, attack.FAULTY),
    ])
    def test_the_result(self, run, events, stage, expected):
        assert result(run, events, stage) == expected

    def test_what_changed_is_said(self):
        row, _ = attack.carry_out(Stage([{"role": "admin"}]), made(lambda stage: "403"), {"role": "member"})
        assert "role: member -> admin" in row["evidence"]

    @pytest.mark.parametrize(("code", "error"), [(200, Broken), (302, Broken), (500, Weak), (503, Weak)])
    def test_answers_that_are_no_refusal(self, code, error):
        with pytest.raises(error, match=str(code)):
            attack_stage.judge(types.SimpleNamespace(status_code=code, text=""), "GET /x")

    @pytest.mark.parametrize("code", [400, 401, 403, 404, 413, 501])
    def test_answers_that_are(self, code):
        assert attack_stage.judge(types.SimpleNamespace(status_code=code, text=""), "GET /x") == str(code)

    def test_a_forged_line_is_found(self):
        stage = types.SimpleNamespace(lines=lambda mark: ["genuine", attack_api.LINE])
        with pytest.raises(Broken):
            attack_api.no_line(stage, {})
        attack_api.no_line(types.SimpleNamespace(lines=lambda mark: [f"genuine x\\n{attack_api.LINE}"]), {})


def test_the_report():
    rows = [attack.carry_out(Stage(), made(raises(Broken("the evidence"))), {})[0]]
    text = attack.text({"attacks": rows, "totals": attack.totals(rows), "seconds": 1, "seed": 1})
    assert "BROKEN x.y: the evidence" in text
    assert "1 BROKEN, 0 weak, 0 faulty, 0 refused" in text


def test_a_message_is_altered_inside_and_outside():
    inner = {"method": "heartbeat", "args": {"payload": {"url": "u", "PUT": "p"}}}
    body = json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(inner)})
    message = Message({"body": base64.b64encode(body.encode()).decode(), "exchange": "trove", "key": "k",
                       "properties": {"content_type": "application/json"}})
    changed = message.altered(content={"method": "other"}, key="", exchange="", content_type="text/plain")
    fresh = changed.content["_unique_id"]  # the library skips what it has seen
    assert changed.content == {**inner, "method": "other", "_unique_id": fresh}
    assert (changed.raw["key"], changed.raw["exchange"]) == ("", "")
    assert message.content == inner
    assert message.raw["properties"] == {"content_type": "application/json"}
    assert message.find(lambda value: "PUT" in value) == {"url": "u", "PUT": "p"}


def test_the_intruder_needs_nothing_but_the_guests_libraries():
    """It is copied as it is: nothing of this project's tools may be imported."""
    assert "onebox" not in inspect.getsource(intruder)


def test_an_event_of_the_last_minute_counts():
    """Services report one kind of event once a minute for each guest."""
    stage, forged = Stage(events=["message.forged"]), made(lambda stage: "taken", ["message.forged"])
    assert attack.carry_out(stage, forged, {})[0]["result"] == attack.REFUSED
    stage.seen = []
    assert attack.carry_out(stage, forged, {})[0]["result"] == attack.REFUSED
    stage.reported["message.forged"] -= attack.REPORTED
    assert attack.carry_out(stage, forged, {})[0]["result"] == attack.WEAK


class TestBackups:
    def test_a_backup_is_ended_before_the_intruder_waits_for_the_next_command(self):
        """It does one thing at a time: a report would wait until it gives up waiting for the command."""
        done = []

        def take_commands(request, _wanted, _acknowledge):
            done.append("waits")
            return Message({}), request()

        stage = types.SimpleNamespace(
            loot={"storage": {"id": "b1"}}, attacker=types.SimpleNamespace(instance="i1"), take_commands=take_commands,
            capture=lambda method, **fields: (method, fields["backup_id"], fields["state"]), send=done.append,
            wait_backup=lambda _tenant, backup_id, _states: done.append(f"{backup_id} ended"),
            call=lambda method, path, _body: done.append(f"{method} {path}"))
        attack_store.backup_command(stage, acknowledge=True)
        assert done == [("update_backup", "b1", "FAILED"), "b1 ended", "waits", "POST /backups"]
