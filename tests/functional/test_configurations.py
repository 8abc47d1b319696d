"""Configuration groups over HTTP (rest-api 3.5, 2e, 3.1; states 6; rpc 9.8-9.12)."""
import pytest
import sqlalchemy

from tests.functional.conftest import check_fault
from tests.functional.world import UNKNOWN, create, create_active, create_body
from trove.datastore.models import DBDatastoreConfigurationParameter
from trove.db.sqlalchemy import tables
from trove.instance.tasks import InstanceTasks

# Of the catalog's parameters autocommit needs a restart.
DYNAMIC = {"max_connections": 10}


def body(values=None, **more):
    return {"configuration": {"name": "c1", "values": DYNAMIC if values is None else values,
                              "datastore": {"type": "mysql", "version": "5.7"}, **more}}


def group(caller, values=None, **more):
    """Make a group; returns its id."""
    return caller.post("/configurations", body(values, **more)).json["configuration"]["id"]


def values_of(caller, group_id):
    return caller.get(f"/configurations/{group_id}").json["configuration"]["values"]


def put(caller, instance_id, changes, status=202):
    return caller.put(f"/instances/{instance_id}", {"instance": changes}, status=status)


def configures(world, instance_id):
    return [operation for operation in world.operations(instance_id) if operation.kind == "instance.configure"]


def task(world, instance_id):
    return InstanceTasks.from_code(world.row(instance_id)["task_id"])


@pytest.fixture
def instance_id(world, alice):
    return create_active(world, alice)


