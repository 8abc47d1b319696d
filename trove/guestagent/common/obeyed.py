"""Each command is obeyed once and not too late: what this agent has obeyed, kept across its restarts.

The file holds one JSON object in a line: of each command its id until it could not be believed any more, and of each
group of commands that depend on each other (ORDERED) the newest one.
"""
import contextlib
import dataclasses
import json
import os
import threading
import time
from pathlib import Path

from oslo_log import log as logging

from trove.common import envelope, security
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)

# The commands of operations that depend on each other: one that is older than the newest obeyed of its group is
# refused. Each is sent by one operation at a time. The first group can restart a server that hangs in the second.
ORDERED = {
    "server": frozenset({
        "restart", "stop_db", "start_db_with_conf_changes", "reset_configuration", "update_overrides",
        "apply_overrides", "mount_volume", "unmount_volume", "resize_fs", "get_replication_snapshot",
        "enable_as_master", "attach_replica", "detach_replica", "make_read_only", "switch_events",
        "demote_replication_master", "cleanup_source_on_replica_detach"}),
    "administration": frozenset({
        "create_database", "delete_database", "create_user", "delete_user", "change_passwords", "update_attributes",
        "grant_access", "revoke_access"}),
}
_GROUP_OF = {method: group for group, methods in ORDERED.items() for method in methods}
# Ids that are kept; more commands than these within their validity are refused.
MOST_IDS = 10_000
# Lines that are no longer needed, before the file is written anew.
_WASTE = 1000
# Seconds for which the heartbeat reports that a command came from the future.
_REPORTED = 600


class Obeyed:
    """The commands that this agent has obeyed. path: file, which need not exist."""

    def __init__(self, path):
        self._path = Path(path)
        self._lock = threading.Lock()
        self._turns = {group: threading.Lock() for group in ORDERED}
        self._ids = {}
        self._newest = {}  # group -> Order
        self._lines = 0
        self._from_future = None
        self._read()

    def admit(self, order):
        """Note that a command is obeyed. order: envelope.Order, whose proof was checked.

        Raises Replayed when it was obeyed before, OutOfTime when it is not valid (any more or yet).
        """
        with self._lock:
            now = time.time()
            self._forget(now)
            if order.id in self._ids:
                raise envelope.Replayed("it came before")
            try:
                envelope.check_age(order, now)
            except envelope.OutOfTime as error:
                if error.difference < 0:
                    self._from_future = (time.monotonic(), round(-error.difference))
                raise
            self._from_future = None
            if len(self._ids) >= MOST_IDS:
                raise envelope.BadProof(f"more than {MOST_IDS} commands came within their validity")
            # Twice as long as it is valid: clocks are set right.
            self._ids[order.id] = order.sent + 2 * order.valid
            self._append({"id": order.id, "until": self._ids[order.id]})

    @contextlib.contextmanager
    def in_order(self, method, order):
        """Around a command while it is carried out: those of a group one at a time, and none after a newer one.

        Raises BadProof for one that is older, or too old by the time that it is its turn.
        """
        group = _GROUP_OF.get(method)
        if group is None:
            yield
            return
        with self._turns[group]:
            if group in self._newest and _is_older(order, self._newest[group]):
                raise envelope.BadProof("a newer command about the database server was obeyed before it")
            envelope.check_age(order)
            self._newest[group] = order
            with self._lock:
                self._append({"group": group, "newest": dataclasses.asdict(order)})
            yield

    def seconds_behind(self):
        """Seconds by which the clock of this guest is behind at least, as commands were refused for that lately.

        None when it is right as far as the agent can tell: a command that seems old may have waited.
        """
        with self._lock:
            if self._from_future is None or time.monotonic() - self._from_future[0] > _REPORTED:
                return None
            return self._from_future[1]

    def _forget(self, now):
        self._ids = {key: until for key, until in self._ids.items() if until > now}
        if self._lines > len(self._ids) + _WASTE:
            self._write_anew()

    def _read(self):
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            LOG.error("%s: cannot read which commands were obeyed (%s); they could be replayed", CONF.guest_id, error)
            return
        for line in lines:
            try:
                entry = json.loads(line)
                if "newest" in entry:
                    # Earlier releases knew one group.
                    self._newest[entry.get("group", "server")] = envelope.Order(**entry["newest"])
                else:
                    self._ids[entry["id"]] = float(entry["until"])
            except (ValueError, TypeError, KeyError):
                # The agent was killed while it wrote the line, and so before it obeyed that command.
                LOG.warning("%s: a line of %s is cut off and is ignored", CONF.guest_id, self._path)
        self._lines = len(lines)
        with self._lock:
            self._forget(time.time())
            # Also closes a line that was cut off: the next one must not be added to it.
            self._write_anew()

    def _append(self, entry):
        self._store("a", json.dumps(entry) + "\n")
        self._lines += 1

    def _write_anew(self):
        entries = [{"id": key, "until": until} for key, until in self._ids.items()]
        entries += [{"group": group, "newest": dataclasses.asdict(order)} for group, order in self._newest.items()]
        fresh = self._path.with_name(self._path.name + ".new")
        if self._store("w", "".join(json.dumps(entry) + "\n" for entry in entries), fresh):
            fresh.replace(self._path)
            self._lines = len(entries)

    def _store(self, mode, text, path=None):
        """Write ``text``. A full disk must not stop the agent: until its next start, what is in memory is enough."""
        path = path or self._path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, mode, encoding="utf-8", opener=_private) as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            LOG.error("%s: cannot note which commands were obeyed (%s); after the agent's next start they could be "
                      "replayed", CONF.guest_id, error)
            return False
        return True


def _private(path, flags):
    return os.open(path, flags, 0o600)


def _is_older(order, other):
    if order.sender == other.sender:
        return order.number < other.number
    # Numbers of two senders do not compare, and their clocks may differ a little.
    return order.sent < other.sent - CONF.bus_clock_allowance


class Gate:
    """Lets an RPC server obey only commands of the control plane, each once (see ``rpc.get_server``).

    key: the guest's key; path: file of ``Obeyed``.
    """

    def __init__(self, key, path):
        self._key = key
        self.obeyed = Obeyed(path)

    def admit(self, method, args, given):
        """Check and note one command; return its Order. given: what came with it. Raises envelope.BadProof."""
        with _reporting("message.forged", method):
            order = envelope.verify_command(self._key, method, args, given)
        with _reporting("message.replayed", method):
            self.obeyed.admit(order)
        return order

    @contextlib.contextmanager
    def in_order(self, method, order):
        """Around the work on it. Raises envelope.BadProof when a newer one was obeyed meanwhile."""
        with contextlib.ExitStack() as stack:
            with _reporting("message.replayed", method):
                stack.enter_context(self.obeyed.in_order(method, order))
            yield


@contextlib.contextmanager
def _reporting(name, method):
    try:
        yield
    except envelope.BadProof as error:
        security.report(name, f"the command {method} was refused: {error}", instance_id=CONF.guest_id)
        raise
