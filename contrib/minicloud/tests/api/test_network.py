"""Neutron as python-neutronclient sees it, and what its rules mean for guests."""

import pytest
import requests
from neutronclient.common import exceptions
from neutronclient.v2_0 import client
from novaclient import client as nova_client

pytestmark = pytest.mark.filterwarnings("ignore:The python binding code")


@pytest.fixture
def neutron(tenant):
    return client.Client(session=tenant)


@pytest.fixture
def neutron_admin(admin):
    return client.Client(session=admin)


@pytest.fixture
def group(neutron):
    return neutron.create_security_group({"security_group": {"name": "db", "description": "d"}})["security_group"]


def add_rule(neutron, group, **fields):
    body = {"security_group_id": group["id"], "direction": "ingress", **fields}
    return neutron.create_security_group_rule({"security_group_rule": body})["security_group_rule"]


def boot(fake, tenant, image, groups):
    server = nova_client.Client("2.12", session=tenant).servers.create("n", image, "1", security_groups=groups)
    fake.wait_idle()
    return server


def test_everybody_sees_the_shared_network(neutron, tenant):
    network = neutron.list_networks(name="private")["networks"][0]
    assert network["shared"] and network["status"] == "ACTIVE" and not network["router:external"]
    subnet = neutron.show_subnet(network["subnets"][0])["subnet"]
    assert (subnet["cidr"], subnet["gateway_ip"]) == ("10.77.0.0/16", "10.77.0.1")
    assert network["id"] in [n["id"] for n in neutron.list_networks(shared=True)["networks"]]
    assert neutron.list_networks(project_id=tenant.get_project_id(), shared=False)["networks"] == []
    with pytest.raises(exceptions.Forbidden):
        neutron.delete_network(network["id"])


def test_a_tenant_has_networks_of_its_own(fake, neutron, tenant, new_tenant, image):
    network = neutron.create_network({"network": {"name": "mine", "admin_state_up": True}})["network"]
    subnet = neutron.create_subnet(
        {"subnet": {"network_id": network["id"], "cidr": "10.77.200.0/29", "ip_version": 4}}
    )["subnet"]
    assert subnet["allocation_pools"] == [{"start": "10.77.200.2", "end": "10.77.200.6"}]
    port = neutron.create_port({"port": {"network_id": network["id"], "name": "p"}})["port"]
    assert port["fixed_ips"][0]["subnet_id"] == subnet["id"] and port["status"] == "DOWN"
    other = client.Client(session=new_tenant())
    with pytest.raises(exceptions.NetworkNotFoundClient):
        other.show_network(network["id"])
    nova = nova_client.Client("2.12", session=tenant)
    server = nova.servers.create("on-port", image, "1", nics=[{"port-id": port["id"]}])
    fake.wait_idle()
    assert nova.servers.get(server.id).addresses["mine"][0]["addr"] == port["fixed_ips"][0]["ip_address"]
    with pytest.raises(exceptions.NetworkInUseClient):
        neutron.delete_network(network["id"])
    server.delete()
    fake.wait_idle()
    assert neutron.show_port(port["id"])["port"]["device_id"] == "", "a port that the tenant made outlives the server"
    neutron.delete_port(port["id"])
    neutron.delete_network(network["id"])


def test_addresses_run_out_with_the_right_error(neutron):
    network = neutron.create_network({"network": {"name": "tiny"}})["network"]
    body = {"network_id": network["id"], "cidr": "10.77.201.0/30", "ip_version": 4}
    neutron.create_subnet({"subnet": body})
    neutron.create_port({"port": {"network_id": network["id"]}})
    with pytest.raises(exceptions.IpAddressGenerationFailureClient):
        neutron.create_port({"port": {"network_id": network["id"]}})
    with pytest.raises(exceptions.BadRequest, match="overlaps"):
        neutron.create_subnet({"subnet": body})


def test_rules_reach_the_guest_when_they_change(fake, neutron, tenant, image, group):
    add_rule(neutron, group, protocol="tcp", port_range_min=3306, port_range_max=3306, remote_ip_prefix="0.0.0.0/0")
    server = boot(fake, tenant, image, ["db"])
    mysql = {"protocol": "tcp", "port_min": 3306, "port_max": 3306, "cidr": "0.0.0.0/0"}
    assert fake.host.guest(server.id)["allowed"] == [mysql]
    icmp = add_rule(neutron, group, protocol="icmp")
    fake.wait_idle()
    expected = [mysql, {"protocol": "icmp", "port_min": None, "port_max": None, "cidr": None}]
    assert fake.host.guest(server.id)["allowed"] == expected
    neutron.delete_security_group_rule(icmp["id"])
    fake.wait_idle()
    assert fake.host.guest(server.id)["allowed"] == [mysql]
    with pytest.raises(exceptions.Conflict):
        neutron.delete_security_group(group["id"])