class TestGroups:
    def test_create_and_show(self, world, alice, catalog):
        view = alice.post("/configurations", body({"MAX_connections": 10, "autocommit": False},
                                                  description="d")).json["configuration"]
        assert view.items() >= {
            "name": "c1", "description": "d", "values": {"max_connections": 10, "autocommit": False},
            "instance_count": 0, "datastore_name": "mysql", "datastore_version_name": "5.7",
            "datastore_version_id": catalog["mysql 5.7"].id}.items()
        assert alice.get(f"/configurations/{view['id']}").json["configuration"] == view

    def test_the_defaults_of_a_datastore(self, world, alice, options):
        options.set_override("default_datastore", "mysql")
        view = alice.post("/configurations", {"configuration": {"name": "c", "values": {}}}).json["configuration"]
        assert (view["datastore_version_name"], view["values"], view["description"]) == ("5.7", {}, None)

    @pytest.mark.parametrize(("more", "code", "says"), [
        ({"values": {"nothing": 1}}, 422, "values.nothing"),
        ({"values": {"max_connections": "five"}}, 422, "a whole number such as 100"),
        ({"values": {"max_connections": 0}}, 422, "at least 1"), ({"values": None}, 400, "values"),
        ({"values": []}, 400, "values"), ({"name": "x" * 65}, 400, "name"), ({"name": "--"}, 400, "name"),
        ({"description": "x" * 257}, 400, "description"),
        ({"datastore": {"type": "oracle"}}, 404, "oracle"),
        ({"datastore": {"type": "mysql", "version": "9"}}, 400, "datastore.version"),
        ({"datastore": {"type": "mysql", "version": "5.6"}}, 400, "not active"),
        ({"datastore": {"type": "mariadb"}}, 422, "not supported"), ({"datastore": None}, 400, "datastore.type")])
    def test_refused_and_nothing_made(self, world, alice, more, code, says):
        request = body()
        request["configuration"].update(more)
        assert says in check_fault(alice.post("/configurations", request, status=code))
        assert world.rows(tables.configurations) == []

    def test_a_parameter_of_an_unknown_type(self, world, alice, db):
        with db.writer() as session:
            session.execute(sqlalchemy.update(DBDatastoreConfigurationParameter).values(data_type="list"))
        alice.post("/configurations", body(), status=400)

    def test_a_deleted_parameter(self, world, alice, db):
        kept = group(alice)
        with db.writer() as session:
            session.execute(sqlalchemy.update(DBDatastoreConfigurationParameter).where(
                DBDatastoreConfigurationParameter.name == "max_connections").values(deleted=True))
        alice.post("/configurations", body(), status=422)
        assert values_of(alice, kept) == {"max_connections": "10"}

    def test_list_in_pages(self, world, alice, bob):
        ids = sorted(group(alice) for _ in range(3))
        group(bob)
        answer = alice.get("/configurations?limit=2").json
        assert [view["id"] for view in answer["configurations"]] == ids[:2]
        assert "values" not in answer["configurations"][0]
        rest = alice.get(answer["links"][0]["href"].removeprefix("http://localhost")).json
        assert [view["id"] for view in rest["configurations"]] == ids[2:]
        assert "links" not in rest

    @pytest.mark.parametrize("number", [1, 15])
    def test_a_list_costs_one_statement(self, world, alice, statements, number):
        for _ in range(number):
            group(alice)
        del statements[:]
        assert len(alice.get("/configurations").json["configurations"]) == number
        assert len(statements) == 1

    def test_1_25_anothers_group_is_as_good_as_none(self, world, alice, bob, admin):
        theirs, mine = group(bob), create_active(world, alice)
        for found in (theirs, UNKNOWN, "by name"):
            alice.get(f"/configurations/{found}", status=404)
            alice.get(f"/configurations/{found}/instances", status=404)
            alice.put(f"/configurations/{found}", {"configuration": {"values": {}}}, status=404)
            alice.patch(f"/configurations/{found}", {"configuration": {"values": {}}}, status=404)
            alice.delete(f"/configurations/{found}", status=404)
        put(alice, mine, {"configuration": theirs}, status=404)
        put(admin, mine, {"configuration": theirs}, status=404)
        alice.post("/instances", create_body(configuration=theirs), status=404)
        assert values_of(admin, theirs) == DYNAMIC

    def test_patch_merges(self, world, alice):
        found = group(alice, {"max_connections": 10})
        assert alice.patch(f"/configurations/{found}", {"configuration": {"values": {"autocommit": True}}},
                           status=200).body == b""
        assert values_of(alice, found) == {"max_connections": 10, "autocommit": True}
        alice.patch(f"/configurations/{found}", {"configuration": {"values": {"max_connections": 11}}}, status=200)
        assert values_of(alice, found) == {"max_connections": 11, "autocommit": True}

    def test_put_replaces(self, world, alice):
        found = group(alice, {"max_connections": 10})
        path = f"/configurations/{found}"
        alice.put(path, {"configuration": {"values": {"autocommit": True}, "name": "c2", "description": "new"}})
        assert values_of(alice, found) == {"autocommit": True}
        # A value that comes back, and a rename that leaves the values alone.
        alice.put(path, {"configuration": {"values": {"max_connections": 12}}})
        alice.put(path, {"configuration": {"name": "c3"}})
        view = alice.get(path).json["configuration"]
        assert (view["name"], view["description"], view["values"]) == ("c3", "new", {"max_connections": 12})
        alice.put(path, {"configuration": {"values": {"nothing": 1}, "name": "c4"}}, status=422)
        assert alice.get(path).json["configuration"] == view
        alice.put(path, {"configuration": {"values": {}}})
        assert values_of(alice, found) == {}

    def test_delete(self, world, alice, instance_id):
        found = group(alice)
        put(alice, instance_id, {"configuration": found})
        assert "detach" in check_fault(alice.delete(f"/configurations/{found}", status=400))
        put(alice, instance_id, {})
        alice.delete(f"/configurations/{found}")
        alice.get(f"/configurations/{found}", status=404)
        assert alice.get("/configurations").json == {"configurations": []}


