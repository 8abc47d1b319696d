"""Instances that exist: list, show, delete, actions and changes (rest-api 2a, 2d, 2e, 3.1, 3.1b; states 1 and 6)."""
import datetime
import json
import threading

import pytest

from tests.functional.conftest import check_fault
from tests.functional.world import UNKNOWN, create, create_active
from trove.common import exception
from trove.common.instance import ServiceStatuses
from trove.conductor import models as conductor_models
from trove.db import models
from trove.db.models import utcnow
from trove.db.sqlalchemy import tables
from trove.instance.models import record_fault
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations


def ids(answer):
    return [view["id"] for view in answer.json["instances"]]


def show(caller, instance_id):
    return caller.get(f"/instances/{instance_id}").json["instance"]


class TestDetail:
    """Row 3.1 GET /instances/detail."""

    def test_a_page_of_show_views(self, world, alice, bob):
        mine = [create_active(world, alice), create_active(world, alice)]
        world.set(mine[0], created=utcnow() - datetime.timedelta(seconds=1))
        create(bob)
        world.set(mine[0], slave_of_id=mine[1])
        with world.db.writer() as session:
            record_fault(session, mine[0], "first")
            record_fault(session, mine[1], "second")
        found = alice.get("/instances/detail").json["instances"]
        assert [view["id"] for view in found] == mine
        for view in found:
            alone = show(alice, view["id"])
            assert alone.pop("operation")
            assert view == alone
        assert found[1]["replicas"][0]["id"] == mine[0]
        assert found[0]["fault"]["message"] == "first"
        assert len(alice.get("/instances/detail?limit=1").json["links"]) == 1

    @pytest.mark.parametrize("number", [1, 20])
    def test_it_costs_three_statements(self, world, alice, statements, number):
        world.add_instances("tenant-a", number)
        del statements[:]
        assert len(alice.get("/instances/detail").json["instances"]) == number
        assert len(statements) == 3


class TestHealth:
    def tell(self, world, instance_id, facts, replication=None):
        """What the conductor keeps of a guest's report."""
        with world.db.writer() as session:
            session.execute(tables.agent_heartbeats.update().where(
                tables.agent_heartbeats.c.instance_id == instance_id).values(
                    facts=json.dumps(facts), replication=replication and json.dumps(replication)))

    def test_a_problem_is_shown_to_the_tenant_and_gone_with_its_cause(self, world, alice):
        instance_id = create_active(world, alice)
        for facts, word, message in (({"access": True, "since": {}}, "HEALTHY", None),
                                     ({"access": False, "since": {"access": 1700000000}}, "ACTIVE", "no access"),
                                     ({"access": True, "since": {}}, "HEALTHY", None)):
            self.tell(world, instance_id, facts)
            view = alice.get(f"/instances/{instance_id}").json["instance"]
            assert (view["status"], view["operating_status"]) == ("ACTIVE", word)
            assert alice.get("/instances").json["instances"][0]["operating_status"] == word
            if message:
                assert message in view["fault"]["message"]
                assert view["fault"]["created"].startswith("2023-11-14T22:13:20")
            else:
                assert "fault" not in view

    def test_a_tenant_sees_how_the_replication_of_a_replica_does(self, world, alice):
        source, replica_id = create_active(world, alice), create_active(world, alice)
        world.set(replica_id, slave_of_id=source)
        stopped = {"running": False, "lag": None, "error": None}
        for replication, word in (({"running": True, "lag": 3, "error": None}, "HEALTHY"), (stopped, "ACTIVE"),
                                  ({"running": True, "lag": 0, "error": None}, "HEALTHY")):
            self.tell(world, replica_id, {"follows": True, "since": {}}, replication)
            view = alice.get(f"/instances/{replica_id}").json["instance"]
            assert (view["replication"], view["operating_status"]) == (replication, word)
            assert ("START REPLICA" in view["fault"]["message"]) if word == "ACTIVE" else "fault" not in view
        assert "replication" not in alice.get(f"/instances/{source}").json["instance"]