def test_the_default_group_lets_its_members_in(fake, tenant, image):
    first, second = (boot(fake, tenant, image, None) for _ in range(2))
    addresses = {fake.host.guest(server.id)["address"] for server in (first, second)}
    for server in (first, second):
        assert {rule["cidr"] for rule in fake.host.guest(server.id)["allowed"]} == {f"{a}/32" for a in addresses}
    second.delete()
    fake.wait_idle()
    own = fake.host.guest(first.id)["address"]
    assert {rule["cidr"] for rule in fake.host.guest(first.id)["allowed"]} == {f"{own}/32"}


def test_groups_of_a_server_are_changed_through_nova_and_neutron(fake, neutron, tenant, image, group):
    add_rule(neutron, group, protocol="udp")
    server = boot(fake, tenant, image, None)
    server.add_security_group("db")
    fake.wait_idle()
    assert {rule["protocol"] for rule in fake.host.guest(server.id)["allowed"]} == {"any", "udp"}
    port = neutron.list_ports(device_id=server.id)["ports"][0]
    neutron.update_port(port["id"], {"port": {"security_groups": [group["id"]]}})
    fake.wait_idle()
    assert {rule["protocol"] for rule in fake.host.guest(server.id)["allowed"]} == {"udp"}


@pytest.mark.parametrize(
    "fields, kind",
    [
        ({"port_range_min": 1, "port_range_max": 2}, "SecurityGroupProtocolRequiredWithPorts"),
        ({"protocol": "tcp", "port_range_min": 5, "port_range_max": 2}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "tcp", "remote_ip_prefix": "nonsense"}, "InvalidCIDR"),
        ({"protocol": "tcp", "remote_ip_prefix": "::/0"}, "SecurityGroupRuleParameterConflict"),
    ],
)
def test_wrong_rules_are_refused(fake, tenant, group, fields, kind):
    body = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress", **fields}}
    answer = tenant.post(f"{fake.url('network')}/v2.0/security-group-rules", json=body, raise_exc=False)
    assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (400, kind)
    assert set(answer.json()["NeutronError"]) == {"type", "message", "detail"}


def test_the_same_rule_twice_is_a_conflict(neutron, group):
    add_rule(neutron, group, protocol="tcp", port_range_min=1, port_range_max=2)
    with pytest.raises(exceptions.Conflict):
        add_rule(neutron, group, protocol="tcp", port_range_min=1, port_range_max=2)


def test_the_default_group_exists_and_stays(neutron, tenant):
    found = neutron.list_security_groups(project_id=tenant.get_project_id(), name="default")["security_groups"]
    assert len(found) == 1 and len(found[0]["security_group_rules"]) == 4
    with pytest.raises(exceptions.Conflict):
        neutron.delete_security_group(found[0]["id"])


def test_filters_fields_and_pages(neutron):
    for name in ("s1", "s2", "s3"):
        neutron.create_security_group({"security_group": {"name": name}})
    listed = neutron.list_security_groups(fields=["name"], name=["s1", "s3"])["security_groups"]
    assert sorted(listed, key=lambda g: g["name"]) == [{"name": "s1"}, {"name": "s3"}]
    pages = list(neutron.list_security_groups(retrieve_all=False, page_reverse=False, limit=2))
    assert [len(page["security_groups"]) for page in pages] == [2, 2], "three and the default group"


def test_quotas_are_enforced(neutron, neutron_admin, tenant):
    neutron_admin.update_quota(tenant.get_project_id(), {"quota": {"security_group": 1}})
    with pytest.raises(exceptions.OverQuotaClient):
        neutron.create_security_group({"security_group": {"name": "a"}})
        neutron.create_security_group({"security_group": {"name": "b"}})


def test_used_and_default_quotas_are_shown_as_the_dashboard_asks(fake, neutron, neutron_admin, tenant, group):
    project_id = tenant.get_project_id()
    neutron.list_security_groups()  # makes the default group
    neutron_admin.update_quota(project_id, {"quota": {"security_group": 7}})
    url = f"{fake.url('network')}/v2.0/quotas/{project_id}"
    for path in (f"{url}/details", f"{url}/details.json"):
        shown = tenant.get(path).json()["quota"]["security_group"]
        assert shown == {"limit": 7, "used": 2, "reserved": 0}, "the default group and one more"
    assert tenant.get(f"{url}/default").json()["quota"]["security_group"] != 7


def test_extensions_and_version(fake, neutron):
    assert {"security-group", "quotas"} <= {e["alias"] for e in neutron.list_extensions()["extensions"]}
    assert neutron.show_extension("security-group")["extension"]["alias"] == "security-group"
    assert requests.get(f"{fake.url('network')}/").json()["versions"][0]["id"] == "v2.0"


def test_a_port_cannot_be_smuggled_into_a_server(fake, neutron, tenant, new_tenant, image):
    server = boot(fake, tenant, image, None)
    network = neutron.list_networks(name="private")["networks"][0]["id"]
    stranger = client.Client(session=new_tenant())
    body = {"network_id": network, "device_id": server.id}
    with pytest.raises(exceptions.Forbidden):
        stranger.create_port({"port": {**body, "device_owner": "compute:nova"}})
    stranger.create_port({"port": body})
    shown = nova_client.Client("2.12", session=tenant).servers.get(server.id)
    assert len(shown.addresses["private"]) == 1