class TestAttaching:
    def test_attach(self, world, alice, instance_id):
        found = group(alice)
        put(alice, instance_id, {"configuration": found})
        assert alice.get(f"/instances/{instance_id}").json["instance"]["configuration"] == {
            "id": found, "name": "c1", "links": [
                {"rel": "self", "href": f"http://localhost/v1.0/tenant-a/configurations/{found}"},
                {"rel": "bookmark", "href": f"http://localhost/configurations/{found}"}]}
        assert alice.get(f"/configurations/{found}").json["configuration"]["instance_count"] == 1
        assert alice.get(f"/configurations/{found}/instances").json == {
            "instances": [{"id": instance_id, "name": "m1"}]}
        operation = configures(world, instance_id)[0]
        assert (operation.state, operation.args["removed"]) == ("pending", [])
        assert world.casts[-1] == ("instance.configure", operation.id)
        assert task(world, instance_id) is InstanceTasks.NONE

    def test_what_needs_a_restart_shows_at_once(self, world, alice, instance_id):
        put(alice, instance_id, {"configuration": f"http://h/configurations/{group(alice, {'autocommit': True})}"})
        assert alice.get(f"/instances/{instance_id}").json["instance"]["status"] == "RESTART_REQUIRED"
        # A restart replaces what is under way.
        alice.post(f"/instances/{instance_id}/action", {"restart": {}}, status=202)
        operations = world.operations(instance_id)
        assert [(operation.kind, operation.cancel) for operation in operations[1:]] == [
            ("instance.configure", True), ("instance.restart", False)]
        assert operations[2].args == {"configuration": True}

    @pytest.mark.parametrize("change", [{}, {"configuration": None}, {"configuration": ""}])
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_2e_detach(self, world, alice, instance_id, method, change):
        put(alice, instance_id, {"configuration": group(alice)})
        alice(method, f"/instances/{instance_id}", {"instance": change}, status=202)
        assert "configuration" not in alice.get(f"/instances/{instance_id}").json["instance"]
        attaching, detaching = configures(world, instance_id)
        assert attaching.cancel
        assert (detaching.cancel, detaching.args["removed"]) == (False, ["max_connections"])

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_2e_a_rename_does_not_detach(self, world, alice, instance_id, method):
        put(alice, instance_id, {"configuration": group(alice)})
        alice(method, f"/instances/{instance_id}", {"instance": {"name": "m2"}}, status=202)
        view = alice.get(f"/instances/{instance_id}").json["instance"]
        assert (view["name"], "configuration" in view) == ("m2", True)
        assert len(configures(world, instance_id)) == 1

    def test_detaching_nothing_is_fine(self, world, alice, instance_id):
        put(alice, instance_id, {})
        assert configures(world, instance_id) == []

    def test_detaching_what_needs_a_restart(self, world, alice, instance_id):
        put(alice, instance_id, {"configuration": group(alice, {"autocommit": True})})
        world.end_operations(instance_id)
        world.set(instance_id, task=InstanceTasks.NONE)
        put(alice, instance_id, {})
        assert task(world, instance_id) is InstanceTasks.RESTART_REQUIRED

    def test_only_one(self, world, alice, instance_id):
        first, second = group(alice), group(alice)
        put(alice, instance_id, {"configuration": first})
        for found in (first, second):
            assert "already" in check_fault(put(alice, instance_id, {"configuration": found}, status=400))
        assert world.row(instance_id)["configuration_id"] == first

    @pytest.mark.parametrize("columns", [
        {"server_status": "SHUTOFF"}, {"task": InstanceTasks.RESTART_REQUIRED}, {"task": InstanceTasks.REBOOTING},
        {"task": InstanceTasks.BUILDING}, {"task": InstanceTasks.DELETING}])
    def test_not_in_every_state(self, world, alice, instance_id, columns):
        world.set(instance_id, **columns)
        put(alice, instance_id, {"configuration": group(alice), "name": "m2"}, status=400)
        assert (world.row(instance_id)["configuration_id"], world.row(instance_id)["name"]) == (None, "m1")
        assert configures(world, instance_id) == []

    def test_of_the_same_version_only(self, world, alice, instance_id, catalog, db):
        with db.writer() as session:
            session.execute(sqlalchemy.update(DBDatastoreConfigurationParameter).values(
                datastore_version_id=catalog["mariadb 10.11"].id))
        found = group(alice, {}, datastore={"type": "mariadb"})
        assert "version" in check_fault(put(alice, instance_id, {"configuration": found}, status=400))
        alice.post("/instances", create_body(configuration=found), status=400)

    def test_an_administrator_attaches_for_a_tenant(self, world, alice, admin, instance_id):
        found = group(alice)
        put(admin, instance_id, {"configuration": found})
        assert world.row(instance_id)["configuration_id"] == found

    def test_9_12_deleting_the_instance_frees_the_group(self, world, alice, instance_id):
        found = group(alice)
        put(alice, instance_id, {"configuration": found})
        alice.delete(f"/instances/{instance_id}")
        alice.delete(f"/configurations/{found}")


