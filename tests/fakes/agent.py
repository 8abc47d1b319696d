"""A guest agent in memory for ``remote_guest_client``: it takes the commands of flows and answers by state.

Its methods are held to the signatures of ``trove.guestagent.api.API`` by tests/unit/test_fakes.py.
"""
import dataclasses
import threading

from tests.fakes import guest
from trove.common import exception
from trove.common.instance import ServiceStatuses
from trove.conductor import models as conductor_models
from trove.db import get_db_api, guest_secrets
from trove.guestagent.strategies.storage.swift import SwiftStorage
from trove.instance.models import service_status


@dataclasses.dataclass
class Server:
    """What replication has made of the server of one guest.

    accounts: names; follows: address of its source or None; txn: number of its newest transaction; written: whether
    its users may write, and so do (``txn`` grows when they can); events: {name: state} of its database db1.
    """

    accounts: set = dataclasses.field(default_factory=set)
    follows: str | None = None
    read_only: bool = False
    txn: int = 100
    events: dict = dataclasses.field(default_factory=dict)


class Guests:
    """What the tests steer and look at.

    commands: [(instance id, method, arguments)]; answer: called with (instance id, method) before a command acts, may
    raise what a client raises; lost: number of prepare messages that never arrive; builds: whether prepare succeeds
    (True), fails (False) or is never heard of again (None); boots: whether agents report after a reboot; overrides:
    {instance id: {name: value}} of their files; variables: the same of what was set in the running servers; refused:
    names that these do not take; lies: columns of a backup that guests report wrongly; uploaded: called with the
    backup_info of a backup that was uploaded, before it is reported; servers: {instance id: Server}; sealed: ids of
    those that do not let themselves be opened for writes; contents: {instance id: text} of base configurations written
    after prepare; mounted: ids of instances whose volume was mounted by a command; filesystems: {instance id: GB} of
    those that were grown; grows_mounted: whether they do that while they are mounted; unfit: servers do not start with
    settings that contain this text; archives: {instance id: [id of its archive of logs, pieces]}.
    """

    def __init__(self):
        self.reset()

    def reset(self):
        """All agents are well."""
        self.commands = []
        self.answer = lambda instance_id, method: None
        self.lost = 0
        self.builds = True
        self.boots = True
        self.overrides = {}
        self.variables = {}
        self.refused = ()
        self.lies = {}
        self.uploaded = lambda backup_info: None
        self.servers = {}
        self.sealed = set()
        self.contents = {}
        self.mounted = set()
        self.filesystems = {}
        self.grows_mounted = True
        self.unfit = None
        self.archives = {}
        guest.GUESTS.clear()

    def called(self, method):
        """The arguments of every arrived command of that name."""
        return [arguments for _, name, arguments in self.commands if name == method]


GUESTS = Guests()
_lock = threading.Lock()


def guest_client(context, instance_id, manager=None):
    """The factory that ``remote_guest_client`` names."""
    return FakeAgent(context, instance_id)


