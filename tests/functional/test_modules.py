"""Modules (rest-api 3.10; 3.1, /instances/{id}/modules)."""
import base64
import hashlib

import pytest

from tests.functional.world import UNKNOWN, create_active
from trove.common import crypto
from trove.db.sqlalchemy import tables
from trove.module.models import DBInstanceModule

CONTENTS = b"message=hello \xff\x00"


def body(**more):
    given = {"name": "m1", "module_type": "ping", "contents": base64.b64encode(CONTENTS).decode(), **more}
    return {"module": {key: value for key, value in given.items() if value is not None}}


def add(caller, **more):
    """Make a module; returns its view."""
    return caller.post("/modules", body(**more)).json["module"]


def names(caller, query=""):
    return {view["name"] for view in caller.get(f"/modules{query}").json["modules"]}


class TestCreate:
    def test_the_view(self, world, alice):
        view = add(alice, description="d", datastore={"type": "mysql", "version": "5.7"}, live_update=1,
                   priority_apply=0, apply_order=5, all_tenants=0, visible=1, auto_apply=0)
        assert view.items() >= {
            "name": "m1", "type": "ping", "description": "d", "tenant_id": "tenant-a", "tenant": "tenant-a",
            "datastore_id": world.catalog["mysql"].id, "datastore": "mysql", "datastore_version": "5.7",
            "datastore_version_id": world.catalog["mysql 5.7"].id, "auto_apply": False, "visible": True,
            "live_update": True, "instance_count": 0, "md5": hashlib.md5(CONTENTS).hexdigest()}.items()
        assert alice.get(f"/modules/{view['id']}").json == {"module": view}

    def test_for_all(self, world, alice, admin):
        view = add(alice, module_type=None, type="ping")
        assert (view["datastore"], view["datastore_version"], view["datastore_id"]) == ("all", "all", None)
        assert add(admin, all_tenants=True).items() >= {"tenant": "all", "tenant_id": None}.items()

    def test_contents_are_stored_encrypted(self, world, alice):
        add(alice, contents=base64.b64encode(b"message=secret").decode())
        [row] = world.rows(tables.modules)
        assert b"secret" not in row["contents"].encode()
        assert b"secret" not in base64.urlsafe_b64decode(row["contents"])
        assert crypto.decrypt(row["contents"]) == "message=secret"

    @pytest.mark.parametrize(("change", "code"), [
        ({"name": None}, 400), ({"name": ""}, 400), ({"contents": None}, 400), ({"contents": ""}, 400),
        ({"contents": "not base64!"}, 400), ({"contents": "YQ"}, 400), ({"module_type": None}, 400),
        ({"module_type": "magic"}, 404), ({"type": "magic"}, 400), ({"auto_apply": 2}, 400),
        ({"description": "d" * 256}, 400),
        ({"datastore": {"type": "nothing"}}, 404), ({"datastore": {"type": "mysql", "version": "9"}}, 404),
        ({"datastore": {"version": "5.7"}}, 400), ({"auto_apply": 1}, 403), ({"all_tenants": True}, 403),
        ({"visible": 0}, 403)])
    def test_refused(self, world, alice, change, code):
        alice.post("/modules", body(**change), status=code)
        assert world.rows(tables.modules) == []

    def test_a_name_is_taken_once_for_each_kind(self, world, alice, bob):
        add(alice)
        assert "already" in alice.post("/modules", body(), status=400).text
        add(alice, datastore={"type": "mysql"})
        add(bob)
        module_id = add(alice, name="m2")["id"]
        alice.put(f"/modules/{module_id}", {"module": {"name": "m1"}}, status=400)
        alice.delete(f"/modules/{module_id}", status=200)
        add(alice, name="m2")


    def test_a_tenant_keeps_so_many(self, world, alice, bob, admin, options):
        options.set_override("max_modules_per_tenant", 2)
        first = add(alice)
        add(alice, name="m2")
        assert "modules" in alice.post("/modules", body(name="m3"), status=413).text
        add(bob)
        for name in ("a1", "a2", "a3"):
            add(admin, name=name, all_tenants=True)
        alice.delete(f"/modules/{first['id']}", status=200)
        add(alice, name="m3")
        options.set_override("max_modules_per_tenant", -1)
        add(alice, name="m4")

    def test_what_is_deleted_takes_no_room(self, world, alice):
        alice.delete(f"/modules/{add(alice)['id']}", status=200)
        [row] = world.rows(tables.modules)
        assert (row["deleted"], row["contents"]) == (True, "")


