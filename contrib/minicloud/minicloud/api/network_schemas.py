"""What Neutron accepts in bodies, and how its resources look."""

from minicloud.api import schema
from minicloud.api.schema import fields

_BOOL = {"type": "boolean"}
_TEXT = {"type": "string", "maxLength": 255}
_OPTIONAL = {"type": ["string", "null"]}
_LIST = {"type": "array"}
_PROJECT = {"tenant_id": schema.ID, "project_id": schema.ID}
_POOLS = {"type": "array", "items": fields(("start", "end"), start=_TEXT, end=_TEXT)}
_IPS = {"type": "array", "items": fields(subnet_id=_OPTIONAL, ip_address=_TEXT)}
_GROUPS = {"type": "array", "items": schema.ID}
_PORT = {"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$"}

# kind: (members of a POST, required in a POST, members of a PUT)
BODIES = {
    "network": (
        {
            **_PROJECT,
            "name": _TEXT,
            "description": _TEXT,
            "admin_state_up": _BOOL,
            "shared": _BOOL,
            "mtu": {"type": "integer"},
            "port_security_enabled": _BOOL,
            "router:external": {"const": False},
            "availability_zone_hints": _LIST,
        },
        (),
        ("name", "description", "admin_state_up", "shared", "mtu", "port_security_enabled"),
    ),
    "subnet": (
        {
            **_PROJECT,
            "name": _TEXT,
            "description": _TEXT,
            "network_id": schema.ID,
            "cidr": _TEXT,
            "ip_version": {"type": ["integer", "string"]},
            "gateway_ip": _OPTIONAL,
            "allocation_pools": _POOLS,
            "enable_dhcp": _BOOL,
            "dns_nameservers": _LIST,
            "host_routes": _LIST,
        },
        ("network_id", "cidr", "ip_version"),
        ("name", "description", "gateway_ip", "enable_dhcp", "dns_nameservers", "host_routes"),
    ),
    "port": (
        {
            **_PROJECT,
            "name": _TEXT,
            "description": _TEXT,
            "network_id": schema.ID,
            "admin_state_up": _BOOL,
            "mac_address": _TEXT,
            "fixed_ips": _IPS,
            "security_groups": _GROUPS,
            "device_id": _TEXT,
            "device_owner": _TEXT,
            "port_security_enabled": _BOOL,
            "allowed_address_pairs": _LIST,
            "binding:host_id": _OPTIONAL,
            "binding:vnic_type": _TEXT,
            "binding:profile": {"type": "object"},
            "dns_name": _TEXT,
            "extra_dhcp_opts": _LIST,
        },
        ("network_id",),
        ("name", "description", "admin_state_up", "security_groups", "device_id", "device_owner"),
    ),
    "security_group": (
        {**_PROJECT, "name": _TEXT, "description": _TEXT, "stateful": _BOOL},
        ("name",),
        ("name", "description"),
    ),
    "security_group_rule": (
        {
            **_PROJECT,
            "security_group_id": schema.ID,
            "direction": {"enum": ["ingress", "egress"]},
            "ethertype": {"enum": ["IPv4", "IPv6"]},
            "protocol": {"type": ["string", "integer", "null"]},
            "port_range_min": _PORT,
            "port_range_max": _PORT,
            "remote_ip_prefix": _OPTIONAL,
            "remote_group_id": _OPTIONAL,
            "description": _TEXT,
        },
        ("security_group_id", "direction"),
        (),
    ),
}


def create(kind):
    """The schema of one resource in a POST."""
    members, required, _ = BODIES[kind]
    return fields(required, **members)


def update(kind):
    """The schema of a resource in a PUT."""
    members, _, changeable = BODIES[kind]
    return fields(**{name: members[name] for name in changeable})


def view(kind, document, **more):
    """A resource as Neutron shows it; ``more`` are members that are computed."""
    shown = {key: value for key, value in document.items() if key != "made_by_nova"}
    shown.update(tenant_id=document["project_id"], revision_number=1, tags=[])
    if kind == "network":
        shown.update(
            {
                "status": "ACTIVE",
                "router:external": False,
                "availability_zone_hints": [],
                "availability_zones": ["nova"],
                "ipv4_address_scope": None,
                "ipv6_address_scope": None,
                "l2_adjacency": True,
            }
        )
    elif kind == "subnet":
        shown.update(ipv6_ra_mode=None, ipv6_address_mode=None, subnetpool_id=None, service_types=[])
    elif kind == "port":
        shown.update(
            {
                "status": "ACTIVE" if document["device_id"] else "DOWN",
                "allowed_address_pairs": [],
                "extra_dhcp_opts": [],
                "port_security_enabled": True,
                "binding:vnic_type": "normal",
            }
        )
    elif kind == "security_group":
        shown["stateful"] = True
    return {**shown, **more}
