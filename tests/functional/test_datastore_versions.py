"""Versions as administrators manage them (rest-api 4, /datastore-versions; 3.2, DELETE /datastores/{id})."""
import pytest

from tests.functional.world import UNKNOWN, create
from trove.common import remote
from trove.db import models
from trove.db.sqlalchemy import tables


def body(cloud, **more):
    given = {"name": "8.0", "datastore_name": "mysql", "datastore_manager": "mysql", "image": cloud.image_id,
             "packages": ["mysql-server"], "active": True, **more}
    return {"version": {key: value for key, value in given.items() if value is not None}}


def versions(admin):
    found = admin.get("/mgmt/datastore-versions").json["versions"]
    return {(each["datastore_name"], each["name"]): each for each in found}


def test_index_and_show(catalog, admin):
    found = versions(admin)
    assert set(found) == {("mysql", "5.6"), ("mysql", "5.7"), ("mariadb", "10.11"), ("relic", "1")}
    row = catalog["mysql 5.7"]
    assert found["mysql", "5.7"] == {
        "id": row.id, "name": "5.7", "datastore_id": catalog["mysql"].id, "datastore_name": "mysql",
        "datastore_manager": "mysql", "image": "image-1", "packages": [], "active": True, "default": True}
    assert admin.get(f"/mgmt/datastore-versions/{row.id}").json == {"version": found["mysql", "5.7"]}
    assert not found["mysql", "5.6"]["active"]
    admin.get(f"/mgmt/datastore-versions/{UNKNOWN}", status=404)


class TestCreate:
    def test_the_answer_is_empty(self, world, cloud, admin):
        assert admin.post("/mgmt/datastore-versions", body(cloud, default=True), status=202).body == b""
        made = versions(admin)["mysql", "8.0"]
        assert made.items() >= {"image": cloud.image_id, "packages": ["mysql-server"], "active": True,
                                "default": True, "datastore_manager": "mysql"}.items()
        assert not versions(admin)["mysql", "5.7"]["default"]

    def test_of_a_new_datastore(self, world, cloud, admin):
        admin.post("/mgmt/datastore-versions", body(cloud, datastore_name="shop-db", packages=None, active=False),
                   status=202)
        made = versions(admin)["shop-db", "8.0"]
        assert (made["packages"], made["active"], made["default"]) == ([], False, False)

    def test_the_newest_image_with_all_tags(self, world, cloud, admin):
        glance = remote.glance_client()
        for tag in ("trove", "mysql"):
            glance.image_tags.update(cloud.image_id, tag)
        admin.post("/mgmt/datastore-versions", body(cloud, image="", image_tags=["trove", "mysql"]), status=202)
        assert versions(admin)["mysql", "8.0"]["image"] == cloud.image_id
        admin.post("/mgmt/datastore-versions", body(cloud, name="9", image=None, image_tags=["trove", "no"]),
                   status=400)

    @pytest.mark.parametrize("change", [
        {"name": ""}, {"name": None}, {"active": None}, {"active": "yes"}, {"image": None}, {"image": UNKNOWN},
        {"image": "../flavors"}, {"datastore_manager": "elephant"}, {"datastore_manager": None,
        "datastore_name": "shop-db"}, {"name": "5.7"}, {"datastore_name": "versions"}, {"packages": ["a,b"]},
        {"packages": ["p" * 255] * 3}])
    def test_refused_and_nothing_made(self, world, cloud, admin, change):
        admin.post("/mgmt/datastore-versions", body(cloud, **change), status=400)
        assert len(world.rows(tables.datastore_versions)) == 4
        assert len(world.rows(tables.datastores)) == 3


class TestEdit:
    def test_only_what_is_named(self, world, cloud, admin, catalog):
        path = f"/mgmt/datastore-versions/{catalog['mysql 5.7'].id}"
        before = versions(admin)["mysql", "5.7"]
        admin.patch(path, {})
        assert versions(admin)["mysql", "5.7"] == before
        admin.patch(path, {"active": False, "image": cloud.image_id, "packages": ["a", "b"], "name": "5.7.1"})
        assert versions(admin)["mysql", "5.7.1"] == {
            **before, "active": False, "image": cloud.image_id, "packages": ["a", "b"], "name": "5.7.1"}
        admin.patch(path, {"default": 0})
        assert not versions(admin)["mysql", "5.7.1"]["default"]
        admin.patch(path, {"default": True})
        assert versions(admin)["mysql", "5.7.1"]["default"]

    @pytest.mark.parametrize("change", [{"image": UNKNOWN}, {"name": "5.6"}, {"datastore_manager": "x"},
                                        {"active": 3}])
    def test_refused(self, world, cloud, admin, catalog, change):
        before = versions(admin)
        admin.patch(f"/mgmt/datastore-versions/{catalog['mysql 5.7'].id}", change, status=400)
        assert versions(admin) == before

    def test_unknown(self, world, admin):
        admin.patch(f"/mgmt/datastore-versions/{UNKNOWN}", {"active": True}, status=404)


class TestDelete:
    def test_with_what_belongs_to_it(self, world, admin, catalog):
        world.bind_flavor("mysql 5.7", "1")
        admin.delete(f"/mgmt/datastore-versions/{catalog['mysql 5.7'].id}")
        assert ("mysql", "5.7") not in versions(admin)
        assert world.rows(tables.datastore_version_metadata) == []
        assert all(row["default_version_id"] != catalog["mysql 5.7"].id for row in world.rows(tables.datastores))
        admin.delete(f"/mgmt/datastore-versions/{catalog['mysql 5.7'].id}", status=404)

    def test_not_while_instances_use_it(self, world, alice, admin, catalog):
        instance_id, path = create(alice), f"/mgmt/datastore-versions/{catalog['mysql 5.7'].id}"
        assert "still made from it" in admin.delete(path, status=400).text
        world.set(instance_id, deleted=True, deleted_at=models.utcnow())
        assert "deleted instances" in admin.delete(path, status=400).text

    def test_datastores(self, world, admin, alice, catalog):
        """Row 3.2 DELETE /datastores/{id}."""
        alice.delete("/datastores/relic", status=403)
        admin.delete("/datastores/relic", status=400)
        admin.delete(f"/mgmt/datastore-versions/{catalog['relic 1'].id}")
        admin.delete(f"/datastores/{catalog['relic'].id}")
        admin.get("/datastores/relic", status=404)
        admin.delete("/datastores/relic", status=404)
