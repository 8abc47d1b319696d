"""The network of one cloud: its namespace with the gateway, one routed veth per guest, and the packet filter.

Called by the daemon. Every function is idempotent, so a daemon that died half-way is repeated by the next. The kernel
is the only state; names are derived from prefix and guest id, by which the janitor finds them.

Routed, without a bridge: a guest has a /32 address and the cloud namespace a route for it, so that all traffic passes
the `inet` filter with connection tracking (bridges cannot track connections on every kernel).
"""

from __future__ import annotations

import hashlib
import ipaddress
import threading
from contextlib import suppress
from pathlib import Path

from minicloud.config import GUEST_SERVICE, Config
from minicloud.host import syscalls
from minicloud.host.client import HostError
from minicloud.host.command import run

NETNS_DIR = Path("/run/netns")
HOST_SIDE = "host"  # name, inside the cloud's namespace, of the link to the host
_TABLE = "inet minicloud"
_PROTOCOLS = ("tcp", "udp", "icmp", "any")
_filter_lock = threading.Lock()  # nft transactions of one table refuse to run beside each other


def host_link(prefix: str) -> str:
    """Name of the cloud's only link in the host's own namespace."""
    return f"{prefix}-host"


def guest_netns(prefix: str, guest_id: str) -> str:
    """Name of a guest's network namespace."""
    return f"{prefix}-g-{guest_id}"


def guest_link(prefix: str, guest_id: str) -> str:
    """Name of the cloud's end of a guest's veth (at most 15 characters)."""
    return f"{prefix}g{_digest(guest_id)}"


def ensure_cloud(config: Config) -> None:
    """Make the cloud's namespace, the link to the host, routes and the filter's base; keep what guests have.

    Raises HostError("conflict") when the prefix or the subnet belongs to something else on this machine.
    """
    link = host_link(config.prefix)
    check_free(config)
    if not (NETNS_DIR / config.netns).exists():
        run(["ip", "netns", "add", config.netns])
    _in_namespace(config.netns_path, _set_sysctls)
    if not Path(f"/sys/class/net/{link}").exists():
        run(["ip", "link", "add", link, "type", "veth", "peer", "name", HOST_SIDE, "netns", config.netns])
    run(["ip", "link", "set", "dev", link, "alias", str(config.state_dir)[:255]])
    run(
        ["ip", "-batch", "-"],
        f"addr replace {config.host_address} peer {config.gateway} dev {link}\nlink set {link} up\n",
    )
    run(
        ["ip", "-n", config.netns, "-batch", "-"],
        f"link set lo up\naddr replace {config.gateway} peer {config.host_address} dev {HOST_SIDE}\n"
        f"link set {HOST_SIDE} up\n",
    )
    run(
        [
            "ip",
            "route",
            "replace",
            config.subnet,
            "via",
            config.gateway,
            "dev",
            link,
            "src",
            config.host_address,
        ]
    )
    _nft(config, base_filter(config))


def base_filter(config: Config) -> str:
    """The filter apart from the guests' own chains, as an nft script that may be repeated."""
    ports = ", ".join(str(port) for port in sorted({config.service_port(GUEST_SERVICE), *config.guest_ports}))
    return f"""
add table {_TABLE}
add map {_TABLE} ingress {{ type ifname : verdict; }}
add chain {_TABLE} input {{ type filter hook input priority 0; policy drop; }}
add chain {_TABLE} forward {{ type filter hook forward priority 0; policy drop; }}
flush chain {_TABLE} input
flush chain {_TABLE} forward
add rule {_TABLE} input ct state established,related accept
add rule {_TABLE} input iifname {{ "lo", "{HOST_SIDE}" }} accept
add rule {_TABLE} input icmp type echo-request accept
add rule {_TABLE} input tcp dport {{ {ports} }} accept
add rule {_TABLE} input meta l4proto tcp reject with tcp reset
add rule {_TABLE} input reject
add rule {_TABLE} forward ct state established,related accept
add rule {_TABLE} forward oifname "{HOST_SIDE}" reject
add rule {_TABLE} forward oifname vmap @ingress
"""


def wire_guest(config: Config, guest_id: str, address: str, allowed: list[dict]) -> None:
    """Make the guest's namespace and link, switch it on, and install its rules."""
    netns, link = guest_netns(config.prefix, guest_id), guest_link(config.prefix, guest_id)
    if not (NETNS_DIR / netns).exists():
        run(["ip", "netns", "add", netns])
    if not _in_namespace(config.netns_path, lambda: link in _links()):
        run(
            [
                "ip",
                "link",
                "add",
                link,
                "netns",
                config.netns,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                netns,
            ]
        )
    set_rules(config, guest_id, allowed)
    run(
        ["ip", "-n", netns, "-batch", "-"],
        f"link set lo up\naddr replace {address}/32 dev eth0\nlink set eth0 up\n"
        f"route replace {config.gateway} dev eth0\nroute replace default via {config.gateway} dev eth0\n",
    )
    run(
        ["ip", "-n", config.netns, "-batch", "-"],
        f"link set {link} up\nroute replace {address}/32 dev {link}\n",
    )


def unwire_guest(config: Config, guest_id: str) -> None:
    """Remove the guest's rules, link and namespace; absent ones are fine."""
    chain, link = _chain(guest_id), guest_link(config.prefix, guest_id)
    if (NETNS_DIR / config.netns).exists():
        # nft has no "delete if there": what is added first, in the same transaction, is there.
        _nft(
            config,
            f'{_add_chain(chain, link)}delete element {_TABLE} ingress {{ "{link}" }}\n'
            f"flush chain {_TABLE} {chain}\ndelete chain {_TABLE} {chain}\n",
        )
        if _in_namespace(config.netns_path, lambda: link in _links()):
            run(["ip", "-n", config.netns, "link", "del", link])
    if (NETNS_DIR / guest_netns(config.prefix, guest_id)).exists():
        run(["ip", "netns", "delete", guest_netns(config.prefix, guest_id)])


