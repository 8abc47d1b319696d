"""Volume types (rest-api 3.2, GET .../versions/{v}/volume-types; 4, GET /volume-types)."""


def test_index_and_show(cloud, catalog, alice):
    found = alice.get("/volume-types").json["volume_types"]
    assert found
    assert all(set(each) == {"id", "name", "is_public", "description"} for each in found)
    for key in ("id", "name"):
        assert alice.get(f"/volume-types/{found[0][key]}").json == {"volume_type": found[0]}
    alice.get("/volume-types/nothing", status=404)


def test_of_a_version(cloud, catalog, alice):
    expected = alice.get("/volume-types").json
    assert alice.get("/datastores/mysql/versions/5.7/volume-types").json == expected
    assert alice.get(f"/datastores/{catalog['mysql'].id}/versions/{catalog['mysql 5.7'].id}/volume-types"
                     ).json == expected
    alice.get("/datastores/mysql/versions/9/volume-types", status=404)
    alice.get("/datastores/nothing/versions/9/volume-types", status=404)
