"""What of the cloud a request names: whose it may be, what is refused before anything is written, and what it costs."""
import uuid

import pytest
from cinderclient import client as cinder_client
from neutronclient.v2_0 import client as neutron_client
from novaclient import client as nova_client

from tests.fakes import neutron, nova, tokens
from tests.functional.conftest import Caller
from tests.functional.world import UNKNOWN, create_active, create_body
from trove.common import cached, exception, remote
from trove.db.sqlalchemy import tables

pytestmark = pytest.mark.filterwarnings("ignore:The python binding code")
ID = neutron.id_of


class Service:
    """Stands for the session of the service user, whose project is a tenant's."""

    def __init__(self, project):
        self._project = project

    def get_project_id(self):
        return self._project


@pytest.fixture
def one_project(monkeypatch):
    """The service user makes servers in the tenant's own project."""
    monkeypatch.setattr(remote, "service_session", lambda: Service("tenant-a"))


def refused(world, caller, status, **more):
    """Ask for an instance; nothing may be written. Returns the text of the answer."""
    before = world.counts()
    text = caller.post("/instances", create_body(**more), status=status).text
    assert world.counts() == before
    assert world.casts == []
    return text


# nics -> None when they are accepted, else the code and a part of the message
NICS = [
    ([{"net-id": ID("own")}], None), ([{"network_id": ID("shared")}], None),
    ([{"net-id": ID("shared")}, {"net-id": ID("own")}], None),
    ([{"net-id": ID("own"), "v4-fixed-ip": "10.0.0.9"}], None),
    ([{"subnet_id": ID("own-subnet-0")}], None),
    ([{"network_id": ID("own"), "subnet_id": ID("own-subnet-0"), "ip_address": "10.0.0.9"}], None),
    ([{"subnet-id": ID("two-subnet-1"), "ip-address": "10.1.1.9"}], None),
    ([{"net-id": ID("foreign")}], (404, f"nics[0].net-id: there is no network '{ID('foreign')}' that you can use")),
    ([{"network_id": UNKNOWN}], (404, f"instance.nics[0].network_id: there is no network '{UNKNOWN}'")),
    ([{"net-id": ID("own")}, {"net-id": ID("external")}], (404, "instance.nics[1].net-id: there is no network")),
    ([{"net-id": ID("bare")}], (400, "has no subnet")),
    ([{"subnet_id": ID("foreign-subnet-0")}], (404, "instance.nics[0].subnet_id: there is no subnet")),
    ([{"subnet_id": UNKNOWN}], (404, "instance.nics[0].subnet_id: there is no subnet")),
    ([{"network_id": ID("own"), "subnet_id": ID("two-subnet-0")}], (404, "instance.nics[0].subnet_id")),
    ([{"subnet_id": ID("two-subnet-0")}], (400, "the network has other subnets too")),
    ([{"subnet_id": ID("two-subnet-0"), "ip_address": "10.1.1.9"}], (400, "does not lie in the subnet: 10.1.0.0/24")),
    ([{"net-id": ID("own"), "v4-fixed-ip": "10.9.0.9"}], (400, "does not lie in a subnet of the network: 10.0.0.0/24")),
    ([{"net-id": ID("own"), "v6-fixed-ip": "fd00::9"}], (400, "nics[0].v6-fixed-ip: 'fd00::9' does not lie")),
    ([{"net-id": ID("own"), "v4-fixed-ip": "fd00::9"}], (400, "nics[0].v4-fixed-ip: 'fd00::9' is not an IPv4 address")),
    ([{"net-id": ID("own"), "ip_address": "nine"}], (400, "nics[0].ip_address: 'nine' is not an IP address")),
    ([{"net-id": ID("own"), "v4-fixed-ip": "10.0.0.9", "v6-fixed-ip": "fd00::9"}], (400, "leave one of them out")),
    ([{"net-id": ID("own"), "network_id": ID("own")}], (400, "leave one of them out")),
    ([{"net-id": ID("own"), "v4-fixed-ip": "10.0.0.9"}] * 2, (400, "nics[1].v4-fixed-ip: '10.0.0.9' is named twice")),
    ([{"v4-fixed-ip": "10.0.0.9"}], (400, "name a network")),
    ([{"net-id": ID("own"), "colour": "red"}], (400, "'colour' is not known here")),
    ([{"port-id": ID("free-port")}], None), ([{"port-id": ID("free-port"), "net-id": ID("own")}], None),
    ([{"port-id": ID("free-port"), "net-id": ID("shared")}], (400, "instance.nics[0].net-id: the port is on")),
    ([{"port-id": ID("free-port"), "v4-fixed-ip": "10.0.0.9"}], (400, "cannot be given with a port")),
    ([{"port-id": ID("free-port"), "subnet_id": ID("own-subnet-0")}], (400, "cannot be given with a port")),
    ([{"port-id": ID("free-port")}] * 2, (400, "nics[1].port-id: ")),
    ([{"port-id": ID("bound-port")}], (409, f"instance.nics[0].port-id: the port '{ID('bound-port')}' is in use")),
    ([{"port-id": ID("empty-port")}], (400, "has no address")),
    ([{"port_id": ID("foreign-port")}], (404, "instance.nics[0].port_id: there is no port")),
    ([{"port-id": UNKNOWN}], (404, "instance.nics[0].port-id: there is no port")),
    *[([{key: value}], (400, f"instance.nics[0].{key}")) for key in ("net-id", "port_id", "subnet_id")
      for value in ("../networks", UNKNOWN + "/x", UNKNOWN + "\n", "a?b=c", ".", 7, [])],
]