def set_rules(config: Config, guest_id: str, allowed: list[dict]) -> None:
    """Replace the guest's allow list in one step (there is no moment without rules). Rules: see check_rules."""
    chain = _chain(guest_id)
    script = _add_chain(chain, guest_link(config.prefix, guest_id)) + f"flush chain {_TABLE} {chain}\n"
    _nft(
        config,
        script + "".join(f"add rule {_TABLE} {chain} {match} accept\n" for match in map(rule_match, allowed)),
    )


def rule_match(rule: dict) -> str:
    """Turn one rule of the interface (see HostClient.set_rules) into an nft match. Raises HostError("bad_request")."""
    if not isinstance(rule, dict) or rule.get("protocol") not in _PROTOCOLS:
        raise HostError("bad_request", f"allowed: protocol must be one of {', '.join(_PROTOCOLS)} in {rule!r}")
    protocol, low, high = rule["protocol"], rule.get("port_min"), rule.get("port_max")
    parts = []
    try:
        cidr = ipaddress.ip_network(rule.get("cidr") or "0.0.0.0/0", strict=False)
    except ValueError as error:
        raise HostError("bad_request", f"allowed: cidr: {error}") from None
    if cidr.version == 6:
        parts.append(f"ip6 saddr {cidr}")
    elif cidr.prefixlen:
        parts.append(f"ip saddr {cidr}")
    if protocol in ("tcp", "udp") and low is not None:
        high = low if high is None else high
        if not all(isinstance(port, int) and 0 <= port <= 65535 for port in (low, high)) or low > high:
            raise HostError("bad_request", f"allowed: ports {low!r}-{high!r} must be a range within 0-65535")
        parts.append(f"{protocol} dport {low}-{high}" if low != high else f"{protocol} dport {low}")
    elif protocol != "any":
        parts.append(f"meta l4proto {protocol}")
    return " ".join(parts) or "meta nfproto ipv4"


def owner(prefix: str) -> str:
    """State directory of the cloud that uses this prefix now, or ""; kept as the alias of its link to the host."""
    alias = Path(f"/sys/class/net/{host_link(prefix)}/ifalias")
    try:
        return alias.read_text().strip()
    except FileNotFoundError:
        return ""


def check_free(config: Config) -> None:
    """Raise HostError("conflict") when prefix or subnet are used by something else on this machine."""
    link = host_link(config.prefix)
    present = owner(config.prefix)
    if present and present != str(config.state_dir)[:255]:
        raise HostError("conflict", f"prefix: {config.prefix!r} belongs to the cloud in {present}; choose another")
    subnet = ipaddress.IPv4Network(config.subnet)
    for line in run(["ip", "-4", "route", "show"]).splitlines():
        if link not in line.split() and any(subnet.overlaps(network) for network in _destinations(line)):
            raise HostError(
                "conflict",
                f"subnet: {subnet} overlaps a route of this machine ({line.strip()}); choose another",
            )


def remove_cloud(prefix: str) -> None:
    """Remove every namespace and link of a prefix, whatever is left of them. Used by the janitor."""
    link = Path(f"/sys/class/net/{host_link(prefix)}")
    if link.exists():
        try:
            run(["ip", "link", "del", link.name])
        except HostError:
            if link.exists():  # else it went away by itself, with a namespace deleted just before
                raise
    for name in sorted(path.name for path in NETNS_DIR.iterdir()) if NETNS_DIR.is_dir() else ():
        if name == f"{prefix}-net" or name.startswith(f"{prefix}-g-"):
            run(["ip", "netns", "delete", name])


def _destinations(route: str) -> list[ipaddress.IPv4Network]:
    """The network of a line of `ip route`, which stands first or after a type such as "unreachable"."""
    found = []
    for word in route.split()[:2]:
        with suppress(ValueError):  # "default", a type, or a keyword
            found.append(ipaddress.IPv4Network(word, strict=False))
    return found[:1]


def _set_sysctls() -> None:
    for name, value in (("ip_forward", "1"), ("conf/all/rp_filter", "1"), ("conf/default/rp_filter", "1")):
        Path(f"/proc/sys/net/ipv4/{name}").write_text(value)  # rp_filter: no guest may send as another
    disable_ipv6 = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    if disable_ipv6.exists():
        disable_ipv6.write_text("1")


def _in_namespace(path: Path, action):
    """Call `action` in a thread of its own that has entered the network namespace at `path`; return its result."""
    outcome = {}

    def work() -> None:
        try:
            with path.open("rb") as namespace:
                syscalls.setns(namespace.fileno(), syscalls.CLONE_NEWNET)
            outcome["result"] = action()
        except OSError as error:
            outcome["error"] = error

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise HostError("failed", f"in network namespace {path.name}: {outcome['error']}")
    return outcome["result"]


def _links() -> list[str]:
    with open("/proc/thread-self/net/dev") as file:
        return [line.split(":")[0].strip() for line in file if ":" in line]


def _nft(config: Config, script: str) -> None:
    with _filter_lock:
        run(["ip", "netns", "exec", config.netns, "nft", "-f", "-"], script)


def _add_chain(chain: str, link: str) -> str:
    return f'add chain {_TABLE} {chain}\nadd element {_TABLE} ingress {{ "{link}" : jump {chain} }}\n'


def _chain(guest_id: str) -> str:
    return f"g_{_digest(guest_id)}"


def _digest(guest_id: str) -> str:
    return hashlib.sha256(guest_id.encode()).hexdigest()[:8]
