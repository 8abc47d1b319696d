"""The management API (rest-api 4): instances of all tenants, and quotas."""
import pytest

from tests.functional.world import UNKNOWN, create, create_active
from trove.common import exception
from trove.common.instance import ServiceStatuses
from trove.db import models
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/instances"), ("GET", f"/instances/{UNKNOWN}"), ("POST", f"/instances/{UNKNOWN}/action"),
    ("GET", f"/instances/{UNKNOWN}/root"), ("GET", f"/instances/{UNKNOWN}/rpc_ping"), ("GET", "/quotas/tenant-b"),
    ("PUT", "/quotas/tenant-a")])
def test_1_24_only_for_administrators(world, alice, method, path):
    alice(method, f"/mgmt{path}", {} if method != "GET" else None, status=403)


class TestInstances:
    def test_all_tenants_and_what_is_added(self, world, alice, bob, admin):
        mine, theirs = create_active(world, alice), create(bob)
        found = {view["id"]: view for view in admin.get("/mgmt/instances").json["instances"]}
        assert set(found) == {mine, theirs}
        assert found[mine].items() >= {
            "status": "ACTIVE", "service_status": "ACTIVE", "tenant_id": "tenant-a", "deleted": False,
            "deleted_at": None, "task_description": "No tasks for the instance.",
            "server": {"id": f"server-{mine[:8]}", "name": "m1", "status": "ACTIVE", "tenant_id": "tenant-a",
                       "host": None}}.items()
        assert found[theirs]["server"] is None

    def test_deleted_ones_on_demand(self, world, alice, admin):
        live, gone = create_active(world, alice), create_active(world, alice)
        world.set(gone, deleted=True, deleted_at=models.utcnow(), task=InstanceTasks.NONE,
                  service=ServiceStatuses.DELETED)
        def listed(query):
            return {view["id"] for view in admin.get(f"/mgmt/instances{query}").json["instances"]}
        assert listed("") == {live, gone}
        assert listed("?include_clustered=False&deleted=False") == {live}
        assert listed("?deleted=true") == {gone}
        assert listed("?deleted=true&project_id=tenant-b") == set()
        view = admin.get(f"/mgmt/instances/{gone}").json["instance"]
        assert (view["status"], view["deleted"]) == ("SHUTDOWN", True)
        assert view["deleted_at"]
        admin.get(f"/mgmt/instances/{gone}?deleted=false", status=404)

    def test_pages(self, world, admin):
        expected = world.add_instances("tenant-a", 25)
        answer = admin.get("/mgmt/instances?limit=24")
        assert [view["id"] for view in answer.json["instances"]] == expected[:24]
        assert f"marker={expected[23]}" in answer.json["links"][0]["href"]
        assert len(admin.get("/mgmt/instances").json["instances"]) == 25

    @pytest.mark.parametrize("number", [1, 20, 1000])
    def test_a_list_costs_one_statement(self, world, admin, statements, number):
        world.add_instances("tenant-a", number)
        del statements[:]
        assert len(admin.get("/mgmt/instances").json["instances"]) == number
        assert len(statements) == 1

    def test_show(self, world, alice, admin):
        instance_id = create_active(world, alice)
        alice.post(f"/instances/{instance_id}/root")
        view = admin.get(f"/mgmt/instances/{instance_id}").json["instance"]
        assert view["server"]["addresses"] == [{"address": "10.1.2.3", "network": "private", "type": "private"}]
        assert view["volume"].items() >= {"id": f"volume-{instance_id[:8]}", "size": 1, "used": 0.11}.items()
        assert view["guest_status"] == {"state_description": "running"}
        assert view["root_enabled_by"] == "user-of-tenant-a"
        assert view["root_enabled"]
        admin.get(f"/mgmt/instances/{UNKNOWN}", status=404)

    def test_root_history(self, world, alice, admin):
        instance_id = create_active(world, alice)
        never = {"id": instance_id, "enabled": "Never", "user": "Nobody"}
        assert admin.get(f"/mgmt/instances/{instance_id}/root").json == {"root_history": never}
        alice.post(f"/instances/{instance_id}/root")
        alice.delete(f"/instances/{instance_id}/root", status=204)
        history = admin.get(f"/mgmt/instances/{instance_id}/root").json["root_history"]
        assert history["user"] == "user-of-tenant-a"
        assert history["enabled"] != "Never"
        admin.get(f"/mgmt/instances/{UNKNOWN}/root", status=404)

    def test_rpc_ping(self, world, alice, admin):
        instance_id = create_active(world, alice)
        assert admin.get(f"/mgmt/instances/{instance_id}/rpc_ping", status=204).body == b""
        world.guest(instance_id).error = exception.GuestTimeout()
        admin.get(f"/mgmt/instances/{instance_id}/rpc_ping", status=400)
        admin.get(f"/mgmt/instances/{UNKNOWN}/rpc_ping", status=404)

    def test_diagnostics_and_hwinfo(self, world, alice, admin):
        """Rows 4 GET diagnostics and GET hwinfo."""
        base = f"/mgmt/instances/{create_active(world, alice)}"
        assert admin.get(f"{base}/diagnostics").json == {"diagnostics": {
            "version": "1.0", "threads": 2, "fdSize": 64, "vmSize": 5, "vmPeak": 6, "vmRss": 3, "vmHwm": 4}}
        assert admin.get(f"{base}/hwinfo").json == {"hwinfo": {"mem_total": 524288, "num_cpus": 1}}
        for path in ("diagnostics", "hwinfo"):
            admin.get(f"/mgmt/instances/{UNKNOWN}/{path}", status=404)
        world.guest(base.rpartition("/")[2]).error = exception.GuestTimeout()
        admin.get(f"{base}/hwinfo", status=400)

    def test_upgrade_is_refused(self, world, alice, admin):
        """Row 4 POST upgrade."""
        body = {"upgrade": {"instance_version": "v1.0.1", "location": "http://swift/trove-guestagent-v1.0.1.tar.gz"}}
        base = f"/mgmt/instances/{create_active(world, alice)}/upgrade"
        admin.post(base, body, status=501)
        admin.post(base, {"upgrade": {}}, status=400)
        admin.post(f"/mgmt/instances/{UNKNOWN}/upgrade", body, status=404)

    def test_reset_task_status(self, world, alice, admin):
        instance_id = create(alice)
        world.add_backup(instance_id, "BUILDING")
        admin.post(f"/mgmt/instances/{instance_id}/action", {"reset-task-status": {}}, status=202)
        assert world.row(instance_id)["task_id"] == InstanceTasks.NONE.code
        assert world.rows(tables.backups)[0]["state"] == "FAILED"
        assert world.operations(instance_id)[0].cancel
        # Nobody builds it any more: it must not look as if.
        assert alice.get(f"/instances/{instance_id}").json["instance"]["status"] == "ERROR"

    def test_reset_task_status_keeps_what_the_guest_said(self, world, alice, admin):
        instance_id = create_active(world, alice)
        world.set(instance_id, task=InstanceTasks.RESIZING)
        admin.post(f"/mgmt/instances/{instance_id}/action", {"reset-task-status": None}, status=202)
        assert alice.get(f"/instances/{instance_id}").json["instance"]["status"] == "ACTIVE"

    @pytest.mark.parametrize(("value", "version", "host"), [
        (None, "2.12", None), ({}, "2.12", None), ({"host": None}, "2.12", None), ({"host": "h2"}, "2.56", "h2")])
    def test_migrate(self, world, options, alice, admin, value, version, host):
        options.set_override("nova_client_version", version)
        instance_id = create_active(world, alice)
        admin.post(f"/mgmt/instances/{instance_id}/action", {"migrate": value}, status=202)
        operation = world.operations(instance_id)[-1]
        assert (operation.kind, operation.args["host"]) == ("instance.migrate", host)
        assert world.row(instance_id)["task_id"] == InstanceTasks.MIGRATING.code
        assert world.casts[-1] == ("instance.migrate", operation.id)
        assert "MIGRATING" in admin.post(f"/mgmt/instances/{instance_id}/action", {"migrate": {}}, status=422).text
        admin.post(f"/mgmt/instances/{UNKNOWN}/action", {"migrate": {}}, status=404)

    @pytest.mark.parametrize(("action", "kind"), [("reboot", "instance.reboot"), ("stop", "instance.stop")])
    def test_reboot_and_stop(self, world, alice, admin, action, kind):
        instance_id = create_active(world, alice)
        admin.post(f"/mgmt/instances/{instance_id}/action", {action: {}}, status=202)
        operation = world.operations(instance_id)[-1]
        assert (operation.kind, operation.tenant_id) == (kind, "tenant-admin")
        assert world.casts[-1] == (kind, operation.id)
        word = alice.get(f"/instances/{instance_id}").json["instance"]["status"]
        assert word == ("REBOOT" if action == "reboot" else "ACTIVE")
        admin.post(f"/mgmt/instances/{instance_id}/action", {action: {}}, status=422)
        assert len(world.operations(instance_id)) == 2
        admin.post(f"/mgmt/instances/{UNKNOWN}/action", {action: {}}, status=404)

    def test_the_guard_holds_for_a_reboot_and_not_for_a_stop(self, world, alice, admin):
        instance_id = create_active(world, alice)
        world.set(instance_id, service=ServiceStatuses.FAILED_TIMEOUT_GUESTAGENT)
        admin.post(f"/mgmt/instances/{instance_id}/action", {"reboot": {}}, status=422)
        admin.post(f"/mgmt/instances/{instance_id}/action", {"stop": None}, status=202)

    def test_what_is_deleted_is_not_stopped(self, world, alice, admin):
        instance_id = create_active(world, alice)
        alice.delete(f"/instances/{instance_id}")
        for action in ("stop", "reboot"):
            admin.post(f"/mgmt/instances/{instance_id}/action", {action: {}}, status=422)

    @pytest.mark.parametrize(("body", "code"), [
        (None, 400), ({}, 400), ({"update": {}}, 400), ({"stop": {}, "reboot": {}}, 400), ({"stop": 1}, 400),
        ({"migrate": {"host": "h"}}, 400), ({"migrate": {"to": "h"}}, 400), ({"migrate": {"host": 1}}, 400),
        ({"rebuild": {"image_id": "i"}}, 501)])
    def test_other_actions(self, world, alice, admin, body, code):
        instance_id = create_active(world, alice)
        before = world.row(instance_id)
        admin.post(f"/mgmt/instances/{instance_id}/action", body, status=code)
        assert world.row(instance_id) == before