class TestAtCreate:
    def test_9_11_the_values_travel_with_it(self, world, alice):
        found = group(alice, {"max_connections": 10, "autocommit": True})
        instance_id = create(alice, configuration=found)
        operation = world.operations(instance_id)[0]
        assert operation.args["overrides"] == {"max_connections": 10, "autocommit": True}
        assert operation.args["configuration_id"] == found
        assert alice.get(f"/instances/{instance_id}").json["instance"]["configuration"]["id"] == found
        alice.delete(f"/configurations/{found}", status=400)

    def test_a_change_while_it_builds_waits(self, world, alice):
        found = group(alice, {"autocommit": True})
        instance_id = create(alice, configuration=found)
        alice.put(f"/configurations/{found}", {"configuration": {"values": {}}})
        assert task(world, instance_id) is InstanceTasks.BUILDING
        assert configures(world, instance_id)[0].args == {"removed": ["autocommit"]}

    def test_unknown(self, world, alice):
        alice.post("/instances", create_body(configuration=UNKNOWN), status=404)


class TestChangesOfAnAttachedGroup:
    def test_every_attached_instance_follows(self, world, alice, options):
        found = group(alice, {"max_connections": 10})
        ids = [create_active(world, alice) for _ in range(2)]
        for instance_id in ids:
            put(alice, instance_id, {"configuration": found})
            world.end_operations(instance_id)
        world.set(ids[1], task=InstanceTasks.RESIZING)
        alice.patch(f"/configurations/{found}", {"configuration": {"values": {"autocommit": True}}}, status=200)
        assert [task(world, each) for each in ids] == [InstanceTasks.RESTART_REQUIRED, InstanceTasks.RESIZING]
        assert [configures(world, each)[-1].args for each in ids] == [{"removed": []}] * 2

    def test_9a_what_is_removed_is_known_before_the_rows_change(self, world, alice, instance_id):
        found = group(alice, {"max_connections": 10, "character_set.client": "utf8"})
        put(alice, instance_id, {"configuration": found})
        # Not done yet when the next comes, and that one when the third comes.
        alice.put(f"/configurations/{found}", {"configuration": {"values": {"max_connections": 10}}})
        assert configures(world, instance_id)[-1].args == {"removed": ["character_set.client"]}
        alice.put(f"/configurations/{found}", {"configuration": {"values": {}}})
        assert configures(world, instance_id)[-1].args == {"removed": ["character_set.client", "max_connections"]}
        alice.patch(f"/configurations/{found}", {"configuration": {"values": {"max_connections": 5}}}, status=200)
        assert configures(world, instance_id)[-1].args == {"removed": ["character_set.client"]}
        assert [operation.cancel for operation in configures(world, instance_id)] == [True, True, True, False]
        assert task(world, instance_id) is InstanceTasks.NONE

    def test_what_changes_nothing_begins_nothing(self, world, alice, instance_id):
        found = group(alice)
        put(alice, instance_id, {"configuration": found})
        alice.put(f"/configurations/{found}", {"configuration": {"values": DYNAMIC, "name": "c2"}})
        alice.patch(f"/configurations/{found}", {"configuration": {"values": {}}}, status=200)
        alice.patch(f"/configurations/{found}", {"configuration": {"values": {"nothing": 1}}}, status=422)
        assert len(configures(world, instance_id)) == 1


class TestDefaults:
    def test_a_flat_dict_of_texts(self, world, alice, bob, options, tmp_path):
        (tmp_path / "mysql").mkdir()
        (tmp_path / "mysql" / "config.template").write_text(
            "[client]\nport = 1\n[mysqld]\n# remark\nmax-connections = {{ flavor.ram }}\nskip_log_bin\n"
            "loose_x = a=b\n!includedir /etc/x\n[mysqldump]\nquick\n")
        options.set_override("template_path", str(tmp_path))
        instance_id = create(alice)
        assert alice.get(f"/instances/{instance_id}/configuration").json == {
            "instance": {"configuration": {"max_connections": "512", "skip_log_bin": "1", "x": "a=b"}}}
        bob.get(f"/instances/{instance_id}/configuration", status=404)
