"""Accounts (rest-api 4, GET /accounts and GET /accounts/{tenant})."""
from tests.functional.world import create
from trove.db import models


def test_index_and_show(world, alice, bob, admin):
    mine, theirs = sorted((create(alice), create(alice))), create(bob)
    assert admin.get("/mgmt/accounts").json == {"accounts": [
        {"id": "tenant-a", "num_instances": 2}, {"id": "tenant-b", "num_instances": 1}]}
    assert admin.get("/mgmt/accounts/tenant-a").json == {"account": {"id": "tenant-a", "instance_ids": mine}}
    world.set(theirs, deleted=True, deleted_at=models.utcnow())
    assert [account["id"] for account in admin.get("/mgmt/accounts").json["accounts"]] == ["tenant-a"]
    assert admin.get("/mgmt/accounts/tenant-b").json["account"]["instance_ids"] == []
    admin.get("/mgmt/accounts/nobody", status=404)
