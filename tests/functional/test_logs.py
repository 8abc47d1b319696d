"""Logs of an instance (rest-api 3.1, GET and POST /instances/{id}/log; 3.8)."""
import pytest

from tests.functional.world import UNKNOWN, create


def test_the_logs_that_there_are(world, alice, bob):
    instance_id = create(alice)
    logs = {log["name"]: log for log in alice.get(f"/instances/{instance_id}/log").json["logs"]}
    nothing = {"published": 0, "pending": 0, "container": "None", "prefix": "None", "metafile": "None"}
    assert logs == {
        "guest": {"name": "guest", "type": "SYS", "status": "Unavailable", **nothing},
        **{name: {"name": name, "type": "USER", "status": "Disabled", **nothing} for name in ("general", "slow_query")}}
    bob.get(f"/instances/{instance_id}/log", status=404)
    alice.get(f"/instances/{UNKNOWN}/log", status=404)


@pytest.mark.parametrize(("body", "code"), [
    ({"name": "general", "enable": 1}, 501), ({"name": "guest", "publish": True, "disable": 0}, 501),
    ({"name": "general", "disable": 1, "discard": 1}, 501), ({"name": "elephants", "enable": 1}, 404),
    ({"enable": 1}, 400),
    ({"name": "general", "enable": 1, "disable": 1}, 400), ({"name": "general", "enable": "yes"}, 400), ({}, 400)])
def test_nothing_can_be_done_with_them(world, alice, bob, body, code):
    path = f"/instances/{create(alice)}/log"
    alice.post(path, body, status=code)
    assert bob.post(path, {"name": "general", "enable": 1}, status=404)


@pytest.mark.parametrize("flags", [{}, {"enable": 0, "publish": None}])
def test_one_is_shown_to_who_asks_for_nothing_else(world, alice, flags):
    path = f"/instances/{create(alice)}/log"
    shown = alice.post(path, {"name": "general", **flags}).json["log"]
    assert shown in alice.get(path).json["logs"]
    assert shown["name"] == "general"