class TestList:
    def test_what_a_list_shows(self, world, alice):
        instance_id = create_active(world, alice)
        [view] = alice.get("/instances").json["instances"]
        # Rows 5.4 and 8: every attribute that a client prints, or it asks once more for each instance.
        assert view.items() >= {
            "id": instance_id, "name": "m1", "status": "ACTIVE", "operating_status": "HEALTHY", "volume": {"size": 1},
            "datastore": {"type": "mysql", "version": "5.7", "version_number": "5.7"}, "ip": ["10.1.2.3"],
            "addresses": [{"address": "10.1.2.3", "network": "private", "type": "private"}], "region": "LOCAL_DEV",
            "access": {"is_public": False, "allowed_cidrs": []}}.items()
        assert view["flavor"]["id"] == "1"
        assert not {"fault", "operation", "tenant_id", "replicas", "hostname", "replica_of"} & view.keys()

    def test_1_25_a_tenant_sees_its_own(self, world, alice, bob, admin):
        mine = create(alice)
        theirs = create(bob)
        assert ids(alice.get("/instances")) == [mine]
        assert ids(bob.get("/instances")) == [theirs]
        assert ids(admin.get("/instances")) == []

    def test_2_5_pages_follow_each_other_by_id(self, world, alice):
        expected = world.add_instances("tenant-a", 5)
        answer = alice.get("/instances?limit=2&include_clustered=False")
        assert ids(answer) == expected[:2]
        assert answer.json["links"] == [{"rel": "next", "href": (
            f"http://localhost/v1.0/tenant-a/instances?limit=2&include_clustered=False&marker={expected[1]}")}]
        answer = alice.get(answer.json["links"][0]["href"].removeprefix("http://localhost"))
        assert ids(answer) == expected[2:4]
        answer = alice.get(answer.json["links"][0]["href"].removeprefix("http://localhost"))
        assert ids(answer) == expected[4:]
        assert "links" not in answer.json

    def test_2_8_the_page_after_the_last_is_empty(self, world, alice):
        expected = world.add_instances("tenant-a", 2)
        answer = alice.get(f"/instances?limit=2&marker={expected[1]}")
        assert answer.json == {"instances": []}
        assert alice.get("/instances?limit=2&marker=").json == alice.get("/instances?limit=2").json

    def test_the_order_is_that_of_creation_and_pages_stay_so(self, world, alice):
        """Instances that are made or deleted between two pages change nothing about the others."""
        expected = world.add_instances("tenant-a", 6)[::-1]
        for day, instance_id in enumerate(expected, 1):
            world.set(instance_id, created=datetime.datetime(2026, 1, day))
        assert ids(alice.get("/instances")) == expected
        first = alice.get("/instances?limit=3").json["links"][0]["href"].removeprefix("http://localhost")
        world.set(expected[2], deleted=True)  # the marker
        world.set(expected[0], deleted=True)
        [new] = world.add_instances("tenant-a", 1)
        assert ids(alice.get(first)) == expected[3:]
        assert ids(alice.get("/instances")) == [expected[1], *expected[3:], new]
        assert ids(alice.get("/instances?include_clustered=true&limit=2")) == [expected[1], expected[3]]

    def test_a_marker_that_is_unknown_is_refused(self, world, alice, bob):
        [foreign] = world.add_instances("tenant-b", 1)
        for marker in (UNKNOWN, "zzz", foreign):
            assert "marker" in check_fault(alice.get(f"/instances?marker={marker}", status=400))

    def test_a_marker_that_is_no_text(self, world, alice):
        for marker in ("%FF", "%00", "%F0%9F%8D%8B"):
            assert alice("GET", f"/instances?marker={marker}").status_int in (200, 400)

    def test_2_1_a_limit_is_cut_down_to_the_page_size(self, world, alice):
        expected = world.add_instances("tenant-a", 21)
        assert ids(alice.get("/instances?limit=1000")) == expected[:20]
        assert ids(alice.get("/instances")) == expected[:20]

    @pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1.5"])
    def test_2_1_a_bad_limit(self, world, alice, limit):
        alice.get(f"/instances?limit={limit}", status=400)

    def test_members_of_clusters_are_hidden_unless_asked_for(self, world, alice):
        now = models.utcnow()
        with world.db.writer() as session:
            session.execute(tables.clusters.insert(), {
                "id": "c1", "created": now, "updated": now, "name": "c", "task_id": 1, "tenant_id": "tenant-a",
                "datastore_version_id": world.catalog["mysql 5.7"].id, "deleted": False})
        [member] = world.add_instances("tenant-a", 1, cluster_id="c1")
        for hidden in ("", "?include_clustered=False", "?include_clustered=nonsense"):
            assert ids(alice.get(f"/instances{hidden}")) == []
        for shown in ("true", "True", "1"):
            assert ids(alice.get(f"/instances?include_clustered={shown}")) == [member]

    @pytest.mark.parametrize("number", [1, 20, 1000])
    def test_a_list_costs_one_statement_and_no_call(self, world, alice, options, statements, number):
        options.set_override("instances_page_size", 1000)
        world.add_instances("tenant-a", number)
        del statements[:]
        assert len(alice.get("/instances").json["instances"]) == number
        assert len(statements) == 1

    def test_a_backup_that_runs_is_shown_without_a_statement_more(self, world, alice, statements):
        busy, idle = world.add_instances("tenant-a", 2)
        world.add_backup(busy, "SAVING")
        world.add_backup(idle, "COMPLETED")
        del statements[:]
        assert [view["status"] for view in alice.get("/instances").json["instances"]] == ["BACKUP", "ACTIVE"]
        assert len(statements) == 1

    def test_addresses_are_filtered_as_the_options_say(self, world, alice, options):
        instance_id = create_active(world, alice)
        world.set(instance_id, address_list=[
            {"address": "10.1.2.3", "network": "private", "type": "private"},
            {"address": "10.1.2.9", "network": "private", "type": "private"},
            {"address": "192.0.2.7", "network": "management", "type": "private"}])
        options.set_override("network_label_regex", "^private$")
        options.set_override("black_list_regex", r"\.9$")
        assert alice.get("/instances").json["instances"][0]["ip"] == ["10.1.2.3"]


