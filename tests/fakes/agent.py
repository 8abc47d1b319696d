"""A guest agent in memory for ``remote_guest_client``: it takes the commands of flows and answers by state.

Its methods are held to the signatures of ``trove.guestagent.api.API`` by tests/unit/test_fakes.py.
"""
import threading

from trove.common import exception
from trove.common.instance import ServiceStatuses
from trove.conductor import models as conductor_models
from trove.db import get_db_api
from trove.guestagent.strategies.storage.swift import SwiftStorage
from trove.instance.models import service_status


class Guests:
    """What the tests steer and look at.

    commands: [(instance id, method, arguments)]; answer: called with (instance id, method) before a command acts, may
    raise what a client raises; lost: number of prepare messages that never arrive; builds: whether prepare succeeds
    (True), fails (False) or is never heard of again (None); boots: whether agents report after a reboot; overrides:
    {instance id: {name: value}} of their files; variables: the same of what was set in the running servers; refused:
    names that these do not take.
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

    def called(self, method):
        """The arguments of every arrived command of that name."""
        return [arguments for _, name, arguments in self.commands if name == method]


GUESTS = Guests()
_lock = threading.Lock()


def guest_client(context, instance_id):
    """The factory that ``remote_guest_client`` names."""
    return FakeAgent(context, instance_id)


class FakeAgent:
    """The agent of one instance: what it would report through the conductor it writes at once."""

    def __init__(self, context, instance_id):
        self.context = context
        self.instance_id = instance_id

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

    def create_backup(self, backup_info):
        """Upload something, or fail."""
        self._take("create_backup", backup_info=backup_info)
        columns = {"size": 0.1}
        if GUESTS.builds:
            storage = SwiftStorage()
            saved = storage.save(backup_info, [b"data of " + backup_info["id"].encode()])
            storage.save_metadata(backup_info, {"lsn": "1234", "extension": ".xbstream"})
            columns.update(state="SAVING", checksum=saved.checksum)
        elif GUESTS.builds is False:
            columns.update(state="FAILED")
        with get_db_api().writer() as session:
            conductor_models.record_backup(session, self.instance_id, backup_info["id"], columns)
            if "FAILED" in columns.values():
                conductor_models.record_backup_cause(session, backup_info["id"], "the disk of the test is full")

    def update_overrides(self, overrides, remove=False):
        """Write the values of the group."""
        self._take("update_overrides", overrides=overrides, remove=remove)
        GUESTS.overrides[self.instance_id] = {} if remove else dict(overrides)

    def apply_overrides(self, overrides):
        """Set values in the running server."""
        self._take("apply_overrides", overrides=overrides)
        GUESTS.variables.setdefault(self.instance_id, {}).update(overrides)
        return {name: "no such value" for name in overrides if name in GUESTS.refused}

    def _take(self, method, **arguments):
        GUESTS.commands.append((self.instance_id, method, arguments))
        GUESTS.answer(self.instance_id, method)

    def _report(self, status):
        with get_db_api().writer() as session:
            row = service_status(session, self.instance_id)
            if row is None:
                raise exception.NotFound(resource="service status", id=self.instance_id)
            row.status = status
