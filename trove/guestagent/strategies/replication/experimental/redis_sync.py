"""Replication of Redis: a replica takes over the whole data of its source and then gets every write, asynchronously.

Positions are texts ``history:offset``: a history is what a source has written since it became one, an offset counts its
bytes. A server that becomes a source begins a history of its own, and knows up to where it shares the old one.
"""
import contextlib

import redis
from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.guestagent import volume
from trove.guestagent.common.configuration import SYSTEM_GROUP
from trove.guestagent.common.waiting import wait_until
from trove.guestagent.datastore.experimental.redis import service
from trove.guestagent.strategies.replication.base import Replication

LOG = logging.getLogger(__name__)

# Change id of the layer over the configuration.
_ROLE = "replication"
# Seconds for one question of a replica to its source.
_ASK = 3


def reached(info, history, offset):
    """Return whether a server has carried out a source's writes up to an offset. info: section replication of INFO."""
    if info["master_replid"] == history:
        done = info["slave_repl_offset"] if info["role"] == "slave" else info["master_repl_offset"]
        return done >= offset
    return info["master_replid2"] == history and offset < info["second_repl_offset"]


class RedisSyncReplication(Replication):
    """See the base. app: RedisApp."""

    # Roles

    def configure(self, config):
        """See the base. The server starts closed; its source comes when it is attached."""
        self._write_role(config)
        self.app.access.close()

    def hold_still(self, still):
        """See the base. Data say nothing of a source: only the configuration does, and it is this server's own."""

    def _write_role(self, config):
        values = self.app.configuration.file_format.parse(config)
        self.app.configuration.apply_override(values, SYSTEM_GROUP, _ROLE)
        return values

    def _take_role(self, config):
        self.app.set_now(**self._write_role(config))

    def get_replication_snapshot(self, snapshot_info, config):
        """See the base."""
        self.enable_as_master(config, snapshot_info["accounts"])
        return {"dataset": {"datastore_manager": CONF.datastore_manager,
                            "dataset_size": volume.used_gb(self.app.layout.mount_point)},
                "replication_strategy": type(self).__name__}

    def enable_as_master(self, config, accounts):
        """See the base."""
        self._take_role(config)
        self.app.access.set_replicas({account["user"]: account["password"] for account in accounts})

    def demote_replication_master(self):
        """See the base."""
        self.app.access.set_replicas({})
        self.make_read_only(True)

    def cleanup_source_on_replica_detach(self, replica_info):
        """See the base."""
        self.app.access.remove_replica(replica_info["user"])

    def make_read_only(self, read_only):
        """See the base. A replica is read-only by itself, and tells clients so in the words that they understand."""
        self.app.access.set_read_only(read_only and not self.app.source)
        LOG.info("%s: the server %s writes", CONF.guest_id, "refuses" if read_only else "takes")

    def list_events(self):
        """See the base. A Redis server has none."""
        return []

    def switch_events(self, events, on):
        """See the base."""

    # Following

    def attach_replica(self, info, config):
        """See the base. The data of the server are replaced by those of its source if they are not its past."""
        self._take_role(config)
        source = {name: info["master"][name] for name in ("host", "port", "user", "password")}
        if self.app.source != source:
            # Closed until it is a replica: what users wrote meanwhile would be lost.
            self.app.access.set_read_only(True)
            self.app.remember_source(source)
        self.app.set_now(masteruser=source["user"], masterauth=source["password"])
        self.app.client().execute_command("REPLICAOF", source["host"], source["port"])
        self.app.access.set_read_only(False)
        self._wait_connected(info.get("must_connect", True))
        self.follow_password()
        LOG.info("%s: follows %s", CONF.guest_id, source["host"])

    def _wait_connected(self, must_connect):
        """Raises TroveError if the server neither follows its source in time nor is getting its data."""
        if not must_connect:
            return
        # Half of it: the caller waits that long for the whole command.
        with contextlib.suppress(exception.PollTimeOut):  # the server's own reason says more
            wait_until(lambda: self._is_following(), "The replica's connection to its source",
                       option="agent_call_high_timeout", seconds=CONF.agent_call_high_timeout / 2, pause=0.1)
            return
        status = self.app.role()
        if not status.get("master_sync_in_progress"):
            raise exception.TroveError(f"The replica does not follow its source: "
                                       f"{self._error(status) or 'it is not connected'}.")
        LOG.info("%s: is getting the data of its source", CONF.guest_id)

    def _is_following(self):
        try:
            return self.app.role().get("master_link_status") == "up"
        except redis.exceptions.BusyLoadingError:
            return False

    def follow_password(self):
        """Let the users' password be that of the source. A source that does not answer is asked later."""
        source = self.app.source
        if not source:
            return
        try:
            with contextlib.closing(service.connect(source["user"], source["password"], _ASK, host=source["host"],
                                                    port=source["port"])) as client:
                self.app.access.take_over(client, source)
        except redis.exceptions.RedisError as error:
            LOG.debug("%s: the source does not tell its password: %s", CONF.guest_id, error)

    def detach_replica(self, for_failover=False):
        """See the base."""
        if self.app.source and for_failover:
            self.app.access.set_read_only(True)
        self.app.client().execute_command("REPLICAOF", "NO", "ONE")
        self.app.remember_source(None)
        if not for_failover:
            self.app.access.set_replicas({})
            self.app.access.set_read_only(False)
            LOG.info("%s: follows nobody any more", CONF.guest_id)

    # Positions

    def get_latest_txn_id(self):
        """See the base."""
        info = self.app.role()
        return f"{info['master_replid']}:{info['master_repl_offset']}"

    def get_last_txn(self):
        """See the base."""
        info = self.app.role()
        if service.knows_offset(info):
            known = {"history": info["master_replid"], "offset": info["slave_repl_offset"]}
        else:  # restarted after its source died
            known = self.app.progress or {"history": "", "offset": 0}
        return {"source": known["history"], "count": known["offset"], "txn": f"{known['history']}:{known['offset']}"}

    def wait_for_txn(self, txn, seconds):
        """See the base."""
        history, _, offset = txn.partition(":")
        if self.app.progress == {"history": history, "offset": int(offset)}:
            return True
        with contextlib.suppress(exception.PollTimeOut):
            return wait_until(lambda: reached(self.app.role(), history, int(offset)), "The transaction",
                              seconds=seconds, pause=0.02, longest=0.2)
        return False

    # Health

    def health(self):
        """See the base."""
        if not self.app.source:
            return None
        status = self.app.role()
        if status.get("master_link_status") == "up":
            self.follow_password()
            self.app.note_progress(status)
            return {"running": True, "lag": max(0, status["master_last_io_seconds_ago"] - 1), "error": None}
        return {"running": False, "lag": status.get("master_link_down_since_seconds"), "error": self._error(status)}

    def _error(self, status):
        """Return why a replica does not follow its source, as a clause, None if it has only not connected yet.

        status: section replication of INFO.
        """
        if status.get("role") != "slave":
            return "its replication was switched off"
        if status.get("master_sync_in_progress"):
            return "it is getting the data of its source"
        said = self.app.last_words("MASTER", "Error condition on socket", "Unable to", "Failed to")
        return f"it is not connected ({said})" if said else None

    def get_replica_context(self):
        """See the base."""
        nothing = {"running": False, "lag": None, "error": "it follows nobody"}
        return {**(self.health() or nothing), "log_position": None}