class TestList:
    def test_whose(self, world, alice, bob, admin):
        add(alice, name="mine")
        add(bob, name="theirs")
        add(admin, name="shown", all_tenants=True)
        hidden = add(admin, name="hidden", all_tenants=True, visible=False)["id"]
        assert names(alice) == {"mine", "shown"}
        assert names(admin) == {"mine", "theirs", "shown", "hidden"}
        alice.get(f"/modules/{hidden}", status=404)

    def test_of_a_datastore(self, world, alice):
        add(alice, name="any")
        add(alice, name="mysql", datastore={"type": "mysql"})
        assert names(alice, "?datastore=mysql") == names(alice, f"?datastore={world.catalog['mysql'].id}") == {"mysql"}
        assert names(alice, "?datastore=all") == {"any"}
        alice.get("/modules?datastore=nothing", status=404)

    def test_pages_cost_one_statement(self, world, alice, statements):
        added = {add(alice, name=f"m{number}")["id"] for number in range(3)}
        # In the order of their creation, to the second; then by id.
        ids = [view["id"] for view in alice.get("/modules").json["modules"]]
        assert set(ids) == added
        del statements[:]
        page = alice.get("/modules?limit=2").json
        assert len(statements) == 1
        assert "contents" not in statements[0]
        assert [view["id"] for view in page["modules"]] == ids[:2]
        assert f"marker={ids[1]}" in page["links"][0]["href"]
        assert [view["id"] for view in alice.get(f"/modules?marker={ids[1]}").json["modules"]] == ids[2:]


class TestChange:
    def test_what_is_named(self, world, alice):
        before = add(alice, datastore={"type": "mysql", "version": "5.7"})
        path = f"/modules/{before['id']}"
        assert alice.put(path, {"module": {}}, status=200).json["module"] == before
        after = alice.put(path, {"module": {"description": "new", "all_datastore_versions": True}},
                          status=200).json["module"]
        assert (after["description"], after["datastore"], after["datastore_version"]) == ("new", "mysql", "all")
        assert after["md5"] == before["md5"]
        after = alice.put(path, {"module": {"all_datastores": 1, "type": "ping", "contents": "YWI="}},
                          status=200).json["module"]
        assert (after["datastore"], after["md5"]) == ("all", hashlib.md5(b"ab").hexdigest())

    def test_whose(self, world, alice, bob, admin):
        mine, shared = add(alice)["id"], add(admin, name="shared", all_tenants=True)["id"]
        for caller, module_id, code in ((bob, mine, 404), (alice, shared, 403), (alice, UNKNOWN, 404)):
            caller.put(f"/modules/{module_id}", {"module": {"name": "x"}}, status=code)
            caller.delete(f"/modules/{module_id}", status=code)
        alice.put(f"/modules/{mine}", {"module": {"all_tenants": True}}, status=403)
        changed = admin.put(f"/modules/{mine}", {"module": {"visible": 0, "all_tenants": 0}}, status=200).json["module"]
        assert (changed["visible"], changed["tenant"]) == (False, "tenant-a")
        changed = admin.put(f"/modules/{shared}", {"module": {"all_tenants": 0}}, status=200).json["module"]
        assert changed["tenant"] == "tenant-admin"

    def test_delete(self, world, alice):
        module_id = add(alice)["id"]
        assert alice.delete(f"/modules/{module_id}", status=200).body == b""
        alice.get(f"/modules/{module_id}", status=404)
        alice.delete(f"/modules/{module_id}", status=404)


class TestInstances:
    def apply(self, world, instance_id, module):
        """A row as an earlier release has left it."""
        with world.db.writer() as session:
            session.add(DBInstanceModule(instance_id=instance_id, module_id=module["id"], md5=module["md5"]))

    def test_of_a_module(self, world, alice, bob):
        module = add(alice)
        path = f"/modules/{module['id']}"
        ids = sorted(create_active(world, alice) for _ in range(2))
        assert alice.get(f"{path}/instances").json == {"instances": []}
        for instance_id in ids:
            self.apply(world, instance_id, module)
        page = alice.get(f"{path}/instances?limit=1").json
        assert [view["id"] for view in page["instances"]] == ids[:1]
        assert [view["id"] for view in alice.get(f"{path}/instances?marker={ids[0]}").json["instances"]] == ids[1:]
        bob.get(f"{path}/instances", status=404)
        assert alice.get(path).json["module"]["instance_count"] == 2
        alice.delete(path, status=403)
        alice.put(path, {"module": {"contents": "YWI="}}, status=403)
        alice.put(path, {"module": {"contents": "YWI=", "live_update": 1}}, status=200)

    def test_of_an_instance(self, world, alice, bob):
        instance_id, module = create_active(world, alice), add(alice)
        path = f"/instances/{instance_id}/modules"
        assert alice.get(f"{path}?from_guest=False&include_contents=False").json == {"modules": []}
        self.apply(world, instance_id, module)
        [view] = alice.get(path).json["modules"]
        assert (view["id"], view["applied_md5"]) == (module["id"], module["md5"])
        bob.get(path, status=404)

    def test_agents_take_none(self, world, alice):
        instance_id, module = create_active(world, alice), add(alice)
        path = f"/instances/{instance_id}/modules"
        assert "takes no modules" in alice.post(path, {"modules": [{"id": module["id"]}]}, status=501).text
        alice.post(path, {"modules": [{"id": UNKNOWN}]}, status=404)
        for wrong in ({}, {"modules": []}, {"modules": [{}]}):
            alice.post(path, wrong, status=400)
        alice.delete(f"{path}/{module['id']}", status=404)
        self.apply(world, instance_id, module)
        alice.delete(f"{path}/{module['id']}", status=501)
        alice.put(f"/modules/{module['id']}/instances", status=501)
        alice.put(f"/modules/{UNKNOWN}/instances", status=404)
