"""Neutron: does a document match a filter, and is a rule possible? Pure."""

import ipaddress

from minicloud.api.web import Fault

_BOOLEANS = (
    "shared",
    "admin_state_up",
    "enable_dhcp",
    "router:external",
    "port_security_enabled",
    "is_default",
)


def matches(document, name, values):
    """Whether one of a document's members has one of the values of a query."""
    if name == "fixed_ips":
        # ip_address=10.0.0.1 or subnet_id=...: each must hold for one of the addresses.
        return all(
            any(str(ip.get(key)) == wanted for ip in document.get(name, []))
            for key, _, wanted in (v.partition("=") for v in values)
        )
    value = document.get(name)
    if name in _BOOLEANS:
        return any(value == (wanted.lower() in ("true", "1", "yes")) for wanted in values)
    if isinstance(value, list):
        return any(wanted in value for wanted in values)
    return ("" if value is None else str(value)) in values


def is_address(text):
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_rule(body):
    """A rule of a POST with its members in their one form. :raises Fault: 400 as Neutron answers it."""
    rule = {"ethertype": "IPv4", **body}
    protocol = rule.get("protocol")
    rule["protocol"] = protocol = str(protocol).lower() if protocol not in (None, "", "any") else None
    low, high = (
        int(p) if (p := rule.get(name)) is not None else None for name in ("port_range_min", "port_range_max")
    )
    rule["port_range_min"], rule["port_range_max"] = low, high
    if (low is not None or high is not None) and protocol is None:
        raise Fault(
            400,
            "Must also specify protocol if port range is given.",
            "SecurityGroupProtocolRequiredWithPorts",
        )
    range_wrong = (low is None) != (high is None) or low is not None and not 0 <= low <= high <= 65535
    if protocol in ("tcp", "udp", "6", "17", "sctp") and range_wrong:
        raise Fault(
            400,
            "For TCP/UDP protocols, port_range_min must be <= port_range_max",
            "SecurityGroupInvalidPortRange",
        )
    if rule.get("remote_ip_prefix") and rule.get("remote_group_id"):
        raise Fault(
            400,
            "Only remote_ip_prefix or remote_group_id may be provided.",
            "SecurityGroupRemoteGroupAndRemoteIpPrefix",
        )
    if rule.get("remote_ip_prefix"):
        try:
            network = ipaddress.ip_network(rule["remote_ip_prefix"], strict=False)
        except ValueError as error:
            raise Fault(
                400, f"'{rule['remote_ip_prefix']}' is not a valid CIDR: {error}", "InvalidCIDR"
            ) from error
        if f"IPv{network.version}" != rule["ethertype"]:
            raise Fault(
                400,
                f"Conflicting value ethertype {rule['ethertype']} for CIDR {rule['remote_ip_prefix']}",
                "SecurityGroupRuleParameterConflict",
            )
        rule["remote_ip_prefix"] = str(network)
    return rule
