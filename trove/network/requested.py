"""The networks, subnets, ports and addresses that a request names: which of them its tenant may use.

Servers are made by the service user, for whom Neutron refuses nothing. So Neutron is asked with the caller's own token
before anything is written, and of what it shows only the tenant's own and what is shared with it counts: an
administrator sees everybody's networks, and every tenant sees external ones.
"""
import contextlib
import dataclasses
import ipaddress

from trove.common import exception, remote


@dataclasses.dataclass(frozen=True)
class Nic:
    """A network card as a request asks for it: ids in lower case, and where they stand in the body.

    address: a fixed IPv4 or IPv6 address; keys: {part: key by which the request named it}.
    """

    number: int
    network: str | None = None
    port: str | None = None
    subnet: str | None = None
    address: str | None = None
    keys: dict = dataclasses.field(default_factory=dict, compare=False)

    def field(self, part=None):
        """Return the path of the card, or of one part of it, in the request."""
        path = f"instance.nics[{self.number}]"
        return f"{path}.{self.keys[part]}" if part else path


# Both families of names that clients use -> the part of a Nic, and for addresses the version of IP that the name says.
_PARTS = {"net-id": ("network", None), "network_id": ("network", None), "port-id": ("port", None),
          "port_id": ("port", None), "subnet-id": ("subnet", None), "subnet_id": ("subnet", None),
          "v4-fixed-ip": ("address", 4), "v6-fixed-ip": ("address", 6), "ip_address": ("address", None),
          "ip-address": ("address", None)}


def parse(nics):
    """Return the Nics of a request; nics: its list of objects. Pure. Raises BadValue naming a wrong field."""
    found = [_parse(number, given) for number, given in enumerate(nics)]
    for part in ("port", "address"):
        seen = set()
        for nic in found:
            value = getattr(nic, part) and (nic.network if part == "address" else None, getattr(nic, part))
            if value in seen:
                raise exception.BadValue(field=nic.field(part), reason=f"'{value[1]}' is named twice.")
            seen.update([value] if value else [])
    return tuple(found)


def _parse(number, given):
    values, keys = {}, {}
    for key, value in given.items():
        if not value:  # clients send empty texts for what the user did not give
            continue
        part, version = _PARTS[key]
        path = f"instance.nics[{number}].{key}"
        if part in keys:
            raise exception.BadValue(field=path, reason=f"{keys[part]} is given as well; leave one of them out.")
        values[part], keys[part] = _address(path, value, version) if part == "address" else value.lower(), key
    nic = Nic(number, **values, keys=keys)
    if not (nic.network or nic.port or nic.subnet):
        raise exception.BadValue(field=nic.field(), reason="name a network (net-id), a subnet or a port (port-id).")
    for part in ("address", "subnet"):
        if nic.port and getattr(nic, part):
            raise exception.BadValue(field=nic.field(part), reason="cannot be given with a port, which has its own.")
    return nic


def _address(path, text, version):
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or version not in (None, address.version):
        raise exception.BadValue(field=path, reason=f"'{text}' is not an IP{f'v{version}' if version else ''} address.")
    return str(address)


def check_count(nics, count):
    """Refuse ports and addresses for more than one instance, since each can be used once. Raises BadValue."""
    for nic in nics:
        for part in ("port", "address"):
            if count > 1 and getattr(nic, part):
                raise exception.BadValue(field=nic.field(part), reason="can be given for one instance only.")