class TestShow:
    def test_what_show_adds(self, world, alice):
        instance_id = create_active(world, alice)
        view = show(alice, instance_id)
        assert view["volume"] == {"size": 1, "used": 0.11}
        since = view["operation"].pop("since")
        assert view["operation"] == {"kind": "instance.create", "state": "done", "step": None}
        assert abs((datetime.datetime.fromisoformat(since) - utcnow()).total_seconds()) < 60
        assert view["service_status_updated"]

    def test_a_fault_is_shown_with_the_step(self, world, alice):
        instance_id = create(alice)
        world.end_operations(instance_id, operations.FAILED, "No valid host was found.")
        world.set(instance_id, task=InstanceTasks.BUILDING_ERROR_SERVER)
        with world.db.writer() as session:
            record_fault(session, instance_id, "No valid host was found.", "server", "req-1")
        view = show(alice, instance_id)
        assert view["status"] == "ERROR"
        assert view["fault"].items() >= {"message": "No valid host was found.", "details": "server"}.items()
        assert view["operation"]["error"] == "No valid host was found."

    def test_2_10_a_name_is_404(self, world, alice):
        create_active(world, alice)
        for text in ("m1", UNKNOWN, "m1.json", "%C3%BC", "%FF", "%25", "a" * 300):
            alice.get(f"/instances/{text}", status=404)

    def test_1_25_of_another_tenant(self, world, alice, bob, admin):
        instance_id = create_active(world, alice)
        bob.get(f"/instances/{instance_id}", status=404)
        view = show(admin, instance_id)
        assert view.items() >= {"tenant_id": "tenant-a", "server_id": f"server-{instance_id[:8]}",
                                "volume_id": f"volume-{instance_id[:8]}"}.items()

    def test_5_50_deleted(self, world, alice):
        instance_id = create_active(world, alice)
        world.set(instance_id, deleted=True)
        alice.get(f"/instances/{instance_id}", status=404)
        assert ids(alice.get("/instances")) == []

    def test_source_and_replicas(self, world, alice):
        source, replica = create_active(world, alice), create_active(world, alice)
        world.set(replica, slave_of_id=source)
        assert show(alice, replica)["replica_of"]["id"] == source
        assert [entry["id"] for entry in show(alice, source)["replicas"]] == [replica]

    @pytest.mark.parametrize("change", [
        {}, {"task": InstanceTasks.REBOOTING}, {"task": InstanceTasks.RESIZING}, {"server_status": "REBOOT"},
        {"service": ServiceStatuses.SHUTDOWN}, {"service": ServiceStatuses.CRASHED}])
    def test_the_used_space_is_what_the_guest_last_reported(self, world, alice, admin, change):
        instance_id = create_active(world, alice)
        world.set(instance_id, **change)
        world.guest(instance_id).error = exception.GuestTimeout()
        world.report(instance_id, 5, {"used": 0.25})
        assert show(alice, instance_id)["volume"] == {"size": 1, "used": 0.25}
        assert admin.get(f"/mgmt/instances/{instance_id}").json["instance"]["volume"]["used"] == 0.25
        assert world.guest(instance_id).calls == []

    def test_the_used_space_of_a_silent_guest_is_unknown(self, world, alice):
        instance_id = create_active(world, alice)
        world.silence(instance_id)
        view = show(alice, instance_id)
        assert (view["status"], view["volume"]) == ("ERROR", {"size": 1})
        assert world.guest(instance_id).calls == []

    def test_an_agent_that_does_not_report_the_used_space(self, world, alice):
        instance_id = create_active(world, alice)
        world.report(instance_id, facts={"access": True})
        assert show(alice, instance_id)["volume"] == {"size": 1}
        assert world.guest(instance_id).calls == []

    def test_progress_while_it_builds(self, world, alice):
        instance_id = create(alice)
        with world.db.writer() as session:
            [operation] = operations.live_for(session, "instance", instance_id)
            operations.claim(session, operation.id, "me", 30)
            operations.update_held(session, operation.id, "me", state=operations.RUNNING, step="wait for the server",
                                   step_data='{"history": [{"step": "volume", "seconds": 0.5}]}')
        view = show(alice, instance_id)["operation"]
        assert view.pop("since")
        assert view == {"kind": "instance.create", "state": "running", "step": "wait for the server"}
        [whole] = alice.get(f"/instances/{instance_id}/operations").json["operations"]
        assert whole["seconds"] < 60 and whole["ended"] is None and whole["request_id"].startswith("req-")
        assert whole["steps"] == [{"name": "volume", "seconds": 0.5}]


