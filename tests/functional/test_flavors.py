"""Flavors (rest-api 3.3)."""
from tests.fakes import nova


def test_list(alice):
    found = alice.get("/flavors").json["flavors"]
    assert [flavor["str_id"] for flavor in found] == ["1", "2", "10", "m1.db", "p1"]
    assert found[0] == {
        "id": 1, "str_id": "1", "name": "db.tiny", "ram": 512, "vcpus": 1, "disk": 5, "ephemeral": 0,
        "links": [{"rel": "self", "href": "http://localhost/v1.0/tenant-a/flavors/1"},
                  {"rel": "bookmark", "href": "http://localhost/flavors/1"}]}


def test_show(alice):
    assert alice.get("/flavors/10").json["flavor"]["name"] == "db.local"


def test_1_11_an_id_with_a_dot_survives_and_is_no_number(alice):
    shown = alice.get("/flavors/m1.db").json["flavor"]
    assert (shown["id"], shown["str_id"]) == (None, "m1.db")


def test_2_10_a_name_is_404_so_that_clients_go_on_to_the_list(alice):
    alice.get("/flavors/db.tiny", status=404)


def test_local_storage_is_shown_without_volumes(alice, options):
    options.set_override("trove_volume_support", False)
    assert alice.get("/flavors/10").json["flavor"]["local_storage"] == 40


def test_nova_is_asked_once(alice):
    for _ in range(3):
        alice.get("/flavors")
        alice.get("/flavors/1")
    assert nova.Cloud.calls == ["flavors.list", "flavor_access.list p1"]


def test_1_32_without_nova_the_answer_is_503_until_it_is_back(alice):
    nova.Cloud.failure = OSError("connection refused")
    message = alice.get("/flavors", status=503).json["serviceUnavailable"]["message"]
    assert "refused" not in message
    nova.Cloud.failure = None
    alice.get("/flavors")


def test_known_flavors_outlive_nova(alice, options):
    options.set_override("flavor_cache_time", 0.0)
    alice.get("/flavors")
    nova.Cloud.failure = OSError("connection refused")
    assert len(alice.get("/flavors").json["flavors"]) == 5