def resolve(token, project_id, nics):
    """Return the nics for Nova, after Neutron has shown that the tenant may use all of them.

    token: the caller's; project_id: the caller's tenant. At most four requests, however many cards there are.
    Raises NotFound, BadValue or Conflict naming the field, Unauthorized, ServiceUnavailable.
    """
    if not nics:
        return []
    with _answering():
        client = remote.tenant_neutron_client(token)
        ports = {id_: port for id_, port in _by_id(client.list_ports, "ports", id=[nic.port for nic in nics]).items()
                 if _owner(port) == project_id}
        subnets = _by_id(client.list_subnets, "subnets", id=[nic.subnet for nic in nics])
        wanted = [nic.network for nic in nics] + [subnet["network_id"] for subnet in subnets.values()]
        networks = _by_id(client.list_networks, "networks", id=wanted)
        chosen = [_network_id(nic, subnets) for nic in nics if nic.address]
        subnets |= _by_id(client.list_subnets, "subnets", network_id=chosen)
        service_project = remote.service_session().get_project_id() if ports else None
    usable = {id_: network for id_, network in networks.items()
              if _owner(network) == project_id or network.get("shared")}
    return [_port(nic, ports.get(nic.port), service_project) if nic.port else _plug(nic, usable, subnets)
            for nic in nics]


@contextlib.contextmanager
def _answering():
    with remote.answering("network"):
        try:
            yield
        except Exception as error:
            if remote.http_status(error) == 401:
                raise exception.Unauthorized("The network service does not accept the token.") from error
            raise


def _by_id(method, key, **ids):
    """Return {id: dict} of one list call for the given ids. Without ids there is no call: it would list everything."""
    ((name, wanted),) = ids.items()
    wanted = sorted({each for each in wanted if each})
    return {each["id"]: each for each in method(**{name: wanted})[key]} if wanted else {}


def _owner(document):
    return document.get("project_id") or document.get("tenant_id")


def _missing(nic, part, label):
    return exception.NotFound(f"{nic.field(part)}: there is no {label} '{getattr(nic, part)}' that you can use.")


def _network_id(nic, subnets):
    return nic.network or subnets.get(nic.subnet, {}).get("network_id")


def _port(nic, port, service_project):
    """Return a card that is a port, for Nova: it must be free and have an address.

    port: None if it is not the tenant's.
    """
    if port is None:
        raise _missing(nic, "port", "port")
    if nic.network and nic.network != port["network_id"]:
        raise exception.BadValue(field=nic.field("network"), reason=f"the port is on the network {port['network_id']}.")
    if port.get("device_id") or port.get("device_owner"):
        raise exception.Conflict(f"{nic.field('port')}: the port '{nic.port}' is in use.")
    if not port.get("fixed_ips"):
        raise exception.BadValue(field=nic.field("port"), reason=f"the port '{nic.port}' has no address.")
    # Nova lets a server use ports of its own project only, and servers of databases are the service project's.
    if _owner(port) != service_project:
        raise exception.BadValue(field=nic.field("port"), reason=(
            "the servers of databases are made in a project of the operator, which cannot use ports of yours; name the "
            "network (net-id), and the address if it matters."))
    return {"port-id": nic.port}


def _plug(nic, usable, subnets):
    """Return a card on a network, or on the network of a subnet, for Nova."""
    network = usable.get(_network_id(nic, subnets))
    if network is None:
        raise _missing(nic, "network", "network") if nic.network else _missing(nic, "subnet", "subnet")
    subnet = subnets.get(nic.subnet)
    if nic.subnet and (subnet is None or subnet["network_id"] != network["id"]):
        raise _missing(nic, "subnet", "subnet")
    if not network.get("subnets"):
        raise exception.BadValue(field=nic.field("network"), reason=f"the network '{network['id']}' has no subnet.")
    result = {"net-id": network["id"]}
    if nic.address:
        address = ipaddress.ip_address(nic.address)
        ranges = [each["cidr"] for each in ([subnet] if subnet else subnets.values())
                  if each["network_id"] == network["id"]]
        if not any(address in ipaddress.ip_network(cidr) for cidr in ranges):
            raise exception.BadValue(field=nic.field("address"), reason=(
                f"'{nic.address}' does not lie in {'the subnet' if subnet else 'a subnet of the network'}: "
                f"{', '.join(sorted(ranges)) or 'there is none that you can use'}."))
        result[f"v{address.version}-fixed-ip"] = nic.address
    elif subnet and len(network["subnets"]) > 1:
        # Nova takes a network or an address, never a subnet.
        raise exception.BadValue(field=nic.field("subnet"), reason=(
            "the network has other subnets too, so name an address (ip_address) in this one as well."))
    return result