class TestOperations:
    def test_pages_newest_first_with_steps_and_errors(self, world, alice):
        instance_id = create_active(world, alice)
        alice.post(f"/instances/{instance_id}/action", {"restart": {}}, status=202)
        world.end_operations(instance_id, operations.FAILED, "The server did not start.")
        first = alice.get(f"/instances/{instance_id}/operations?limit=1").json
        [restart] = first["operations"]
        assert (restart["kind"], restart["state"], restart["error"]) == (
            "instance.restart", "failed", "The server did not start.")
        assert restart["ended"] is not None
        second = alice.get(f"/instances/{instance_id}/operations?limit=1&marker={restart['id']}").json
        [create] = second["operations"]
        assert (create["kind"], create["state"]) == ("instance.create", "done")
        assert create["steps"] == [{"name": "volume", "seconds": 1.25}, {"name": "server", "seconds": 2.5}]
        assert "error" not in create and "links" not in second and first["links"][0]["rel"] == "next"

    def test_one(self, world, alice, bob):
        instance_id, other = create_active(world, alice), create_active(world, alice)
        [view] = alice.get(f"/instances/{instance_id}/operations").json["operations"]
        path = f"/operations/{view['id']}"
        assert alice.get(f"/instances/{instance_id}{path}").json == {"operation": view}
        alice.get(f"/instances/{other}{path}", status=404)
        alice.get(f"/instances/{instance_id}/operations/{UNKNOWN}", status=404)
        bob.get(f"/instances/{instance_id}{path}", status=404)

    def test_a_marker_that_is_unknown_or_of_another_instance_is_refused(self, world, alice):
        instance_id = create_active(world, alice)
        other = create_active(world, alice)
        [foreign] = alice.get(f"/instances/{other}/operations").json["operations"]
        for marker in (UNKNOWN, foreign["id"]):
            answer = alice.get(f"/instances/{instance_id}/operations?marker={marker}", status=400)
            assert "marker" in answer.text

    def test_of_another_tenant(self, world, alice, bob):
        instance_id = create_active(world, alice)
        bob.get(f"/instances/{instance_id}/operations", status=404)


