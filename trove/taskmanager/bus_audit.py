"""Checks of all guests at the broker: repair their accounts and queues, find objects that belong to no guest, and
disconnect guests that take too much of the broker's memory.
"""
import re
import time

from oslo_log import log as logging

from trove import rpc
from trove.common import security, transport
from trove.common.cfg import CONF
from trove.conductor import models as conductor_models
from trove.db import get_db_api
from trove.taskmanager.steps import bus

LOG = logging.getLogger(__name__)

# A look at all guests' channels takes at most this share of the time: with many guests there are fewer looks, but not
# fewer than one in this many times watch_interval.
_SHARE, _FEWEST = 0.05, 12


def audit(remove=None):
    """Repair limits, permissions and queues of all guests' accounts, and find objects that belong to no guest.

    remove: whether foreign accounts, queues and exchanges are removed; None: as [guest_bus] remove_foreign_queues says.
    Returns (number of accounts that were set right, list of sentences about what is foreign). Each of these is reported
    as the security event queue.foreign. Does nothing without a management API.
    """
    if not CONF.guest_bus.management_url:
        return 0, []
    remove = CONF.guest_bus.remove_foreign_queues if remove is None else remove
    with bus.Broker() as broker:
        bus.prepare_virtual_host(broker)
        seen = _Seen(broker)
        # After the broker: an account is made after its instance, and removed before it.
        with get_db_api().reader() as session:
            live = set(conductor_models.all_guests(session))
        wrong = [(user, instance_id) for user, instance_id in seen.accounts.items()
                 if instance_id in live and not seen.is_right(user, instance_id)] if rpc.has_own_accounts() else []
        for user, instance_id in wrong:
            _set_right(broker, seen, user, instance_id)
        foreign = list(seen.foreign(live))
        for kind, name, sentence in foreign:
            security.report("queue.foreign", sentence + ("; it is removed" if remove else ""))
            if remove:
                broker.delete(f"users/{bus.quote(name, safe='')}" if kind == "account" else
                              f"{kind}s/{bus.virtual_host()}/{bus.quote(name, safe='')}")
    if wrong:
        LOG.info("Limits, permissions or queues of %d accounts at the broker were set right", len(wrong))
    return len(wrong), [sentence for _kind, _name, sentence in foreign]


def _set_right(broker, seen, user, instance_id):
    if seen.is_old(user) and CONF.guest_bus.old_agents:
        for limit, value in bus.limits().items():
            broker.put(f"user-limits/{user}/{limit}", {"value": value})
        return
    if seen.is_old(user):
        # An agent of the previous release declared its queues itself, with other arguments than ours.
        for queue in bus.queues(instance_id):
            broker.delete(f"queues/{bus.virtual_host()}/{queue}")
    bus.furnish(broker, instance_id, user)


