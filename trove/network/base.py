"""What the task manager asks of a network service. The class is named by the option ``network_driver``."""
import abc
import ipaddress
from dataclasses import dataclass

from trove.common import exception
from trove.common.cfg import CONF
from trove.common.strategies import strategy


@dataclass(frozen=True)
class Rule:
    """Ingress that a security group allows. protocol: tcp or udp; ports: first and last; cidr: who may connect."""

    protocol: str
    from_port: int
    to_port: int
    cidr: str


class NetworkDriver(abc.ABC):
    """Security groups by name; every method may be repeated."""

    @abc.abstractmethod
    def ensure_security_group(self, name, description, rules):
        """Make the group and the rules (list of Rule) that are missing.

        Returns (id of the group, {Rule: id of the rule}).
        """

    @abc.abstractmethod
    def ensure_rules(self, group_id, rules):
        """Make those of the rules (list of Rule) that the group lacks. Returns {Rule: id of the rule}."""

    @abc.abstractmethod
    def set_rules(self, group_id, rules):
        """Make those of the rules (list of Rule) that the group lacks, then delete all other ingress rules of it.

        Returns {Rule: id of the rule}.
        """

    @abc.abstractmethod
    def delete_rule(self, rule_id):
        """Delete a rule; one that is gone is fine."""

    @abc.abstractmethod
    def delete_security_group(self, name):
        """Delete the groups of that name. Returns whether none is left; False while one is still in use."""


def driver():
    """A driver of the configured class. Raises ValueError naming the option."""
    return strategy.load(CONF.network_driver, base=NetworkDriver, option="network_driver")()


def checked_cidr(field, text):
    """Return a network in its usual spelling. Raises BadValue naming the field of the request."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise exception.BadValue(field=field, reason=f"must be address/length: {error}") from None


def checked_cidrs(given, manager):
    """Return the networks of a request that may connect to a datastore, sorted, each once; with none nobody may.

    given: list of texts; manager: name of the datastore's option group. Raises BadValue naming the entry,
    NotImplementedHere without security groups, OverLimit.
    """
    if not CONF.trove_security_groups_support:
        raise exception.NotImplementedHere(
            "instance.access.allowed_cidrs: instances have no security groups in this cloud; leave it out.")
    cidrs = sorted({checked_cidr(f"instance.access.allowed_cidrs[{number}]", text)
                    for number, text in enumerate(given)})
    number = len(cidrs) * len(datastore_rules(manager))
    if number > CONF.max_security_group_rules:
        raise exception.OverLimit(f"instance.access.allowed_cidrs: {number} rules are needed, and a security group may "
                                  f"have {CONF.max_security_group_rules}.")
    return cidrs


def rules_for(manager, cidrs):
    """Return the rules that let networks reach a datastore's ports.

    manager: name of the datastore's option group; cidrs: None for the option trove_security_group_rule_cidr.
    """
    if cidrs is None:
        return datastore_rules(manager)
    return [rule for cidr in cidrs for rule in datastore_rules(manager, cidr)]


def datastore_rules(manager, cidr=None):
    """The rules that open a datastore's ports to users.

    manager: name of the datastore's option group; cidr: who may connect, by default whom the option
    trove_security_group_rule_cidr names. Raises ValueError naming the option and the entry.
    """
    rules = []
    for protocol, option in (("tcp", "tcp_ports"), ("udp", "udp_ports")):
        for entry in CONF[manager][option]:
            first, _, last = entry.partition("-")
            try:
                ports = int(first), int(last or first)
            except ValueError:
                ports = 0, 0
            if not 1 <= ports[0] <= ports[1] <= 65535:
                raise ValueError(f"option [{manager}] {option}: '{entry}' is neither a port nor a range a-b of ports")
            rules.append(Rule(protocol, *ports, cidr or CONF.trove_security_group_rule_cidr))
    return rules