class FakeAgent(guest.Client):
    """The agent of one instance: what it would report through the conductor it writes at once."""

    def _guest(self, method):
        self._take(method)
        return super()._guest(method)

    def prepare(self, packages, databases, memory_mb, users, device_path=None, mount_point=None, backup_info=None,
                config_contents=None, root_password=None, overrides=None, cluster_config=None, snapshot=None,
                modules=None):
        """Build, or be lost."""
        arguments = {key: value for key, value in locals().items() if key != "self"}
        with _lock:
            if GUESTS.lost:
                GUESTS.lost -= 1
                return
        self._take("prepare", **arguments)
        if snapshot and GUESTS.builds:
            self._follow(snapshot)
        if GUESTS.builds is not None:
            self._report(ServiceStatuses.RUNNING if GUESTS.builds else ServiceStatuses.FAILED)

    def restart(self):
        """Restart."""
        self._take("restart")
        self._report(ServiceStatuses.RUNNING)

    def stop_db(self, do_not_start_on_reboot=False):
        """Stop."""
        self._take("stop_db", do_not_start_on_reboot=do_not_start_on_reboot)
        self._report(ServiceStatuses.SHUTDOWN)

    def start_db_with_conf_changes(self, config_contents):
        """Start with other settings, or fail."""
        self._take("start_db_with_conf_changes", config_contents=config_contents)
        if GUESTS.unfit and GUESTS.unfit in config_contents:
            raise exception.GuestError(original="the database server ended right after its start.")
        GUESTS.contents[self.instance_id] = config_contents
        self._report(ServiceStatuses.RUNNING)

    def rpc_ping(self):
        """Answer."""
        self._take("rpc_ping")
        return True

    def rotate_secrets(self, generation, sealed):
        """Replace its secrets, and be heard with them."""
        self._take("rotate_secrets", generation=generation, sealed=sealed)
        with get_db_api().writer() as session:
            guest_secrets.heard(session, self.instance_id, generation)

    def install_certificate(self, sealed):
        """Let the server have it."""
        self._take("install_certificate", sealed=sealed)

    def mount_volume(self, device_path=None, mount_point=None):
        """Mount."""
        self._take("mount_volume", device_path=device_path, mount_point=mount_point)
        GUESTS.mounted.add(self.instance_id)

    def unmount_volume(self, device_path=None, mount_point=None):
        """Unmount."""
        self._take("unmount_volume", device_path=device_path, mount_point=mount_point)
        GUESTS.mounted.discard(self.instance_id)

    def resize_fs(self, device_path=None, mount_point=None, online=False, size=None):
        """Grow, if it can grow like that."""
        self._take("resize_fs", device_path=device_path, mount_point=mount_point, online=online, size=size)
        if online and not GUESTS.grows_mounted:
            return False
        GUESTS.filesystems[self.instance_id] = size
        return True

    def create_backup(self, backup_info):
        """Upload something, or fail."""
        self._take("create_backup", backup_info=backup_info)
        columns = {"size": 0.1}
        if GUESTS.builds:
            storage = SwiftStorage()
            saved = storage.save(backup_info, [b"data of " + backup_info["id"].encode()])
            storage.save_metadata(backup_info, {"lsn": "1234", "compression": "none"})
            GUESTS.uploaded(backup_info)
            columns.update(state="SAVING", checksum=saved.checksum, segments=saved.segments, uploaded=saved.size)
            columns.update(GUESTS.lies)
        elif GUESTS.builds is False:
            columns.update(state="FAILED")
        with get_db_api().writer() as session:
            conductor_models.record_backup(session, self.instance_id, backup_info["id"], columns)
            if "FAILED" in columns.values():
                conductor_models.record_backup_cause(session, backup_info["id"], "the disk of the test is full")

    def begin_archive(self, archive, backup_type):
        """Fill it from now on."""
        self._take("begin_archive", archive=archive, backup_type=backup_type)
        GUESTS.archives.setdefault(self.instance_id, [archive["id"], 0])[0] = archive["id"]
        return {"id": archive["id"], "next": GUESTS.archives[self.instance_id][1]}

    def renew_archive(self, archive_id, archive):
        """Have new signatures, or stop."""
        self._take("renew_archive", archive_id=archive_id, archive=archive)

    def update_overrides(self, overrides, remove=False):
        """Write the values of the group."""
        self._take("update_overrides", overrides=overrides, remove=remove)
        GUESTS.overrides[self.instance_id] = {} if remove else dict(overrides)

    def apply_overrides(self, overrides):
        """Set values in the running server."""
        self._take("apply_overrides", overrides=overrides)
        GUESTS.variables.setdefault(self.instance_id, {}).update(overrides)
        return {name: "no such value" for name in overrides if name in GUESTS.refused}

    @property
    def _server(self):
        return GUESTS.servers.setdefault(self.instance_id, Server())

    def _follow(self, info):
        self._server.follows, self._server.read_only = info["master"]["host"], True

    def get_replication_snapshot(self, snapshot_info, replica_source_config):
        """Be a source."""
        self._take("get_replication_snapshot", snapshot_info=snapshot_info,
                   replica_source_config=replica_source_config)
        self._server.accounts = {account["user"] for account in snapshot_info["accounts"]}
        return {"dataset": {"datastore_manager": "mysql", "dataset_size": 0.1}, "replication_strategy": "Fake"}

    def enable_as_master(self, replica_source_config, accounts):
        """Let these accounts follow."""
        self._take("enable_as_master", replica_source_config=replica_source_config, accounts=accounts)
        self._server.accounts = {account["user"] for account in accounts}

    def attach_replica(self, replica_info, slave_config):
        """Follow."""
        self._take("attach_replica", replica_info=replica_info, slave_config=slave_config)
        self._follow(replica_info)

    def detach_replica(self, for_failover=False):
        """Follow nobody."""
        self._take("detach_replica", for_failover=for_failover)
        self._server.follows = None
        if not for_failover:
            self._server.read_only = False

    def get_replica_context(self):
        """How it does."""
        self._take("get_replica_context")
        following = self._server.follows is not None
        return {"running": following, "lag": 0 if following else None, "error": None, "log_position": None}

    def make_read_only(self, read_only):
        """Refuse or take writes."""
        self._take("make_read_only", read_only=read_only)
        if self.instance_id in GUESTS.sealed and not read_only:
            raise exception.GuestError(original="refused by the test")
        self._server.read_only = read_only

    def list_events(self):
        """Its events."""
        self._take("list_events")
        return [{"database": "db1", "name": name, "state": state} for name, state in self._server.events.items()]

    def switch_events(self, events, on):
        """Switch events."""
        self._take("switch_events", events=events, on=on)
        before, after = ("replica", "enabled") if on else ("enabled", "replica")
        for event in events:
            if self._server.events.get(event["name"]) == before:
                self._server.events[event["name"]] = after

    def demote_replication_master(self):
        """Be no source."""
        self._take("demote_replication_master")
        self._server.accounts, self._server.read_only = set(), True

    def get_last_txn(self):
        """What was received."""
        self._take("get_last_txn")
        return {"source": "1", "count": self._server.txn, "txn": str(self._server.txn)}

    def get_latest_txn_id(self):
        """What was done."""
        self._take("get_latest_txn_id")
        return str(self._server.txn)

    def wait_for_txn(self, txn):
        """Catch up."""
        self._take("wait_for_txn", txn=txn)
        self._server.txn = max(self._server.txn, int(txn))
        return True

    def cleanup_source_on_replica_detach(self, replica_info):
        """Drop an account."""
        self._take("cleanup_source_on_replica_detach", replica_info=replica_info)
        self._server.accounts.discard(replica_info["user"])

    def _take(self, method, **arguments):
        GUESTS.commands.append((self.instance_id, method, arguments))
        GUESTS.answer(self.instance_id, method)

    def _report(self, status):
        with get_db_api().writer() as session:
            row = service_status(session, self.instance_id)
            if row is None:
                raise exception.NotFound(resource="service status", id=self.instance_id)
            row.status = status