class _Seen:
    """A snapshot of the broker's objects. ``accounts``: name of each guest's account -> id of the instance."""

    def __init__(self, broker):
        vhost = bus.virtual_host()
        self._queues = {each["name"] for each in broker.get(f"queues/{vhost}", {"columns": "name"})}
        self._exchanges = {each["name"] for each in broker.get(f"exchanges/{vhost}", {"columns": "name"})}
        # Of this exchange only: RabbitMQ takes 15 times as long for all of the virtual host, which is more than the
        # time for a request when there are thousands of guests.
        self._bindings = {(each["destination"], each["routing_key"]) for each in broker.get(
            f"exchanges/{vhost}/{rpc.GUESTS_EXCHANGE}/bindings/source", {"columns": "destination,routing_key"})}
        self._limits = {each["user"]: each["value"] for each in broker.get("user-limits")}
        name = rpc.guests_url().virtual_host or "/"
        self._permissions, self._topics = (
            {each["user"]: {key: each[key] for key in keys} for each in broker.get(kind) if each["vhost"] == name}
            for kind, keys in (("permissions", ("configure", "write", "read")),
                               ("topic-permissions", ("exchange", "write", "read"))))
        # While the secrets of a guest are replaced it has two accounts.
        self.accounts = {each["name"]: instance_id for each in broker.get("users", {"columns": "name"})
                         if (instance_id := transport.guest_of(each["name"]))}

    def is_old(self, user):
        """Return whether an account has the permissions of the previous release."""
        return self._permissions.get(user, {}).get("configure", "^$") != "^$"

    def is_right(self, user, instance_id):
        """Return whether an account has the limits, permissions and queues of a guest of that instance."""
        if self._limits.get(user) != bus.limits():
            return False
        if self.is_old(user) and CONF.guest_bus.old_agents:
            return True
        return (self._permissions.get(user) == bus.permissions(instance_id)
                and self._topics.get(user) == bus.topic_permissions(instance_id)
                and all(name in self._queues and (name, key) in self._bindings
                        for name, key in bus.queues(instance_id).items()))

    def foreign(self, live):
        """Yield (kind, name, sentence) of each object that is named like a guest's but belongs to no instance.

        live: ids of the instances that exist."""
        known = {name for instance_id in live for name in bus.queues(instance_id)}
        looks = re.compile(rf"(guestagent|{re.escape(CONF.conductor_queue)})\.(.+)")
        for user in sorted(user for user, instance_id in self.accounts.items() if instance_id not in live):
            yield "account", user, f"The account {security.printable(user)} belongs to no instance"
        old = CONF.guest_bus.old_agents or not rpc.has_own_accounts()
        for kind, names in (("queue", self._queues), ("exchange", self._exchanges)):
            for name in sorted(names):
                if (match := looks.fullmatch(name)) and name not in known and not (
                        old and (_is_old_name(match[2], live) or match[1] != "guestagent")):
                    yield kind, name, f"The {kind} {security.printable(name)} belongs to no instance"


def _is_old_name(rest, live):
    """Whether an agent of a live instance makes such a name by itself; rest: what follows on "guestagent."."""
    instance_id = rest[:36]
    return instance_id in live and re.fullmatch(
        rf"{re.escape(instance_id)}(\.{re.escape(instance_id)}|_fanout(_[0-9a-f]{{32}})?)?", rest) is not None


class Watch:
    """The look of ``watch``, again and again; ``pause`` is the time until the next one."""

    def __init__(self):
        self._took = 0.0

    def look(self):
        """Do as ``watch`` does, and note how long it took."""
        begun = time.monotonic()
        try:
            return watch()
        finally:
            self._took = time.monotonic() - begun

    def pause(self):
        """Return the seconds until the next look: [guest_bus] watch_interval, or more if a look takes long."""
        shortest = CONF.guest_bus.watch_interval
        return min(max(shortest, self._took / _SHARE), _FEWEST * shortest)


def watch():
    """Cut the connections of guests that have more consumers or uncommitted messages than they may.

    RabbitMQ keeps both in memory and has no limit for them (consumers: none before 3.12). Its figures are some seconds
    old. Returns the accounts that were cut off.
    """
    if not CONF.guest_bus.management_url or not rpc.has_own_accounts():
        return []
    options, totals = CONF.guest_bus, {}
    with bus.Broker() as broker:
        for channel in broker.get("channels", {"columns": "user,consumer_count,messages_uncommitted"}):
            if instance_id := transport.guest_of(channel.get("user", "")):
                total = totals.setdefault(instance_id, [set(), 0, 0])
                total[0].add(channel["user"])
                total[1] += channel.get("consumer_count", 0)
                total[2] += channel.get("messages_uncommitted", 0)
        cut = {instance_id: users for instance_id, (users, consumers, uncommitted) in totals.items()
               if consumers > options.max_consumers or uncommitted > options.max_uncommitted}
        connections = broker.get("connections", {"columns": "name,user"}) if cut else []
        for instance_id, users in cut.items():
            _users, consumers, uncommitted = totals[instance_id]
            security.report("message.flood", f"It had {consumers} consumers and {uncommitted} uncommitted messages; "
                            "its connections are cut", instance_id=instance_id, account=", ".join(sorted(users)))
            for connection in connections:
                if connection.get("user") in users:
                    broker.delete(f"connections/{bus.quote(connection['name'], safe='')}")
    return [user for users in cut.values() for user in sorted(users)]