@pytest.mark.usefixtures("one_project")
@pytest.mark.parametrize(("nics", "expected"), NICS)
def test_nics(world, alice, nics, expected):
    if expected is None:
        alice.post("/instances", create_body(nics=nics))
    else:
        assert expected[1] in refused(world, alice, expected[0], nics=nics)


def test_an_administrators_token_opens_no_other_tenants_network(world, admin):
    for nic in ({"net-id": ID("own")}, {"port-id": ID("free-port")}, {"subnet_id": ID("own-subnet-0")}):
        assert "there is no" in refused(world, admin, 404, nics=[nic])


def test_a_port_is_refused_where_servers_are_in_another_project(world, alice, monkeypatch):
    monkeypatch.setattr(remote, "service_session", lambda: Service("service"))
    assert "name the network (net-id)" in refused(world, alice, 400, nics=[{"port-id": ID("free-port")}])


@pytest.mark.parametrize("nic", [{"net-id": ID("own"), "v4-fixed-ip": "10.0.0.9"}, {"port-id": ID("free-port")}])
def test_replicas_cannot_share_a_port_or_an_address(world, alice, nic):
    source = create_active(world, alice)
    world.casts.clear()
    assert "for one instance only" in refused(
        world, alice, 400, nics=[nic], replica_of=source, replica_count=2, volume=None, flavorRef=None, datastore=None)


def test_replicas_have_the_networks_of_their_own_request(world, alice):
    source = create_active(world, alice, nics=[{"net-id": ID("own")}])
    for nics, expected in ((None, []), ([{"net-id": ID("shared")}], [{"net-id": ID("shared")}])):
        replica = alice.post("/instances", create_body(nics=nics, replica_of=source, datastore=None)).json["instance"]
        assert world.operations(replica["id"])[0].args["nics"] == expected
        world.end_backups()


@pytest.mark.parametrize(("zone", "expected"), [
    ("nova", None), ("mars", 404), ("nova:host-1", 404), ("nova:host-1:node", 404), ("broken", 400)])
def test_zones(world, alice, zone, expected):
    if expected is None:
        alice.post("/instances", create_body(availability_zone=zone))
    else:
        assert "instance.availability_zone: " in refused(world, alice, expected, availability_zone=zone)


@pytest.mark.parametrize("name", ["type-2", "secret/type"])
def test_volume_types(world, alice, bob, name):
    for accepted in ("fast", "type-1"):
        bob.post("/instances", create_body(volume={"size": 1, "type": accepted}))
    alice.post("/instances", create_body(volume={"size": 1, "type": name}))
    world.casts.clear()
    for wrong in (name, "missing", "../types"):
        assert f"instance.volume.type: there is no volume type '{wrong}'" in refused(
            world, bob, 404, volume={"size": 1, "type": wrong})


