"""What one project may use and another may not, as the real clients see it: flavors, volume types, networks, ports."""

import uuid

import pytest
from cinderclient import client as cinder_client
from cinderclient import exceptions as cinder_errors
from neutronclient.v2_0 import client as neutron_client
from novaclient import client as nova_client
from novaclient import exceptions as nova_errors

pytestmark = pytest.mark.filterwarnings("ignore:The python binding code")


def nova(session):
    return nova_client.Client("2.12", session=session)


def cinder(session):
    return cinder_client.Client("3", session=session)


def neutron(session):
    return neutron_client.Client(session=session)


@pytest.fixture
def flavor(admin):
    name = f"private-{uuid.uuid4().hex[:8]}"
    made = nova(admin).flavors.create(name, 512, 1, 1, is_public=False)
    yield made
    nova(admin).flavors.delete(made.id)


@pytest.fixture
def volume_type(admin):
    made = cinder(admin).volume_types.create(f"private-{uuid.uuid4().hex[:8]}", is_public=False)
    yield made
    cinder(admin).volume_types.delete(made.id)


class TestFlavors:
    def test_a_private_one_is_for_those_who_were_given_it(self, admin, tenant, new_tenant, flavor, image):
        other, access = new_tenant(), nova(admin).flavor_access
        access.add_tenant_access(flavor, tenant.get_project_id())
        assert [entry.tenant_id for entry in access.list(flavor=flavor.id)] == [tenant.get_project_id()]
        assert flavor.id in [each.id for each in nova(tenant).flavors.list()]
        assert nova(tenant).flavors.get(flavor.id).is_public is False
        assert flavor.id not in [each.id for each in nova(other).flavors.list(is_public=None)]
        with pytest.raises(nova_errors.NotFound):
            nova(other).flavors.get(flavor.id)
        with pytest.raises(nova_errors.BadRequest, match="could not be found"):
            nova(other).servers.create("x", image, flavor.id)
        access.remove_tenant_access(flavor, tenant.get_project_id())
        with pytest.raises(nova_errors.NotFound):
            nova(tenant).flavors.get(flavor.id)

    def test_lists_of_access_are_the_administrators(self, admin, tenant, flavor):
        with pytest.raises(nova_errors.Forbidden):
            nova(tenant).flavor_access.list(flavor=flavor.id)
        with pytest.raises(nova_errors.Forbidden):
            nova(tenant).flavor_access.add_tenant_access(flavor, tenant.get_project_id())
        with pytest.raises(nova_errors.NotFound):
            nova(admin).flavor_access.list(flavor="1")
        with pytest.raises(nova_errors.Conflict):
            nova(admin).flavor_access.add_tenant_access("1", "p")
        with pytest.raises(nova_errors.NotFound):
            nova(admin).flavor_access.remove_tenant_access(flavor, "p")
        nova(admin).flavor_access.add_tenant_access(flavor, "p")
        with pytest.raises(nova_errors.Conflict):
            nova(admin).flavor_access.add_tenant_access(flavor, "p")


class TestVolumeTypes:
    def test_a_private_one_is_for_those_who_were_given_it(self, admin, tenant, new_tenant, volume_type):
        other, access = new_tenant(), cinder(admin).volume_type_access
        access.add_project_access(volume_type, tenant.get_project_id())
        assert [entry.project_id for entry in access.list(volume_type)] == [tenant.get_project_id()]
        assert volume_type.id in [each.id for each in cinder(tenant).volume_types.list()]
        assert volume_type.id not in [each.id for each in cinder(other).volume_types.list()]
        with pytest.raises(cinder_errors.NotFound):
            cinder(other).volume_types.get(volume_type.id)
        with pytest.raises(cinder_errors.NotFound):
            cinder(other).volumes.create(1, volume_type=volume_type.name)
        access.remove_project_access(volume_type, tenant.get_project_id())
        assert volume_type.id not in [each.id for each in cinder(tenant).volume_types.list()]

    def test_lists_of_access_are_the_administrators(self, admin, tenant, volume_type):
        public = cinder(admin).volume_types.list(is_public=True)[0]
        with pytest.raises(cinder_errors.Forbidden):
            cinder(tenant).volume_type_access.list(public)
        with pytest.raises(cinder_errors.NotFound):
            cinder(admin).volume_type_access.list(public)
        with pytest.raises(cinder_errors.ClientException):
            cinder(admin).volume_type_access.add_project_access(public, "p")
        with pytest.raises(cinder_errors.NotFound):
            cinder(admin).volume_type_access.remove_project_access(volume_type, "p")


class TestNetworks:
    @pytest.fixture
    def network(self, tenant):
        made = neutron(tenant).create_network({"network": {"name": "own"}})["network"]
        neutron(tenant).create_subnet({"subnet": {"network_id": made["id"], "ip_version": 4, "cidr": "10.99.0.0/24"}})
        yield made
        # With two networks to choose from, later tests could not make servers without naming one.
        for port in neutron(tenant).list_ports(network_id=made["id"])["ports"]:
            neutron(tenant).delete_port(port["id"])
        neutron(tenant).delete_network(made["id"])

    def test_filters_by_id_show_own_and_shared_ones_only(self, tenant, new_tenant, network):
        shared = neutron(tenant).list_networks(shared=True)["networks"][0]["id"]
        wanted = [network["id"], shared, str(uuid.uuid4())]
        assert {n["id"] for n in neutron(tenant).list_networks(id=wanted)["networks"]} == {network["id"], shared}
        other = neutron(new_tenant())
        assert [n["id"] for n in other.list_networks(id=wanted)["networks"]] == [shared]
        assert other.list_subnets(network_id=[network["id"]])["subnets"] == []

    def test_ports_are_their_owners(self, tenant, new_tenant, network):
        port = neutron(tenant).create_port({"port": {"network_id": network["id"]}})["port"]
        assert [p["id"] for p in neutron(tenant).list_ports(id=[port["id"]])["ports"]] == [port["id"]]
        assert neutron(new_tenant()).list_ports(id=[port["id"]])["ports"] == []

    def test_a_server_takes_ports_of_its_own_project_even_from_an_administrator(self, admin, tenant, image, network):
        port = neutron(tenant).create_port({"port": {"network_id": network["id"]}})["port"]
        with pytest.raises(nova_errors.BadRequest, match="not usable"):
            nova(admin).servers.create("x", image, "1", nics=[{"port-id": port["id"]}])
