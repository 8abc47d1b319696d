"""Security groups and rules (rest-api 3.9), with Neutron as minicloud plays it."""
import pytest

from tests.functional.world import UNKNOWN, create_active
from trove.common import remote
from trove.instance.models import DBInstance
from trove.network import base, models


def add_group(world, instance_id):
    """Give an instance a group, as the task manager does; returns the id of the group."""
    name = f"SecGroup_{instance_id}"
    group_id, rule_ids = base.driver().ensure_security_group(name, "for a test", base.datastore_rules("mysql"))
    with world.db.writer() as session:
        models.keep_group(session, session.get(DBInstance, instance_id), group_id, name, "for a test", rule_ids)
    return group_id


@pytest.fixture
def grouped(world, cloud):
    """Makes an instance with a group: called with a Caller, gives (instance id, group id)."""
    def make(caller):
        instance_id = create_active(world, caller)
        return instance_id, add_group(world, instance_id)
    return make


def in_neutron(group_id):
    """{cidr: (protocol, first port, last port)} of the ingress rules of a group."""
    rules = remote.neutron_client().show_security_group(group_id)["security_group"]["security_group_rules"]
    return {rule["remote_ip_prefix"]: (rule["protocol"], rule["port_range_min"], rule["port_range_max"])
            for rule in rules if rule["direction"] == "ingress"}


def rule(group_id, cidr="10.1.0.0/16"):
    return {"security_group_rule": {"group_id": group_id, "cidr": cidr}}


class TestGroups:
    def test_index(self, grouped, alice, bob):
        instance_id, group_id = grouped(alice)
        grouped(bob)
        answer = alice.get("/security-groups?limit=1")
        assert "links" not in answer.json
        [view] = answer.json["security_groups"]
        assert view.items() >= {"id": group_id, "instance_id": instance_id, "name": f"SecGroup_{instance_id}",
                                "description": "for a test"}.items()
        assert [entry.items() >= {"protocol": "tcp", "from_port": 3306, "to_port": 3306, "cidr": "0.0.0.0/0"}.items()
                for entry in view["rules"]] == [True]

    def test_show_by_either_id(self, grouped, alice, bob, admin):
        instance_id, group_id = grouped(alice)
        views = [alice.get(f"/security-groups/{each}").json["security_group"] for each in (group_id, instance_id)]
        assert views[0] == views[1]
        assert admin.get(f"/security-groups/{group_id}").json["security_group"]["id"] == group_id
        bob.get(f"/security-groups/{group_id}", status=404)
        bob.get(f"/security-groups/{instance_id}", status=404)
        alice.get(f"/security-groups/{UNKNOWN}", status=404)

    def test_404_without_support(self, grouped, alice, options):
        _, group_id = grouped(alice)
        options.set_override("trove_security_groups_support", False)
        alice.get("/security-groups", status=404)
        alice.get(f"/security-groups/{group_id}", status=404)
        alice.post("/security-group-rules", rule(group_id), status=404)
        alice.delete(f"/security-group-rules/{UNKNOWN}", status=404)


class TestRules:
    def test_add_and_delete(self, grouped, alice, bob):
        _, group_id = grouped(alice)
        answer = alice.post("/security-group-rules", rule(group_id), status=201)
        [made] = answer.json["security_group_rule"]
        assert made.items() >= {"security_group_id": group_id, "protocol": "tcp", "from_port": 3306, "to_port": 3306,
                                "cidr": "10.1.0.0/16"}.items()
        assert in_neutron(group_id)["10.1.0.0/16"] == ("tcp", 3306, 3306)
        shown = alice.get(f"/security-groups/{group_id}").json["security_group"]["rules"]
        assert {entry["cidr"] for entry in shown} == {"0.0.0.0/0", "10.1.0.0/16"}
        bob.delete(f"/security-group-rules/{made['id']}", status=404)
        assert alice.delete(f"/security-group-rules/{made['id']}", status=204).body == b""
        assert "10.1.0.0/16" not in in_neutron(group_id)
        alice.delete(f"/security-group-rules/{made['id']}", status=404)
        assert len(alice.get(f"/security-groups/{group_id}").json["security_group"]["rules"]) == 1

    def test_one_rule_for_each_port_range(self, grouped, alice, options):
        _, group_id = grouped(alice)
        options.set_override("tcp_ports", ["3306", "4000-4010"], group="mysql")
        options.set_override("udp_ports", ["5000"], group="mysql")
        made = alice.post("/security-group-rules", rule(group_id, "192.0.2.7/32"), status=201).json
        assert {(each["protocol"], each["from_port"], each["to_port"]) for each in made["security_group_rule"]} == {
            ("tcp", 3306, 3306), ("tcp", 4000, 4010), ("udp", 5000, 5000)}

    def test_the_same_again_is_the_same_rule(self, grouped, alice):
        _, group_id = grouped(alice)
        first, second = (alice.post("/security-group-rules", rule(group_id), status=201).json for _ in range(2))
        assert first == second

    def test_not_without_end(self, grouped, alice, options):
        _, group_id = grouped(alice)
        options.set_override("max_security_group_rules", 2)
        alice.post("/security-group-rules", rule(group_id), status=201)
        alice.post("/security-group-rules", rule(group_id), status=201)
        alice.post("/security-group-rules", rule(group_id, "10.2.0.0/16"), status=413)
        assert "10.2.0.0/16" not in in_neutron(group_id)

    def test_of_another_tenant(self, grouped, alice, bob):
        _, group_id = grouped(alice)
        bob.post("/security-group-rules", rule(group_id), status=404)
        assert "10.1.0.0/16" not in in_neutron(group_id)
        alice.post("/security-group-rules", rule(UNKNOWN), status=404)

    @pytest.mark.parametrize("cidr", ["", "x", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/-1", "::/129", None, 7,
                                      "0.0.0.0/0 ", "1" * 65])
    def test_bad_cidr(self, grouped, alice, cidr):
        _, group_id = grouped(alice)
        alice.post("/security-group-rules", rule(group_id, cidr), status=400)
        assert set(in_neutron(group_id)) <= {"0.0.0.0/0", None}

    def test_a_rule_that_is_gone_in_the_cloud(self, grouped, alice):
        _, group_id = grouped(alice)
        rule_id = alice.post("/security-group-rules", rule(group_id), status=201).json["security_group_rule"][0]["id"]
        remote.neutron_client().delete_security_group_rule(rule_id)
        alice.delete(f"/security-group-rules/{rule_id}", status=204)

    def test_a_silent_cloud(self, grouped, alice, options):
        _, group_id = grouped(alice)
        options.set_override("neutron_url", "http://127.0.0.1:1")
        options.set_override("cloud_request_retries", 0)
        remote.reset()
        alice.post("/security-group-rules", rule(group_id), status=503)
        options.clear_override("neutron_url")
        remote.reset()
        assert len(alice.get(f"/security-groups/{group_id}").json["security_group"]["rules"]) == 1