class TestDelete:
    def test_202_empty_then_404_when_the_task_manager_is_done(self, world, alice):
        instance_id = create_active(world, alice)
        answer = alice.delete(f"/instances/{instance_id}", status=202)
        assert (answer.body, answer.headers["Content-Length"]) == (b"", "0")
        [_created, deleted] = world.operations(instance_id)
        assert (deleted.kind, deleted.lock_key) == ("instance.delete", f"instance:{instance_id}:delete")
        assert world.casts[-1] == ("instance.delete", deleted.id)
        assert show(alice, instance_id)["status"] == "SHUTDOWN"

    @pytest.mark.parametrize("task", [InstanceTasks.PROMOTING, InstanceTasks.EJECTING])
    def test_not_in_the_middle_of_a_failover(self, world, alice, task):
        instance_id = create_active(world, alice)
        world.set(instance_id, task=task)
        assert task.action in alice.delete(f"/instances/{instance_id}", status=422).text
        alice.post(f"/instances/{instance_id}/action", {"reset_status": {}}, status=202)
        alice.delete(f"/instances/{instance_id}")

    @pytest.mark.parametrize("task", sorted(
        set(InstanceTasks.all()) - {InstanceTasks.PROMOTING, InstanceTasks.EJECTING}, key=lambda task: task.code))
    def test_legal_in_every_other_state(self, world, alice, task):
        instance_id = create_active(world, alice)
        world.set(instance_id, task=task, service=ServiceStatuses.FAILED)
        alice.delete(f"/instances/{instance_id}")
        assert world.operations(instance_id)[-1].state == operations.PENDING

    def test_while_it_builds_the_build_is_cancelled(self, world, alice):
        instance_id = create(alice)
        alice.delete(f"/instances/{instance_id}")
        building, deleting = world.operations(instance_id)
        assert (building.cancel, deleting.cancel) == (True, False)
        assert world.row(instance_id)["task_id"] == InstanceTasks.DELETING.code

    def test_a_second_delete_is_the_first_one(self, world, alice):
        instance_id = create_active(world, alice)
        alice.delete(f"/instances/{instance_id}")
        alice.delete(f"/instances/{instance_id}")
        assert [operation.kind for operation in world.operations(instance_id)] == ["instance.create", "instance.delete"]
        assert world.casts[-1] == world.casts[-2]

    def test_a_failed_delete_may_be_repeated(self, world, alice):
        instance_id = create_active(world, alice)
        alice.delete(f"/instances/{instance_id}")
        world.end_operations(instance_id, operations.FAILED, "volume busy")
        world.set(instance_id, task=InstanceTasks.DELETING_ERROR)
        alice.delete(f"/instances/{instance_id}")
        assert [operation.state for operation in world.operations(instance_id)] == ["done", "failed", "pending"]

    def test_refused(self, world, alice, bob):
        source, replica = create_active(world, alice), create_active(world, alice)
        world.set(replica, slave_of_id=source)
        before = world.counts()
        assert "replicas" in alice.delete(f"/instances/{source}", status=403).text
        bob.delete(f"/instances/{replica}", status=404)
        alice.delete(f"/instances/{UNKNOWN}", status=404)
        assert world.counts() == before
        alice.delete(f"/instances/{replica}")

    def test_1_25_an_administrator_deletes_what_is_a_tenants(self, world, alice, admin):
        instance_id = create_active(world, alice)
        admin.delete(f"/instances/{instance_id}")


def act(caller, instance_id, body, status=202):
    return caller.post(f"/instances/{instance_id}/action", body, status=status)


