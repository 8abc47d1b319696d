"""Backup strategies (rest-api 3.4, /backup_strategies): newest clients ask where backups are kept."""
import pytest

from tests.functional.world import UNKNOWN, create_active


def strategy(project_id, instance_id=None):
    return {"project_id": project_id, "instance_id": instance_id, "backend": "swift",
            "swift_container": "database_backups"}


def test_the_operators_choice_is_listed(world, alice, bob, admin):
    instance_id = create_active(world, alice)
    assert alice.get("/backup_strategies").json == {"backup_strategies": [strategy(alice.tenant)]}
    mine = {"backup_strategies": [strategy(alice.tenant, instance_id)]}
    assert alice.get(f"/backup_strategies?instance_id={instance_id}").json == mine
    assert admin.get(f"/backup_strategies?instance_id={instance_id}").json == mine
    assert admin.get("/backup_strategies?project_id=tenant-a").json == {"backup_strategies": [strategy(alice.tenant)]}
    assert bob.get("/backup_strategies?project_id=tenant-a").json == {"backup_strategies": [strategy(bob.tenant)]}
    for caller, query in ((bob, instance_id), (alice, UNKNOWN)):
        caller.get(f"/backup_strategies?instance_id={query}", status=404)


def test_the_same_may_be_asked_for(world, options, alice):
    instance_id = create_active(world, alice)
    options.set_override("backup_swift_container", "dumps")
    body = {"backup_strategy": {"instance_id": instance_id, "swift_container": "dumps", "storage_driver": "swift"}}
    made = alice.post("/backup_strategies", body, status=202).json["backup_strategy"]
    assert made == {**strategy(alice.tenant, instance_id), "swift_container": "dumps"}
    assert alice.post("/backup_strategies", {"backup_strategy": {}}, status=202).json["backup_strategy"][
        "instance_id"] is None


@pytest.mark.parametrize(("given", "code"), [
    ({"swift_container": "mine"}, 400), ({"storage_driver": "tape"}, 400), ({"instance_id": "no id"}, 400),
    ({"swift_container": 1}, 400), ({"instance_id": UNKNOWN}, 404)])
def test_another_place_is_refused(world, alice, given, code):
    alice.post("/backup_strategies", {"backup_strategy": given}, status=code)
    alice.post("/backup_strategies", {}, status=400)


def test_it_cannot_be_taken_away(world, alice, bob):
    instance_id = create_active(world, alice)
    alice.delete("/backup_strategies", status=501)
    alice.delete(f"/backup_strategies?instance_id={instance_id}", status=501)
    bob.delete(f"/backup_strategies?instance_id={instance_id}", status=404)
