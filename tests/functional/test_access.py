"""``access``: who may connect to an instance, at create and by an update; and what each key of each body does."""

import pytest

from tests.functional.world import create, create_active, create_body
from trove.db.sqlalchemy import tables
from trove.instance import actions

BAD = [("nope", "must be address/length"), ("10.1.2.3/8", "must be address/length"), ("10.0.0.0/33", "must be"),
       ("", "must be"), ("0.0.0.0/0 ", "must be")]


def wanted_of(world, instance_id):
    """The networks that the newest operation of an instance lets in."""
    return world.operations(instance_id)[-1].args["allowed_cidrs"]


class TestCreate:
    @pytest.mark.parametrize(("access", "expected"), [
        (None, None), ({}, None), ({"is_public": False}, None), ({"is_public": None, "allowed_cidrs": None}, None),
        ({"allowed_cidrs": ["203.0.113.7", "10.0.0.0/8", "10.0.0.0/8", "2001:DB8::/32"]},
         ["10.0.0.0/8", "2001:db8::/32", "203.0.113.7/32"]), ({"allowed_cidrs": []}, [])])
    def test_what_the_task_manager_is_to_let_in(self, world, alice, access, expected):
        assert wanted_of(world, create(alice, access=access)) == expected

    @pytest.mark.parametrize(("cidr", "reason"), BAD)
    def test_a_bad_network_is_refused_by_its_place(self, world, alice, cidr, reason):
        before = world.counts()
        text = alice.post("/instances", create_body(access={"allowed_cidrs": ["10.0.0.0/8", cidr]}), status=400).text
        assert f"instance.access.allowed_cidrs[1]: {reason}" in text
        assert world.counts() == before

    @pytest.mark.parametrize(("access", "code", "text"), [
        ({"is_public": True}, 501, "instance.access.is_public: there are no public addresses"),
        ({"is_public": "yes"}, 400, "instance.access.is_public"),
        ({"public": False}, 400, "'public' is not known here"),
        ({"allowed_cidrs": "10.0.0.0/8"}, 400, "instance.access.allowed_cidrs"), ([], 400, "instance.access"),
        ({"allowed_cidrs": [f"10.{n}.0.0/16" for n in range(101)]}, 413, "a security group may have 100")])
    def test_what_is_refused(self, world, alice, options, access, code, text):
        options.set_override("max_security_group_rules", 100)
        before = world.counts()
        assert text in alice.post("/instances", create_body(access=access), status=code).text
        assert world.counts() == before

    def test_without_security_groups(self, world, alice, options):
        options.set_override("trove_security_groups_support", False)
        alice.post("/instances", create_body(access={"allowed_cidrs": ["10.0.0.0/8"]}), status=501)
        create(alice, access={"is_public": False})

    def test_a_replica_has_its_own(self, world, alice):
        source = create_active(world, alice, access={"allowed_cidrs": ["10.0.0.0/8"]})
        assert wanted_of(world, create(alice, replica_of=source, datastore=None)) is None


@pytest.mark.parametrize("verb", ["put", "patch"])
class TestUpdate:
    def test_it_is_an_operation_with_an_end(self, world, alice, bob, verb):
        instance_id = create_active(world, alice)
        path, body = f"/instances/{instance_id}", {"instance": {"name": "new", "access": {
            "is_public": False, "allowed_cidrs": ["203.0.113.0/24"]}}}
        getattr(bob, verb)(path, body, status=404)
        getattr(alice, verb)(path, body)
        assert world.operations(instance_id)[-1].args == {"manager": "mysql", "allowed_cidrs": ["203.0.113.0/24"]}
        assert world.casts[-1][0] == "instance.access"
        shown = alice.get(path).json["instance"]
        assert (shown["name"], shown["operation"]["kind"], shown["operation"]["state"]) == (
            "new", actions.KIND_ACCESS, "pending")
        getattr(alice, verb)(path, body, status=422)
        world.end_operations(instance_id)
        getattr(alice, verb)(path, body)

    @pytest.mark.parametrize("access", [None, {}, {"is_public": False}])
    def test_nothing_is_begun_for_what_is_so_already(self, world, alice, verb, access):
        instance_id = create_active(world, alice)
        before = world.counts()
        getattr(alice, verb)(f"/instances/{instance_id}", {"instance": {"access": access}})
        assert world.counts() == before

    @pytest.mark.parametrize(("more", "code", "text"), [
        ({"access": {"is_public": True}}, 501, "is_public"), ({"access": {"allowed_cidrs": ["nope"]}}, 400, "cidrs[0]"),
        ({"access": {"allowed_cidrs": []}, "configuration": None}, 400, "cannot be changed together"),
        ({"access": {"allowed_cidrs": []}, "replica_of": ""}, 400, "cannot be changed together"),
        ({"access": {"allowed": []}}, 400, "'allowed' is not known here")])
    def test_what_is_refused(self, world, alice, verb, more, code, text):
        instance_id = create_active(world, alice)
        before = world.counts()
        answer = getattr(alice, verb)(f"/instances/{instance_id}", {"instance": {"name": "x", **more}}, status=code)
        assert text in answer.text
        assert world.counts() == before
        assert alice.get(f"/instances/{instance_id}").json["instance"]["name"] == "m1"

    def test_not_while_it_is_deleted(self, world, alice, verb):
        instance_id = create_active(world, alice)
        alice.delete(f"/instances/{instance_id}")
        getattr(alice, verb)(f"/instances/{instance_id}", {"instance": {"access": {"allowed_cidrs": []}}}, status=422)


def test_show_and_list_say_what_the_rules_say(world, alice):
    instance_id = create_active(world, alice)
    with world.db.writer() as session:
        session.execute(tables.instances.update().values(allowed_cidrs='["10.0.0.0/8"]'))
    expected = {"is_public": False, "allowed_cidrs": ["10.0.0.0/8"]}
    assert alice.get(f"/instances/{instance_id}").json["instance"]["access"] == expected
    assert alice.get("/instances").json["instances"][0]["access"] == expected
