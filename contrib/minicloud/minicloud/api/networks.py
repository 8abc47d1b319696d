"""Networks, subnets and ports: what they are, and which addresses are free.

Called by the network facade and by servers.py. Addresses are allocated in the transaction that stores the port.
"""

import ipaddress
import random

from minicloud.api import security_groups
from minicloud.api.web import Fault
from minicloud.store import new_id, now

QUOTAS = {
    "network": 100,
    "subnet": 100,
    "port": 1000,
    "security_group": 300,
    "security_group_rule": 3000,
    "router": 10,
    "floatingip": 50,
    "subnetpool": -1,
    "rbac_policy": 10,
}


def require_quota(cloud, project_id, resource, wanted=1):
    """:raises Fault: 409 OverQuota when the project would have more of the resource than it may."""
    quota = {**QUOTAS, **((cloud.store.find("network_quota", project_id) or {}).get("limits", {}))}[resource]
    if 0 <= quota < len(cloud.store.list(resource, project_id=project_id)) + wanted:
        raise Fault(409, f"Quota exceeded for resources: ['{resource}'].", "OverQuota")


def add_network(cloud, project_id, body):
    """Store a network and return it."""
    time = now() + "Z"
    return cloud.store.add(
        "network",
        {
            "id": new_id(),
            "project_id": project_id,
            "name": body.get("name", ""),
            "description": body.get("description", ""),
            "admin_state_up": body.get("admin_state_up", True),
            "shared": body.get("shared", False),
            "mtu": body.get("mtu", 1500),
            "port_security_enabled": body.get("port_security_enabled", True),
            "created_at": time,
            "updated_at": time,
        },
    )


def add_subnet(cloud, project_id, body):
    """Store a subnet and return it. :raises Fault: 400 for ranges that do not fit together."""
    network = ipaddress.ip_network(body["cidr"])
    others = cloud.store.list("subnet", network_id=body["network_id"])
    if any(network.overlaps(ipaddress.ip_network(other["cidr"])) for other in others):
        raise Fault(
            400,
            f"Invalid input for operation: Requested subnet with cidr: {network} for network: "
            f"{body['network_id']} overlaps with another subnet.",
            "InvalidInput",
        )
    gateway = body.get("gateway_ip", str(network[1]))
    pools = body.get("allocation_pools") or [
        {"start": str(network[2 if gateway == str(network[1]) else 1]), "end": str(network[-2])}
    ]
    for pool in pools:
        if not (
            ipaddress.ip_address(pool["start"]) in network and ipaddress.ip_address(pool["end"]) in network
        ):
            raise Fault(
                400,
                f"Invalid input for operation: The allocation pool {pool['start']}-{pool['end']} spans beyond "
                f"the subnet cidr {network}.",
                "InvalidInput",
            )
    time = now() + "Z"
    return cloud.store.add(
        "subnet",
        {
            "id": new_id(),
            "project_id": project_id,
            "name": body.get("name", ""),
            "description": body.get("description", ""),
            "network_id": body["network_id"],
            "ip_version": 4,
            "cidr": str(network),
            "gateway_ip": gateway,
            "allocation_pools": pools,
            "enable_dhcp": body.get("enable_dhcp", True),
            "dns_nameservers": body.get("dns_nameservers", []),
            "host_routes": body.get("host_routes", []),
            "created_at": time,
            "updated_at": time,
        },
    )


def usable(context, network):
    """Whether a tenant may plug a server into a network."""
    return context.owns(network) or network["shared"]


def free_address(cloud, subnet, wanted=None):
    """An address of the subnet that no port has: the wanted one or the next after a random start.

    The start is random so that an address is not given to another guest right after its last one has gone.
    :raises Fault: 409 IpAddressInUse or IpAddressGenerationFailure, 400 outside the subnet.
    """
    used = {
        ip["ip_address"]
        for port in cloud.store.list("port", network_id=subnet["network_id"])
        for ip in port["fixed_ips"]
    }
    reserved = {subnet["gateway_ip"], cloud.config.gateway, cloud.config.host_address}
    if wanted:
        if ipaddress.ip_address(wanted) not in ipaddress.ip_network(subnet["cidr"]):
            raise Fault(
                400, f"IP address {wanted} is not a valid IP for the specified subnet.", "InvalidIpForSubnet"
            )
        if wanted in used | reserved:
            raise Fault(
                409,
                f"IP address {wanted} already allocated in subnet {subnet['id']}",
                "IpAddressAlreadyAllocated",
            )
        return wanted
    for pool in subnet["allocation_pools"]:
        first, last = int(ipaddress.ip_address(pool["start"])), int(ipaddress.ip_address(pool["end"]))
        size = last - first + 1
        start = random.randrange(size)  # noqa: S311
        # Among len(used) + len(reserved) + 1 candidates at least one is free, if the pool is that large.
        for step in range(min(size, len(used) + len(reserved) + 1)):
            address = str(ipaddress.ip_address(first + (start + step) % size))
            if address not in used and address not in reserved:
                return address
    raise Fault(
        409,
        f"No more IP addresses available on network {subnet['network_id']}.",
        "IpAddressGenerationFailure",
    )


def add_port(cloud, project_id, network, body):
    """Store a port with an address and return it. Call within a transaction.

    :param body: Neutron's members: name, fixed_ips, security_groups, device_id, device_owner ...
    """
    require_quota(cloud, project_id, "port")
    subnets = cloud.store.list("subnet", network_id=network["id"])
    fixed_ips = []
    for wanted in body.get("fixed_ips") or ([{}] if subnets else []):
        subnet = (
            next((s for s in subnets if wanted.get("subnet_id") == s["id"]), None)
            if wanted.get("subnet_id")
            else next(
                (
                    s
                    for s in subnets
                    if not wanted.get("ip_address")
                    or ipaddress.ip_address(wanted["ip_address"]) in ipaddress.ip_network(s["cidr"])
                ),
                None,
            )
        )
        if not subnet:
            raise Fault(
                400,
                f"Invalid input for operation: no subnet of network {network['id']} fits {wanted}.",
                "InvalidInput",
            )
        fixed_ips.append(
            {"subnet_id": subnet["id"], "ip_address": free_address(cloud, subnet, wanted.get("ip_address"))}
        )
    groups = body.get("security_groups")
    if groups is None:
        groups = [security_groups.default_group(cloud, project_id)["id"]]
    mac = "fa:16:3e:" + ":".join(f"{random.randrange(256):02x}" for _ in range(3))  # noqa: S311
    time = now() + "Z"
    return cloud.store.add(
        "port",
        {
            "id": new_id(),
            "project_id": project_id,
            "network_id": network["id"],
            "name": body.get("name", ""),
            "description": body.get("description", ""),
            "admin_state_up": body.get("admin_state_up", True),
            "mac_address": body.get("mac_address") or mac,
            "fixed_ips": fixed_ips,
            "security_groups": groups,
            "device_id": body.get("device_id", ""),
            "device_owner": body.get("device_owner", ""),
            "made_by_nova": False,
            "created_at": time,
            "updated_at": time,
        },
    )
