"""Rules of the interface as matches of the packet filter."""

from __future__ import annotations

import pytest

from minicloud.config import Config
from minicloud.host import network
from minicloud.host.client import HostError


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ({"protocol": "tcp", "port_min": 22, "port_max": 22, "cidr": None}, "tcp dport 22"),
        ({"protocol": "tcp", "port_min": 22, "port_max": None, "cidr": None}, "tcp dport 22"),
        ({"protocol": "udp", "port_min": 1, "port_max": 9, "cidr": "10.0.0.0/8"}, "ip saddr 10.0.0.0/8 udp dport 1-9"),
        ({"protocol": "tcp", "port_min": None, "port_max": None, "cidr": "0.0.0.0/0"}, "meta l4proto tcp"),
        ({"protocol": "icmp", "port_min": 8, "port_max": 0}, "meta l4proto icmp"),
        ({"protocol": "any"}, "meta nfproto ipv4"),
        ({"protocol": "any", "cidr": "10.1.2.3/24"}, "ip saddr 10.1.2.0/24"),
        ({"protocol": "any", "cidr": "::/0"}, "ip6 saddr ::/0"),
    ],
)
def test_a_rule_is_translated(rule, match):
    assert network.rule_match(rule) == match


@pytest.mark.parametrize(
    "rule",
    [
        {},
        "tcp",
        {"protocol": "gre"},
        {"protocol": "tcp", "port_min": 9, "port_max": 1},
        {"protocol": "tcp", "port_min": 1, "port_max": 70000},
        {"protocol": "tcp", "port_min": "22; drop"},
        {"protocol": "any", "cidr": "anywhere"},
        {"protocol": "any", "cidr": "0.0.0.0/0; flush ruleset"},
    ],
)
def test_a_bad_rule_is_refused(rule):
    with pytest.raises(HostError, match="^bad_request: allowed: "):
        network.rule_match(rule)


def test_the_base_filter_opens_only_listed_ports(tmp_path):
    script = network.base_filter(Config(tmp_path, port=8770, guest_ports=(5672,)))
    # The broker, and of the cloud the object store: neither Keystone nor the other services.
    assert "input tcp dport { 5672, 8775 } accept" in script
    assert script.count("policy drop") == 2


@pytest.mark.parametrize(
    ("route", "found"),
    [
        ("default via 10.0.0.1 dev eth0", []),
        ("10.77.0.0/16 dev x proto kernel", ["10.77.0.0/16"]),
        ("10.1.2.3 dev x", ["10.1.2.3/32"]),
        ("unreachable 10.2.0.0/16 metric 1", ["10.2.0.0/16"]),
    ],
)
def test_destinations_of_routes(route, found):
    assert [str(destination) for destination in network._destinations(route)] == found


def test_names_fit_the_kernel_and_differ():
    ids = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(2000)]
    links = {network.guest_link("sixsix", guest_id) for guest_id in ids}
    assert len(links) == len(ids)
    assert max(map(len, links)) <= 15