def test_flavors(world, alice, bob):
    instance = create_active(world, bob)
    alice.post("/instances", create_body(flavorRef="p1"))
    world.casts.clear()
    assert "instance.flavorRef: there is no flavor 'p1' that you can use" in refused(world, bob, 400, flavorRef="p1")
    answer = bob.post(f"/instances/{instance}/action", {"resize": {"flavorRef": "p1"}}, status=400)
    assert "resize.flavorRef: there is no flavor 'p1' that you can use" in answer.text
    for wrong in ("a?b", "..\n", "p1\x01", "%2e%2e"):
        assert "instance.flavorRef" in refused(world, bob, 400, flavorRef=wrong)


def test_lists_show_what_the_caller_may_use(world, alice, bob):
    paths = ("/flavors", "/datastores/mysql/versions/5.7/flavors")
    for path in paths:
        assert "p1" in [each["str_id"] for each in alice.get(path).json["flavors"]]
        assert "p1" not in [each["str_id"] for each in bob.get(path).json["flavors"]]
    for path in ("/volume-types", "/datastores/mysql/versions/5.7/volume-types"):
        assert "type-2" in [each["id"] for each in alice.get(path).json["volume_types"]]
        assert "type-2" not in [each["id"] for each in bob.get(path).json["volume_types"]]
    alice.get("/flavors/p1")
    bob.get("/flavors/p1", status=404)
    alice.get("/volume-types/type-2")
    bob.get("/volume-types/type-2", status=404)


EVERYTHING = {"flavorRef": "p1", "availability_zone": "nova", "volume": {"size": 1, "type": "type-2"},
              "nics": [{"net-id": ID("own"), "v4-fixed-ip": f"10.0.0.{n}"} for n in range(10, 20)]
              + [{"subnet_id": ID("two-subnet-0"), "ip_address": "10.1.0.9"}, {"port-id": ID("free-port")}]}
KEPT = ["flavors.list", "flavor_access.list p1", "availability_zones.list False", "volume_types.list",
        "volume_type_access.list type-2"]


@pytest.mark.usefixtures("one_project")
def test_what_a_create_costs(world, alice, options):
    options.set_override("max_instances_per_tenant", 5)
    alice.post("/instances", create_body(**EVERYTHING))
    nics = ["ports", "subnets", "networks", "subnets"]
    assert nova.Cloud.calls == KEPT + nics
    nova.Cloud.calls.clear()
    alice.post("/instances", create_body(**EVERYTHING))
    assert nova.Cloud.calls == nics
    nova.Cloud.calls.clear()
    alice.post("/instances", create_body(**EVERYTHING | {"nics": [{"net-id": ID("own")}, {"net-id": ID("shared")}]}))
    assert nova.Cloud.calls == ["networks"]
    nova.Cloud.calls.clear()
    alice.post("/instances", create_body())
    assert nova.Cloud.calls == []


@pytest.mark.usefixtures("one_project")
@pytest.mark.parametrize("number", range(len(KEPT) + 4))
def test_a_service_that_is_away_is_503_before_anything_is_written(world, alice, monkeypatch, number):
    class Away(Exception):
        """What the clients raise when nobody answers."""

        status_code = 503
    call = nova.Cloud.call

    def fail(name):
        call(name)
        if len(nova.Cloud.calls) > number:
            raise Away
    monkeypatch.setattr(nova.Cloud, "call", fail)
    assert "service" in refused(world, alice, 503, **EVERYTHING)


def test_a_token_that_neutron_does_not_take(world, alice, monkeypatch):
    class Refused(Exception):
        """What Neutron's client raises."""

        status_code = 401

    def refuse(_token):
        raise Refused
    monkeypatch.setattr(neutron, "tenant_neutron_client", refuse)
    assert "network service" in refused(world, alice, 401, nics=[{"net-id": ID("own")}])


