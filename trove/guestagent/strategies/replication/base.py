"""What every way of replicating offers to the commands of replication; loaded by ``guestagent.datastore.replication``.

A server is a source, which has accounts for its replicas, or a replica, which is read-only and follows a source. Every
method may be repeated.
"""
import abc


class Replication(abc.ABC):
    """app: the datastore's server.

    config: text of an option file with the settings of the role, rendered by the control plane; accounts: list of
    {"user", "password"}; info: {"master": {"host", "port", "user", "password"}, "log_position": of the source, where
    the strategy needs it, "must_connect": whether it is an error when the source is not reached}; positions and
    transactions are texts that only the strategy understands.
    """

    def __init__(self, app):
        self.app = app

    @abc.abstractmethod
    def configure(self, config):
        """Write the settings of a replica for a server that is not running, so that it starts read-only."""

    @abc.abstractmethod
    def hold_still(self, still):
        """Let a server that is not running follow nobody when it starts, whatever its data say (of a replica, perhaps);
        or take that back.
        """

    @abc.abstractmethod
    def enable_as_master(self, config, accounts):
        """Let exactly these accounts follow this server; it is restarted if it does not keep a log of changes yet.

        Whether it may be written to is another command's.
        """

    @abc.abstractmethod
    def get_replication_snapshot(self, snapshot_info, config):
        """Make the server a source of which a snapshot can be taken. snapshot_info: {"accounts"}.

        Returns {"dataset": {"datastore_manager", "dataset_size" (GB)}, "replication_strategy"}.
        """

    @abc.abstractmethod
    def attach_replica(self, info, config):
        """Make the server a replica. Raises TroveError when it does not follow the source."""

    @abc.abstractmethod
    def detach_replica(self, for_failover=False):
        """Follow nobody any more and be writable, unless the caller goes on with a failover."""

    @abc.abstractmethod
    def make_read_only(self, read_only):
        """Refuse the writes of everybody but the replication and the agent, also after a restart; or take them."""

    @abc.abstractmethod
    def list_events(self):
        """Return the events of the server: [{"database", "name", "state"}], state: "enabled", "disabled", or "replica"
        for one that is off because it came from a source.
        """

    @abc.abstractmethod
    def switch_events(self, events, on):
        """Enable those events that came from a source, or let enabled ones be off as on a replica; others stay.

        events: list of {"database", "name"}. Replicas do not get the change.
        """

    @abc.abstractmethod
    def demote_replication_master(self):
        """Be no source any more: nobody may follow it or write to it."""

    @abc.abstractmethod
    def cleanup_source_on_replica_detach(self, replica_info):
        """Remove the account of a replica. replica_info: {"user"}."""

    @abc.abstractmethod
    def get_replica_context(self):
        """{"running", "lag" (seconds or None), "error" (text or None), "log_position"}: how a replica does, and where
        others would begin to follow this server.
        """

    @abc.abstractmethod
    def get_latest_txn_id(self):
        """The newest transaction that was committed here."""

    @abc.abstractmethod
    def get_last_txn(self):
        """What a replica has received: {"source": who it came from, empty if it does not know, "count": the more the
        newer, "txn"}.
        """

    @abc.abstractmethod
    def wait_for_txn(self, txn, seconds):
        """Wait at most ``seconds`` until a transaction has been carried out here; returns whether it has."""

    @abc.abstractmethod
    def health(self):
        """The first three of ``get_replica_context`` for a heartbeat, or None when the server is no replica."""