class TestQuotas:
    def test_the_list_form(self, world, alice, admin):
        create(alice, volume={"size": 3})
        expected = [{"resource": "backups", "in_use": 0, "reserved": 0, "limit": 50},
                    {"resource": "instances", "in_use": 1, "reserved": 0, "limit": 5},
                    {"resource": "volumes", "in_use": 3, "reserved": 0, "limit": 20}]
        assert admin.get("/mgmt/quotas/tenant-a").json == {"quotas": expected}
        assert alice.get("/mgmt/quotas/tenant-a").json == {"quotas": expected}

    def test_what_is_set_holds(self, world, alice, admin):
        body = {"quotas": {"instances": 1, "volumes": -1}}
        assert admin.put("/mgmt/quotas/tenant-a", body, status=200).json == body
        limits = {quota["resource"]: quota["limit"] for quota in admin.get("/mgmt/quotas/tenant-a").json["quotas"]}
        assert limits == {"backups": 50, "instances": 1, "volumes": -1}
        create(alice)
        alice.post("/instances", {"instance": {"name": "m2", "flavorRef": 1, "volume": {"size": 1},
                                               "datastore": {"type": "mysql"}}}, status=413)

    @pytest.mark.parametrize(("quotas", "code"), [
        ({}, 400), ({"instances": -2}, 400), ({"instances": "1"}, 400), ({"instances": 2**31}, 400),
        ({"instances": True}, 400), ({"instances": 1.5}, 400), (None, 400), ({"elephants": 1}, 404),
        ({"instances": 7, "elephants": 1}, 404)])
    def test_refused_and_nothing_set(self, world, admin, quotas, code):
        admin.put("/mgmt/quotas/tenant-a", {"quotas": quotas}, status=code)
        assert world.rows(tables.quotas) == []
