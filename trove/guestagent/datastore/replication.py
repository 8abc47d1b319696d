"""The commands of replication that a guest understands; a part of the base Manager, which hands them to a strategy.

What a replica is attached to and which accounts a source has is the control plane's word; a guest tells of itself only.
"""
import contextlib

from oslo_log import log as logging

from trove import rpc
from trove.common.cfg import CONF
from trove.common.strategies import strategy
from trove.guestagent.strategies.replication.base import Replication

LOG = logging.getLogger(__name__)

# Seconds that one command waits for a transaction; the task manager asks again.
_WAIT = 10


def find(manager):
    """Return the subclass of Replication that the options of a datastore name, or None.

    Raises ValueError that names the option and what is missing.
    """
    options = CONF[manager]
    if not options.replication_strategy:
        return None
    path = f"{options.replication_namespace}.{options.replication_strategy}"
    return strategy.load(path, base=Replication, option=f"[{manager}] replication_strategy")


def load(manager, app):
    """Make the Replication of a datastore for its server, None if it has none. Raises ValueError."""
    kind = find(manager)
    return kind(app) if kind else None


class ReplicationCommands:
    """Mixed into ``guestagent.datastore.manager.Manager``."""

    def _replicate(self, operation, *args):
        with self._lifecycle:
            return self._call(self.replication, operation, *args)

    @rpc.expose
    def get_replication_snapshot(self, context, snapshot_info, replica_source_config):
        """Make the server a source of which a snapshot can be taken."""
        return self._replicate("get_replication_snapshot", snapshot_info, replica_source_config)

    @rpc.expose
    def enable_as_master(self, context, replica_source_config, accounts):
        """Let these accounts follow the server."""
        return self._replicate("enable_as_master", replica_source_config, accounts)

    @rpc.expose
    def attach_replica(self, context, replica_info, slave_config):
        """Make the server a replica."""
        return self._replicate("attach_replica", replica_info, slave_config)

    @rpc.expose
    def detach_replica(self, context, for_failover=False):
        """Follow nobody any more."""
        return self._replicate("detach_replica", for_failover)

    @rpc.expose
    def get_replica_context(self, context):
        """How the replication does."""
        return self._call(self.replication, "get_replica_context")

    @rpc.expose
    def make_read_only(self, context, read_only):
        """Refuse writes, or take them."""
        with self._administration:  # a change of databases or users ends before, or finds the server read-only
            return self._replicate("make_read_only", read_only)

    @rpc.expose
    def list_events(self, context):
        """The events of the server, and which of them run."""
        return self._call(self.replication, "list_events")

    @rpc.expose
    def switch_events(self, context, events, on):
        """Let events run, or be off as on a replica."""
        return self._replicate("switch_events", events, on)

    @rpc.expose
    def demote_replication_master(self, context):
        """Be no source any more."""
        return self._replicate("demote_replication_master")

    @rpc.expose
    def get_last_txn(self, context):
        """What a replica has received."""
        return self._call(self.replication, "get_last_txn")

    @rpc.expose
    def get_latest_txn_id(self, context):
        """The newest transaction that was committed here."""
        return self._call(self.replication, "get_latest_txn_id")

    @rpc.expose
    def wait_for_txn(self, context, txn):
        """Whether a transaction is carried out here by now; waits for it a little."""
        return self._call(self.replication, "wait_for_txn", txn, _WAIT)

    @rpc.expose
    def cleanup_source_on_replica_detach(self, context, replica_info):
        """Remove the account of a replica."""
        return self._replicate("cleanup_source_on_replica_detach", replica_info)

    def _replication_health(self):
        """For the heartbeat: whether the server could be asked, and the health of a replica, None for what is none."""
        if self.replication is None or not self.status.prepare_completed:
            return False, None
        with contextlib.suppress(Exception):  # the status of the server tells what is wrong with it
            return True, self.replication.health()
        return False, None
