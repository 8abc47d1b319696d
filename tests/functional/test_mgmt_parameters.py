"""Parameters of datastore versions as administrators manage them (rest-api 4, /datastores/versions/{v}/parameters)."""
import pytest

from tests.functional.test_configurations import body as configuration
from tests.functional.test_configurations import group
from tests.functional.world import UNKNOWN


@pytest.fixture
def base(catalog):
    return f"/mgmt/datastores/versions/{catalog['mysql 5.7'].id}/parameters"


def body(**more):
    given = {"name": "wait_timeout", "restart_required": 0, "data_type": "integer", "max_size": 100, "min_size": 1,
             **more}
    return {"configuration-parameter": {key: value for key, value in given.items() if value is not None}}


class TestCreate:
    def test_it_can_be_set_at_once(self, world, admin, alice, base):
        made = admin.post(base, body()).json
        assert made == {"name": "wait_timeout", "restart_required": False, "type": "integer", "max": 100, "min": 1,
                        "max_size": 100, "min_size": 1, "deleted": False, "deleted_at": None,
                        "datastore_version_id": world.catalog["mysql 5.7"].id}
        group(alice, {"wait_timeout": 100})
        alice.post("/configurations", configuration({"wait_timeout": 101}), status=422)

    def test_section_7_both_families_of_names(self, admin, base):
        made = admin.post(base, body(max_size=None, min_size=None, max=9, min=3)).json
        assert (made["max_size"], made["min_size"]) == (9, 3)

    @pytest.mark.parametrize("change", [{"data_type": "string", "max_size": None, "min_size": None},
                                        {"data_type": "boolean", "max_size": None, "min_size": None},
                                        {"restart_required": True}, {"min_size": 100}, {"min_size": -5}])
    def test_others_that_can_be(self, admin, base, change):
        admin.post(base, body(**change))

    @pytest.mark.parametrize("change", [
        {"name": None}, {"name": ""}, {"name": "a b"}, {"name": "n" * 129}, {"restart_required": None},
        {"restart_required": 2}, {"data_type": None}, {"data_type": "list"}, {"max_size": None}, {"min_size": None},
        {"min_size": 101}, {"max": 99}, {"min": 2}, {"max_size": "100"}, {"max_size": 10**40}, {"name": "AutoCommit"}])
    def test_400(self, admin, base, change):
        before = admin.get(base).json
        admin.post(base, body(**change), status=400)
        assert admin.get(base).json == before

    def test_404_of_no_version(self, admin, catalog):
        admin.post(f"/mgmt/datastores/versions/{UNKNOWN}/parameters", body(), status=404)


def test_index_and_show_have_the_deleted_ones(admin, alice, base):
    admin.delete(f"{base}/autocommit", status=204)
    found = {each["name"]: each for each in admin.get(base).json["configuration-parameters"]}
    assert set(found) == {"autocommit", "max_connections", "character_set.client"}
    assert found["autocommit"]["deleted"]
    assert found["autocommit"]["deleted_at"]
    assert not found["max_connections"]["deleted"]
    assert admin.get(f"{base}/autocommit").json == found["autocommit"]
    admin.get(f"{base}/nothing", status=404)
    admin.get(f"/mgmt/datastores/versions/{UNKNOWN}/parameters", status=404)
    admin.get(f"/mgmt/datastores/versions/{UNKNOWN}/parameters/autocommit", status=404)
    alice.get(f"{base.removeprefix('/mgmt')}/autocommit", status=404)


class TestUpdate:
    def test_type_and_bounds(self, admin, alice, base):
        changed = admin.put(f"{base}/max_connections", body(name="max_connections", restart_required=1), status=200)
        assert (changed.json["max"], changed.json["restart_required"]) == (100, True)
        assert alice.get(f"{base.removeprefix('/mgmt')}/max_connections").json["max"] == 100
        admin.put(f"{base}/MAX_connections", body(name=None, max_size=7), status=200)
        assert admin.get(f"{base}/max_connections").json["max"] == 7

    @pytest.mark.parametrize(("name", "change"), [
        ("max_connections", {"name": "other"}), ("max_connections", {"min_size": 101}), ("nothing", {"name": None}),
        ("max_connections", {"name": "max_connections", "data_type": None})])
    def test_400(self, admin, base, name, change):
        before = admin.get(base).json
        admin.put(f"{base}/{name}", body(**change), status=400)
        assert admin.get(base).json == before


class TestDelete:
    def test_it_cannot_be_set_any_more_and_comes_back(self, admin, alice, base):
        assert admin.delete(f"{base}/max_connections", status=204).body == b""
        alice.post("/configurations", configuration({"max_connections": 5}), status=422)
        admin.delete(f"{base}/max_connections", status=400)
        admin.put(f"{base}/max_connections", body(name=None), status=400)
        assert not admin.post(base, body(name="max_connections")).json["deleted"]
        group(alice, {"max_connections": 5})

    def test_400_of_an_unknown_one_and_404_of_no_version(self, admin, base):
        admin.delete(f"{base}/nothing", status=400)
        admin.delete(f"/mgmt/datastores/versions/{UNKNOWN}/parameters/autocommit", status=404)
