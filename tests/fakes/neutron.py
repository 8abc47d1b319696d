"""A client of Neutron that shows a caller the networks, subnets and ports that Neutron would.

For tests of the API: the factory is named by ``remote_tenant_neutron_client``; the tenant is the first part of the
token, as in ``tests.fakes.tokens``.
"""
import uuid

from tests.fakes import nova


def id_of(name):
    """The id of the thing of that name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _network(name, tenant, shared=False, external=False, subnets=1):
    return {"id": id_of(name), "name": name, "project_id": tenant, "tenant_id": tenant, "shared": shared,
            "router:external": external, "subnets": [id_of(f"{name}-subnet-{n}") for n in range(subnets)]}


NETWORKS = [_network("own", "tenant-a"), _network("two", "tenant-a", subnets=2),
            _network("bare", "tenant-a", subnets=0), _network("shared", "operator", shared=True),
            _network("external", "operator", external=True),
            _network("foreign", "tenant-b")]
SUBNETS = [{"id": id_, "network_id": network["id"], "cidr": f"10.{number}.{part}.0/24"}
           for number, network in enumerate(NETWORKS) for part, id_ in enumerate(network["subnets"])]


def _port(name, network, tenant, device="", addresses=1):
    return {"id": id_of(name), "network_id": id_of(network), "project_id": tenant, "device_id": device,
            "device_owner": "compute:nova" if device else "", "fixed_ips": [{"ip_address": "10.0.0.7"}] * addresses}


PORTS = [_port("free-port", "own", "tenant-a"), _port("bound-port", "own", "tenant-a", device="server"),
         _port("empty-port", "own", "tenant-a", addresses=0), _port("foreign-port", "foreign", "tenant-b")]


class _Client:
    def __init__(self, token):
        tenant, _, roles = token.split(":")
        self._tenant, self._admin = tenant, "admin" in roles.lower()

    def _sees(self, document):
        return self._admin or document["project_id"] == self._tenant

    def _network_seen(self, network):
        return self._sees(network) or network["shared"] or network["router:external"]

    @staticmethod
    def _match(documents, filters):
        return [each for each in documents if all(each[name] in wanted for name, wanted in filters.items())]

    def list_networks(self, **filters):
        nova.Cloud.call("networks")
        return {"networks": self._match([each for each in NETWORKS if self._network_seen(each)], filters)}

    def list_subnets(self, **filters):
        nova.Cloud.call("subnets")
        usable = {each["id"] for each in NETWORKS if self._sees(each) or each["shared"]}
        return {"subnets": self._match([each for each in SUBNETS if each["network_id"] in usable], filters)}

    def list_ports(self, **filters):
        nova.Cloud.call("ports")
        return {"ports": self._match([each for each in PORTS if self._sees(each)], filters)}


def tenant_neutron_client(token):
    """The client."""
    return _Client(token)
