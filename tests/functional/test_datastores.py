"""Datastores, versions, their flavors and parameters (rest-api 3.2)."""
import pytest
import sqlalchemy

from trove.datastore import models


def names(items):
    return [item["name"] for item in items]


class TestDatastores:
    def test_a_tenant_sees_what_it_can_use(self, alice, catalog):
        found = alice.get("/datastores").json["datastores"]
        assert names(found) == ["mariadb", "mysql"]
        mysql, version = catalog["mysql"], catalog["mysql 5.7"]
        assert found[1] == {
            "id": mysql.id, "name": "mysql", "default_version": version.id,
            "links": [{"rel": "self", "href": f"http://localhost/v1.0/tenant-a/datastores/{mysql.id}"},
                      {"rel": "bookmark", "href": f"http://localhost/datastores/{mysql.id}"}],
            "versions": [{
                "id": version.id, "name": "5.7", "version": "5.7", "maturity": "stable",
                "links": [{"rel": "self", "href": f"http://localhost/v1.0/tenant-a/datastores/versions/{version.id}"},
                          {"rel": "bookmark", "href": f"http://localhost/datastores/versions/{version.id}"}]}]}

    def test_an_administrator_sees_all(self, admin, catalog):
        found = admin.get("/datastores").json["datastores"]
        assert names(found) == ["mariadb", "mysql", "relic"]
        assert names(found[1]["versions"]) == ["5.6", "5.7"]
        assert found[2]["default_version"] == catalog["relic 1"].id
        assert found[2]["versions"][0].items() >= {"active": False, "packages": "", "image": "image-1"}.items()

    @pytest.mark.parametrize("key", ["id", "name"])
    def test_show_by_id_and_by_name(self, alice, catalog, key):
        text = getattr(catalog["mysql"], key)
        assert alice.get(f"/datastores/{text}").json["datastore"]["id"] == catalog["mysql"].id

    def test_a_default_that_is_not_active_is_not_shown_to_tenants(self, alice, admin, catalog, db):
        with db.writer() as session:
            session.get(models.DBDatastore, catalog["mysql"].id).default_version_id = catalog["mysql 5.6"].id
        assert "default_version" not in alice.get("/datastores/mysql").json["datastore"]
        assert admin.get("/datastores/mysql").json["datastore"]["default_version"] == catalog["mysql 5.6"].id

    def test_unknown_and_hidden(self, alice, admin, catalog):
        alice.get("/datastores/oracle", status=404)
        alice.get("/datastores/relic", status=404)
        admin.get("/datastores/relic")

    def test_a_list_costs_two_statements(self, alice, catalog, statements):
        alice.get("/datastores")
        assert len(statements) == 2


class TestVersions:
    def test_list(self, alice, admin, catalog):
        assert names(alice.get("/datastores/mysql/versions").json["versions"]) == ["5.7"]
        assert names(admin.get(f"/datastores/{catalog['mysql'].id}/versions").json["versions"]) == ["5.6", "5.7"]

    def test_show_in_its_three_ways(self, alice, catalog):
        mysql, version = catalog["mysql"], catalog["mysql 5.7"]
        for path in ("/datastores/mysql/versions/5.7", f"/datastores/{mysql.id}/versions/{version.id}",
                     f"/datastores/versions/{version.id}"):
            shown = alice.get(path).json["version"]
            assert (shown["id"], shown["name"], shown["datastore"]) == (version.id, "5.7", mysql.id)
            assert "packages" not in shown

    @pytest.mark.parametrize(("manager", "maturity"), [("mysql", "stable"), ("percona", "experimental"), ("odd", None)])
    def test_how_mature_its_manager_is(self, alice, catalog, db, manager, maturity):
        with db.writer() as session:
            session.get(models.DBDatastoreVersion, catalog["mysql 5.7"].id).manager = manager
        assert alice.get("/datastores/mysql/versions/5.7").json["version"].get("maturity") == maturity
        assert alice.get("/datastores/mysql").json["datastore"]["versions"][0].get("maturity") == maturity

    def test_an_administrator_sees_more(self, admin, catalog):
        shown = admin.get("/datastores/mysql/versions/5.6").json["version"]
        assert shown.items() >= {"active": False, "packages": "", "image": "image-1"}.items()

    def test_unknown(self, alice, catalog):
        alice.get("/datastores/oracle/versions", status=404)
        alice.get("/datastores/mysql/versions/9.9", status=404)
        alice.get(f"/datastores/mariadb/versions/{catalog['mysql 5.7'].id}", status=404)
        alice.get(f"/datastores/versions/{catalog['mysql'].id}", status=404)

    def test_flavors_are_all_unless_some_are_bound(self, alice, catalog, db):
        path = "/datastores/mysql/versions/5.7/flavors"
        assert len(alice.get(path).json["flavors"]) == 5
        with db.writer() as session:
            for flavor, deleted in (("2", False), ("10", True)):
                session.add(models.DBDatastoreVersionMetadata(
                    datastore_version_id=catalog["mysql 5.7"].id, key="flavor", value=flavor, deleted=deleted))
        assert [flavor["str_id"] for flavor in alice.get(path).json["flavors"]] == ["2"]
        assert len(alice.get("/datastores/mariadb/versions/10.11/flavors").json["flavors"]) == 5


class TestParameters:
    def test_list(self, alice, catalog):
        version = catalog["mysql 5.7"].id
        for path in ("/datastores/mysql/versions/5.7/parameters", f"/datastores/versions/{version}/parameters"):
            found = alice.get(path).json["configuration-parameters"]
            assert names(found) == ["autocommit", "character_set.client", "max_connections"]
            assert found[0] == {"name": "autocommit", "datastore_version_id": version, "restart_required": True,
                                "type": "boolean"}

    def test_show_is_bare_and_has_both_names_of_a_bound(self, alice, catalog):
        version = catalog["mysql 5.7"].id
        for path in ("/datastores/mysql/versions/5.7/parameters/MAX_connections",
                     f"/datastores/versions/{version}/parameters/max_connections"):
            assert alice.get(path).json == {
                "name": "max_connections", "datastore_version_id": version, "restart_required": False,
                "type": "integer", "max": 65535, "max_size": 65535, "min": 1, "min_size": 1}

    def test_a_name_with_dots(self, alice, catalog):
        path = "/datastores/mysql/versions/5.7/parameters/character_set.client"
        assert alice.get(path).json["type"] == "string"

    def test_none(self, alice, catalog):
        assert alice.get("/datastores/mariadb/versions/10.11/parameters").json == {"configuration-parameters": []}
        alice.get("/datastores/mysql/versions/5.7/parameters/nothing", status=404)

    def test_deleted_ones_are_gone(self, alice, catalog, db):
        with db.writer() as session:
            session.execute(sqlalchemy.update(models.DBDatastoreConfigurationParameter).values(deleted=True))
        assert alice.get("/datastores/mysql/versions/5.7/parameters").json == {"configuration-parameters": []}