class TestRestart:
    @pytest.mark.parametrize("value", [{}, None])
    def test_202_and_the_task_is_taken(self, world, alice, value):
        instance_id = create_active(world, alice)
        assert act(alice, instance_id, {"restart": value}).body == b""
        [_created, restart] = world.operations(instance_id)
        assert restart.kind == "instance.restart"
        assert world.casts[-1] == ("instance.restart", restart.id)
        assert show(alice, instance_id)["status"] == "REBOOT"
        act(alice, instance_id, {"restart": {}}, 422)
        assert len(world.operations(instance_id)) == 2

    def test_it_is_what_restart_required_asks_for(self, world, alice):
        instance_id = create_active(world, alice)
        world.set(instance_id, task=InstanceTasks.RESTART_REQUIRED)
        act(alice, instance_id, {"restart": {}})

    @pytest.mark.parametrize(("change", "word"), [
        ({"task": InstanceTasks.BUILDING}, "BUILDING"), ({"task": InstanceTasks.DELETING}, "DELETING"),
        ({"task": InstanceTasks.BUILDING_ERROR_SERVER}, "BUILDING"), ({"server_status": "REBOOT"}, "REBOOT"),
        ({"service": ServiceStatuses.NEW}, "new"), ({"service": ServiceStatuses.PAUSED}, "paused")])
    def test_6_guard_g_names_the_offending_word(self, world, alice, change, word):
        instance_id = create_active(world, alice)
        world.set(instance_id, **change)
        assert word in act(alice, instance_id, {"restart": {}}, 422).text
        assert len(world.operations(instance_id)) == 1

    def test_6_guard_g_with_a_backup(self, world, alice):
        instance_id = create_active(world, alice)
        world.add_backup(instance_id, "NEW")
        assert "BACKUP" in act(alice, instance_id, {"restart": {}}, 422).text

    def test_of_two_at_once_one_wins(self, world, alice):
        instance_id = create_active(world, alice)
        codes, together = [], threading.Barrier(2)

        def request():
            together.wait(10)
            codes.append(act(alice, instance_id, {"restart": {}}, None).status_int)
        threads = [threading.Thread(target=request) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(codes) == [202, 422]
        assert len(world.operations(instance_id)) == 2


class TestOtherActions:
    @pytest.mark.parametrize("body", [None, {}, {"explode": {}}, {"restart": {}, "resize": {}}, {"restart": 1},
                                      {"resize": {}}, {"resize": None}, {"resize": {"flavorRef": "1", "volume": 2}},
                                      {"resize": {"volume": {"size": "x"}}}, {"resize": {"flavorRef": None}}])
    def test_what_is_no_action(self, world, alice, body):
        act(alice, create_active(world, alice), body, 400)

    def test_what_is_not_supported_says_so(self, world, alice, bob):
        instance_id, body = create_active(world, alice), {"reset_password": {}}
        before = world.row(instance_id), world.counts()
        assert next(iter(body)) in act(alice, instance_id, body, 501).text
        act(bob, instance_id, body, 404)
        assert (world.row(instance_id), world.counts()) == before

    def test_promote_and_eject_without_replication(self, world, alice):
        instance_id = create_active(world, alice)
        assert "not a replica" in act(alice, instance_id, {"promote_to_replica_source": {}}, 400).text
        assert "no replicas" in act(alice, instance_id, {"eject_replica_source": {}}, 400).text
        act(alice, UNKNOWN, {"promote_to_replica_source": {}}, 404)
        act(alice, UNKNOWN, {"eject_replica_source": {}}, 404)

    def test_reset_status_then_delete_is_a_force_delete(self, world, alice, bob):
        instance_id = create(alice)
        act(bob, instance_id, {"reset_status": {}}, 404)
        act(alice, instance_id, {"reset_status": {}})
        assert world.operations(instance_id)[0].cancel
        assert world.row(instance_id)["task_id"] == InstanceTasks.NONE.code
        assert show(alice, instance_id)["status"] == "ERROR"
        alice.delete(f"/instances/{instance_id}")

    def test_reset_status_does_not_stop_a_deletion(self, world, alice):
        instance_id = create_active(world, alice)
        alice.delete(f"/instances/{instance_id}")
        act(alice, instance_id, {"reset_status": {}})
        assert not world.operations(instance_id)[-1].cancel
        assert show(alice, instance_id)["status"] == "SHUTDOWN"

    def test_reset_status_frees_from_a_backup_that_never_ends(self, world, alice):
        instance_id = create_active(world, alice)
        world.add_backup(instance_id, "BUILDING")
        act(alice, instance_id, {"reset_status": None})
        assert world.rows(tables.backups)[0]["state"] == "FAILED"


class TestChange:
    """Rule 2e: the same for PUT and PATCH; what is absent is untouched."""

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_a_name(self, world, alice, bob, method):
        instance_id = create_active(world, alice)
        before = show(alice, instance_id)
        assert alice(method, f"/instances/{instance_id}", {"instance": {"name": "new name"}}, status=202).body == b""
        after = show(alice, instance_id)
        assert after["name"] == "new name"
        assert {**after, "name": 0, "updated": 0} == {**before, "name": 0, "updated": 0}
        bob(method, f"/instances/{instance_id}", {"instance": {"name": "x"}}, status=404)

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize(("change", "code"), [
        ({}, 202), ({"configuration": None}, 202), ({"configuration": ""}, 202), ({"configuration": UNKNOWN}, 404),
        ({"configuration": f"http://h/configurations/{UNKNOWN}"}, 404), ({"configuration": "x"}, 400),
        ({"configuration": 1}, 400), ({"replica_of": None}, 400), ({"replica_of": ""}, 400), ({"slave_of": None}, 400),
        ({"slave_of": UNKNOWN}, 400), ({"name": ""}, 400), ({"name": None}, 400), ({"name": 1}, 400)])
    def test_the_other_parts(self, world, alice, method, change, code):
        instance_id = create_active(world, alice)
        before = world.row(instance_id)
        alice(method, f"/instances/{instance_id}", {"instance": change}, status=code)
        assert world.row(instance_id) == before

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize(("more", "code", "words"), [
        ({"datastore_version": UNKNOWN}, 501, "instance.datastore_version"), ({"flavor": "2"}, 400, "'flavor'")])
    def test_what_cannot_be_changed_is_refused_by_its_name(self, world, alice, method, more, code, words):
        instance_id = create_active(world, alice)
        before = world.row(instance_id)
        answer = alice(method, f"/instances/{instance_id}", {"instance": {"name": "new", **more}}, status=code)
        assert words in answer.text
        assert world.row(instance_id) == before

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_a_version_that_is_null_changes_nothing(self, world, alice, method):
        instance_id = create_active(world, alice)
        alice(method, f"/instances/{instance_id}", {"instance": {"datastore_version": None}}, status=202)

    def test_public_access_is_not_silently_ignored(self, world, alice):
        instance_id = create_active(world, alice)
        alice.put(f"/instances/{instance_id}", {"instance": {"access": {"is_public": True}}}, status=501)

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize("body", [None, {}, {"instance": None}, {"instance": []}])
    def test_without_the_instance(self, world, alice, method, body):
        alice(method, f"/instances/{create_active(world, alice)}", body, status=400)

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_of_nothing(self, world, alice, method):
        alice(method, f"/instances/{UNKNOWN}", {"instance": {"name": "x"}}, status=404)


class TestReplicas:
    """Promote, eject, detach: what is refused, and what is begun."""

    @pytest.fixture
    def family(self, world, alice):
        """A source with two replicas, all ACTIVE: their ids."""
        source, first, second = (create_active(world, alice) for _ in range(3))
        for replica in (first, second):
            world.set(replica, slave_of_id=source)
        world.casts.clear()
        return source, first, second

    def words(self, caller, *ids):
        return [show(caller, instance_id)["status"] for instance_id in ids]

    @pytest.mark.parametrize(("verb", "body"), [
        ("put", {"replica_of": ""}), ("put", {"replica_of": None}), ("patch", {"slave_of": None}),
        ("patch", {"replica_of": "", "name": "own"})])
    def test_detach(self, world, alice, family, verb, body):
        source, replica, _ = family
        getattr(alice, verb)(f"/instances/{replica}", {"instance": body})
        operation = world.operations(replica)[-1]
        assert (operation.kind, operation.args) == (
            "instance.detach", {"source": source, "restart_required": False})
        assert world.casts == [("instance.detach", operation.id)]
        assert self.words(alice, *family) == ["ACTIVE", "DETACH", "ACTIVE"]
        alice.patch(f"/instances/{replica}", {"instance": {"replica_of": ""}}, status=422)

    def test_promote(self, world, alice, family):
        source, first, second = family
        world.set(second, task=InstanceTasks.RESTART_REQUIRED)
        act(alice, first, {"promote_to_replica_source": {}}, 202)
        operation = world.operations(first)[-1]
        assert (operation.kind, operation.args) == ("instance.promote", {
            "source": source, "candidate": first, "replicas": sorted((first, second)), "restart_required": [second]})
        assert world.casts == [
            ("instance.promote", operation.id)]
        assert self.words(alice, *family) == ["PROMOTE"] * 3
        act(alice, second, {"promote_to_replica_source": {}}, 422)

    @pytest.mark.parametrize(("who", "columns"), [
        (0, {"task": InstanceTasks.RESIZING}), (1, {"service": ServiceStatuses.FAILED}),
        (1, {"server_status": "SHUTOFF"}), (2, {"task": InstanceTasks.BUILDING})])
    def test_a_promotion_that_cannot_be(self, world, alice, family, who, columns):
        world.set(family[who], **columns)
        act(alice, family[1], {"promote_to_replica_source": {}}, 422)
        assert not world.casts

    def test_a_promotion_needs_a_source_that_answers_and_leaves_out_who_is_in_error(self, world, alice, family):
        source, first, second = family
        world.silence(source)
        assert "eject" in act(alice, first, {"promote_to_replica_source": {}}, 422).text
        world.report(source)
        world.set(second, task=InstanceTasks.PROMOTION_ERROR)
        act(alice, first, {"promote_to_replica_source": {}}, 202)
        assert world.operations(first)[-1].args["replicas"] == [first]

    def test_eject(self, world, alice, family):
        source, first, second = family
        assert "sign of life" in act(alice, source, {"eject_replica_source": {}}, 400).text
        world.silence(source)
        world.set(source, server_status="SHUTOFF")
        act(alice, source, {"eject_replica_source": {}}, 202)
        operation = world.operations(source)[-1]
        assert (operation.kind, operation.args) == ("instance.eject", {
            "source": source, "replicas": sorted((first, second)), "restart_required": []})
        assert world.casts == [("instance.eject", operation.id)]
        assert self.words(alice, *family) == ["EJECT"] * 3

    def test_a_reset_frees_nobody_from_a_failover(self, world, alice, admin, family):
        act(alice, family[1], {"promote_to_replica_source": {}}, 202)
        for instance_id in family:
            act(alice, instance_id, {"reset_status": {}}, 202)
            admin.post(f"/mgmt/instances/{instance_id}/action", {"reset-task-status": {}}, status=202)
        assert self.words(alice, *family) == ["PROMOTE"] * 3
        assert not world.operations(family[1])[-1].cancel
        act(alice, family[2], {"promote_to_replica_source": {}}, 422)

    def test_others_may_not(self, bob, family):
        source, replica, _ = family
        act(bob, replica, {"promote_to_replica_source": {}}, 404)
        act(bob, source, {"eject_replica_source": {}}, 404)
        bob.put(f"/instances/{replica}", {"instance": {"replica_of": ""}}, status=404)

    def test_everybody_sees_how_the_replication_does(self, world, alice, admin, family):
        health = {"running": False, "lag": None, "error": "it cannot connect"}
        with world.db.writer() as session:
            beat = conductor_models.Heartbeat(family[1], None, replication=health)
            conductor_models.record_heartbeat(session, beat)
        assert show(alice, family[1])["replication"] == health
        assert admin.get(f"/v1.0/tenant-admin/instances/{family[1]}").json["instance"]["replication"] == health

    @pytest.mark.parametrize(("method", "path", "body"), [
        ("post", "databases", {"databases": [{"name": "db2"}]}), ("delete", "databases/db1", None),
        ("post", "users", {"users": [{"name": "u2", "password": "secret"}]}), ("delete", "users/u1", None),
        ("post", "root", None), ("delete", "root", None)])
    def test_databases_and_users_of_a_replica_are_its_sources(self, alice, family, method, path, body):
        arguments = {"body": body} if body else {}
        answer = getattr(alice, method)(f"/instances/{family[1]}/{path}", status=422, **arguments)
        assert family[0] in answer.text