class TestWithRealClients:
    """The same against minicloud, with real tokens and the real clients of all services."""

    @pytest.fixture
    def caller(self, app, cloud):
        """A function that makes a tenant: (session, Caller)."""
        def make(role="member"):
            session = cloud.make_tenant(role)
            caller = Caller(app, session.get_project_id(), roles=(role,))
            tokens.REAL[session.get_token()] = caller.headers["X-Auth-Token"]
            caller.headers["X-Auth-Token"] = session.get_token()
            return session, caller
        yield make
        tokens.REAL.clear()

    @pytest.fixture
    def network(self, cloud):
        """A function that makes a network with a subnet and a port for a session; returns their ids."""
        made = []

        def make(session):
            client = neutron_client.Client(session=session)
            network = client.create_network({"network": {"name": "own"}})["network"]["id"]
            subnet = client.create_subnet({"subnet": {
                "network_id": network, "ip_version": 4, "cidr": "10.77.0.0/24"}})["subnet"]["id"]
            port = client.create_port({"port": {"network_id": network}})["port"]["id"]
            made.append((client, network, port))
            return network, subnet, port
        yield make
        for client, network, port in made:
            client.delete_port(port)
            client.delete_network(network)

    def test_networks_and_ports(self, world, cloud, caller, network):
        (session, alice), (_, bob), (_, boss) = caller(), caller(), caller("admin")
        own, subnet, port = network(session)
        shared = neutron_client.Client(session=session).list_networks(shared=True)["networks"][0]["id"]
        for nics in ([{"net-id": own}, {"net-id": shared}], [{"network_id": own, "ip_address": "10.77.0.9"}],
                     [{"subnet_id": subnet}]):
            alice.post("/instances", create_body(nics=nics))
            world.end_operations(world.rows(tables.instances)[-1]["id"])
        world.casts.clear()
        assert "name the network" in refused(world, alice, 400, nics=[{"port-id": port}])
        for stranger in (bob, boss):
            for nic in ({"net-id": own}, {"subnet_id": subnet}, {"port-id": port}, {"net-id": str(uuid.uuid4())}):
                assert "there is no" in refused(world, stranger, 404, nics=[nic])
        refused(world, alice, 400, nics=[{"net-id": own, "v4-fixed-ip": "10.78.0.9"}])
        neutron_client.Client(session=cloud.admin).update_port(
            port, {"port": {"device_id": "x", "device_owner": "compute:nova"}})
        refused(world, alice, 409, nics=[{"port-id": port}])

    def test_flavors_types_and_zones(self, world, cloud, caller):
        (session, alice), (_, bob) = caller(), caller()
        admin_nova = nova_client.Client("2.12", session=cloud.admin)
        admin_cinder = cinder_client.Client("3", session=cloud.admin)
        flavor = admin_nova.flavors.create(f"private-{uuid.uuid4()}", 512, 1, 1, is_public=False)
        kind = admin_cinder.volume_types.create(f"private {uuid.uuid4()}", is_public=False)
        admin_nova.flavor_access.add_tenant_access(flavor, session.get_project_id())
        admin_cinder.volume_type_access.add_project_access(kind, session.get_project_id())
        cached.forget()
        given = {"flavorRef": flavor.id, "volume": {"size": 1, "type": kind.name}, "availability_zone": "nova"}
        alice.post("/instances", create_body(**given))
        world.casts.clear()
        refused(world, bob, 400, flavorRef=flavor.id)
        refused(world, bob, 404, volume=given["volume"])
        refused(world, bob, 404, availability_zone="nova:minicloud")
        for owner, caller_ in ((True, alice), (False, bob)):
            assert (flavor.id in [f["str_id"] for f in caller_.get("/flavors").json["flavors"]]) is owner
            assert (kind.id in [t["id"] for t in caller_.get("/volume-types").json["volume_types"]]) is owner
        admin_nova.flavor_access.remove_tenant_access(flavor, session.get_project_id())
        admin_cinder.volume_type_access.remove_project_access(kind, session.get_project_id())
        cached.forget()
        refused(world, alice, 400, flavorRef=flavor.id)
        refused(world, alice, 404, volume=given["volume"])
        admin_nova.flavors.delete(flavor)
        admin_cinder.volume_types.delete(kind)

    def test_services_that_are_away(self, world, cloud, caller, network, options):
        session, alice = caller()
        own, *_ = network(session)
        alice.get("/flavors")
        # A port that nobody listens on.
        options.set_override("cloud_request_retries", 0)
        options.set_override("neutron_url", "http://127.0.0.1:9")
        assert "network service" in refused(world, alice, 503, nics=[{"net-id": own}])
        options.clear_override("neutron_url")
        remote.reset()


def test_errors_of_the_cached_lists_are_sentences(options):
    nova.Cloud.failure = OSError("refused")
    away = cached.Cached("compute", nova.nova_client().flavors.list)
    with pytest.raises(exception.ServiceUnavailable, match="The compute service does not answer"):
        away.get(1)
