"""Security groups: their rules, and the packets that these let into a guest.

Called by the network facade, and by server_create.py and servers.py when members come and go.
"""

from minicloud.store import new_id, now


def add_group(cloud, project_id, name, description=""):
    """Store a security group with the two egress rules that each one has."""
    time = now() + "Z"
    with cloud.store.transaction():
        group = cloud.store.add(
            "security_group",
            {
                "id": new_id(),
                "project_id": project_id,
                "name": name,
                "description": description,
                "created_at": time,
                "updated_at": time,
            },
        )
        for ethertype in ("IPv4", "IPv6"):
            add_rule(cloud, group, {"direction": "egress", "ethertype": ethertype})
    return group


def add_rule(cloud, group, body):
    """Store a rule of a group."""
    time = now() + "Z"
    rule = {
        name: body.get(name)
        for name in ("protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id")
    }
    return cloud.store.add(
        "security_group_rule",
        {
            "id": new_id(),
            "project_id": group["project_id"],
            "security_group_id": group["id"],
            "direction": body["direction"],
            "ethertype": body.get("ethertype", "IPv4"),
            "description": body.get("description", ""),
            **rule,
            "created_at": time,
            "updated_at": time,
        },
    )


def default_group(cloud, project_id):
    """The project's group ``default``, made when it is first looked at (as Neutron does)."""
    with cloud.store.transaction():
        found = cloud.store.list("security_group", project_id=project_id, name="default")
        if found:
            return found[0]
        group = add_group(cloud, project_id, "default", "Default security group")
        for ethertype in ("IPv4", "IPv6"):
            add_rule(
                cloud, group, {"direction": "ingress", "ethertype": ethertype, "remote_group_id": group["id"]}
            )
        return group


def allowed(cloud, port):
    """The host's ingress allow list for a port, from the rules of its groups."""
    result = []
    for group_id in port["security_groups"]:
        for rule in cloud.store.list(
            "security_group_rule", security_group_id=group_id, direction="ingress", ethertype="IPv4"
        ):
            cidrs = [rule["remote_ip_prefix"]]
            if rule["remote_group_id"]:
                cidrs = [
                    f"{address}/32" for address in sorted(addresses_in_group(cloud, rule["remote_group_id"]))
                ]
            entries = (host_rule(rule, cidr) for cidr in cidrs)
            result += [entry for entry in entries if entry and entry not in result]
    return result


def host_rule(rule, cidr):
    """One entry of the host's allow list for a Neutron rule; None for a protocol that guests never get to see here."""
    names = {None: "any", "1": "icmp", "6": "tcp", "17": "udp", "any": "any", "0": "any"}
    protocol = names.get(rule["protocol"], rule["protocol"])
    if protocol not in ("tcp", "udp", "icmp", "any"):
        return None
    ports = protocol in ("tcp", "udp")
    return {
        "protocol": protocol,
        "port_min": rule["port_range_min"] if ports else None,
        "port_max": rule["port_range_max"] if ports else None,
        "cidr": cidr,
    }


def addresses_in_group(cloud, group_id):
    """Addresses of all ports that are in a group."""
    return {
        ip["ip_address"]
        for port in cloud.store.list("port")
        if group_id in port["security_groups"]
        for ip in port["fixed_ips"]
    }


def refresh_rules(cloud, add_job, group_ids):
    """Queue new allow lists for all servers that the rules or the members of these groups concern."""
    rules = cloud.store.list("security_group_rule", direction="ingress")
    concerned = set(group_ids) | {r["security_group_id"] for r in rules if r["remote_group_id"] in group_ids}
    for port in cloud.store.list("port"):
        if port["device_owner"].startswith("compute:") and concerned & set(port["security_groups"]):
            add_job("port.rules", port["device_id"])
