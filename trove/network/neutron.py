"""The network driver for Neutron."""
import ipaddress

from trove.common import remote
from trove.network import base


class NeutronDriver(base.NetworkDriver):
    """Security groups of the service project in Neutron."""

    def __init__(self):
        self._client = remote.neutron_client()

    def ensure_security_group(self, name, description, rules):
        groups = self._groups(name)
        if groups:
            group = groups[0]
        else:
            group = self._client.create_security_group(
                {"security_group": {"name": name, "description": description}})["security_group"]
        return group["id"], self._ensure_rules(group, rules)

    def ensure_rules(self, group_id, rules):
        return self._ensure_rules(self._client.show_security_group(group_id)["security_group"], rules)

    def _ensure_rules(self, group, rules):
        present = {_key(rule): rule["id"] for rule in group.get("security_group_rules", ())}
        ids = {}
        for rule in rules:
            body = {"security_group_id": group["id"], "direction": "ingress", "protocol": rule.protocol,
                    "ethertype": f"IPv{ipaddress.ip_network(rule.cidr).version}", "port_range_min": rule.from_port,
                    "port_range_max": rule.to_port, "remote_ip_prefix": rule.cidr}
            ids[rule] = present.get(_key(body)) or self._client.create_security_group_rule(
                {"security_group_rule": body})["security_group_rule"]["id"]
        return ids

    def set_rules(self, group_id, rules):
        group = self._client.show_security_group(group_id)["security_group"]
        ids = self._ensure_rules(group, rules)
        for rule in group["security_group_rules"]:
            if rule["direction"] == "ingress" and rule["id"] not in ids.values():
                self.delete_rule(rule["id"])
        return ids

    def delete_rule(self, rule_id):
        try:
            self._client.delete_security_group_rule(rule_id)
        except Exception as error:  # noqa: BLE001 - told apart by their status
            if not remote.is_missing(error):
                raise

    def delete_security_group(self, name):
        for group in self._groups(name):
            try:
                self._client.delete_security_group(group["id"])
            except Exception as error:  # noqa: BLE001 - told apart by their status
                if remote.is_conflict(error):
                    return False
                if not remote.is_missing(error):
                    raise
        return True

    def _groups(self, name):
        return self._client.list_security_groups(name=name)["security_groups"]


def _key(rule):
    # Neutron stores "everybody" as no prefix at all.
    prefix = rule.get("remote_ip_prefix")
    anybody = prefix in (None, "0.0.0.0/0", "::/0")
    return (rule.get("direction"), rule.get("protocol"), rule.get("ethertype"), rule.get("port_range_min"),
            rule.get("port_range_max"), None if anybody else prefix)
