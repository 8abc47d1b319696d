"""Guests on this machine: the agent's own code drives real servers in directories of the test's own.

A Guest is the directories of one, a Machine a Guest with its agent and what the control plane would send to it. What is
an engine's own stands in ``tests.engines``.
"""
import contextlib
import dataclasses
import logging
import os
import random
import shutil
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from tests.fakes import cloud as fake_cloud
from tests.waiting import wait_until
from trove.backup import store
from trove.common import crypto, exception, remote, template
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.db import models as db_models

LOG = logging.getLogger(__name__)

USER, DATABASE = "u1", "db1"
PASSWORD = "it's \\ a \"%s\"; DROP"
USERS = [{"_name": USER, "_host": "%", "_password": PASSWORD, "_databases": [{"_name": DATABASE}]}]


def free_port():
    """Return a port of the loopback address that nobody uses, below those that the kernel gives to clients."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(15000, 32000)))
            return probe.getsockname()[1]


def kill(app):
    """Kill the server of a test, however it is: to end in order takes seconds, and nobody reads its data any more."""
    if app.service.is_running():
        os.kill(int(app.service._pid_file.read_text()), signal.SIGKILL)
        wait_until(lambda: not app.service.is_running(), pause=0.01)


def copy_data(app, directory):
    """Copy the data of a server that does not run to a place where guests find it as their template."""
    shutil.copytree(app.layout.data, directory)
    directory.chmod(0o755)


class Guest:
    """The directories of one guest with an engine (``tests.engines.base.Engine``); the server listens on ``port``."""

    def __init__(self, root, tested, name="i-1"):
        self.root, self.tested, self.name = root, tested, name
        self.engine = tested.datastore
        self.port = free_port()
        self.layout = tested.layout(root)

    def manager(self):
        """Return a new agent of this guest."""
        return self.tested.manager_class(layout=self.layout)

    def render(self, name="config.template", ram=256):
        """Return a packaged template as the control plane renders it for this guest. ram: MB of its flavor."""
        return template.render(self.engine, self.engine, self.tested.version.name, {"ram": ram}, self.name, name)

    def contents(self, ram=256):
        """Return the configuration file with this guest's paths and port."""
        return self.tested.contents(self, self.render(ram=ram))


def make(tested, name="i-1", kind=Guest):
    """Return a Guest below a directory that the database's user may enter."""
    root = Path(tempfile.mkdtemp(prefix="guest-test-"))
    root.chmod(0o755)
    return kind(root, tested, name)


def options(conf, guest):
    """Set the options of an agent in ``guest``."""
    conf.set_override("guest_id", "i-1")
    conf.set_override("datastore_manager", guest.engine)
    conf.set_override("guest_key", "the key of this guest only")
    conf.set_override("guest_state_dir", str(guest.root / "state"))
    conf.set_override("mount_point", str(guest.layout.mount_point), group=guest.engine)
    for name, value in guest.tested.options_of(guest).items():
        conf.set_override(name, value, group=guest.engine)
    conf.set_override("state_change_wait_time", 60)


@contextlib.contextmanager
def packaged(tested):
    """A data directory as images carry it, for the time of the block."""
    parent, guest = Path(tempfile.mkdtemp(prefix="guest-test-template-")), make(tested)
    parent.chmod(0o755)
    try:
        try:
            CONF.set_override("guest_state_dir", str(guest.root / "state"))
            tested.make_template(guest, parent / "template")
        finally:
            CONF.clear_override("guest_state_dir")
            shutil.rmtree(guest.root)
        yield parent / "template"
    finally:
        shutil.rmtree(parent)


class Machine:
    """A guest with its agent."""

    def __init__(self, conf, guest):
        self.conf, self.guest = conf, guest
        self.enter()
        self.manager = guest.manager()

    @property
    def app(self):
        """The agent's Server."""
        return self.manager.app

    def enter(self):
        """Let everything that the agent's code reads from now on be this guest's."""
        options(self.conf, self.guest)

    def call(self, method, *arguments):
        """Let the agent carry out a command of the control plane."""
        self.enter()
        return getattr(self.manager, method)(TroveContext(), *arguments)

    def prepare(self, **more):
        """Let the agent prepare, with a database and a user where the engine has them."""
        self.enter()
        has_users = self.guest.tested.traits.users
        try:
            self.manager.prepare(TroveContext(), **{
                "packages": [], "databases": [{"_name": DATABASE}] if has_users else [], "memory_mb": 256,
                "users": USERS if has_users else [], "config_contents": self.guest.contents(), **more})
        except Exception:
            LOG.error("The end of the server's log:\n%s", self.guest.tested.log(self.guest)[-3000:])
            raise

    def probe(self, *login, **more):
        """Return the probe of the tenant's user, or of another (user, password, database)."""
        self.enter()
        return self.guest.tested.probe_class("127.0.0.1", *(login or self.guest.tested.login(self)),
                                             port=self.guest.port, **more)

    def put(self, *keys):
        """Write numbers as the tenant's user; the first write of all makes the store."""
        with self.probe() as probe:
            try:
                probe.keys()
            except probe.errors:
                probe.close()
                probe.clear()
            for key in keys:
                probe.put(key, f"word {key}")

    def keys(self):
        """Return the numbers that the tenant's user finds, sorted."""
        with self.probe() as probe:
            return sorted(probe.keys())

    def end(self):
        """Kill the server and remove all files."""
        self.enter()
        self.guest.tested.kill(self.app)
        shutil.rmtree(self.guest.root)

    # Replication

    @property
    def account(self):
        """The account with which this machine follows a source."""
        return {"user": f"os_replica_{self.guest.name}", "password": f"the \\ 'secret' of {self.guest.name}"}

    def role(self, role):
        """Return the settings of a role: replica or replica_source."""
        return self.guest.render(f"{role}.config.template")

    def info(self, replica, **more):
        """Return the arguments that make a replica follow this machine."""
        return {"master": {"host": "127.0.0.1", "port": self.guest.port, **replica.account},
                "log_position": self.call("get_replica_context")["log_position"], **more}

    def sources(self, *replicas):
        """Let exactly these machines follow this one."""
        self.call("enable_as_master", self.role("replica_source"), [replica.account for replica in replicas])

    def follow(self, source, **more):
        """Let this machine follow another."""
        self.call("attach_replica", source.info(self, **more), self.role("replica"))


class Backups:
    """What the control plane does around the agent's work. reports: ``tests.unit.guestagent.conftest.Reports``."""

    def __init__(self, reports):
        self.reports = reports

    def take(self, machine, kind=None, parent=None, **more):
        """Take a backup; returns its link for a restore, or the report of its failure.

        kind: class that takes it, the default of the card if None.
        """
        machine.enter()
        kind = kind or CONF[machine.guest.engine].backup_strategy
        backup_id = db_models.new_id()
        where = store.place(backup_id)
        store.make(backup_id)
        info = {"id": backup_id, "backup_type": kind, "parent": None, "key": crypto.backup_key(backup_id),
                "storage": store.signatures(where, ("PUT", "POST"), 600), **more}
        if parent:
            info["parent"] = {"metadata": store.manifest(store.place(parent["id"], parent["location"]))[1]}
        machine.manager.create_backup(TroveContext(), info)
        report = self.reports.backups[-1]
        assert report["id"] == backup_id
        if report["state"] != "SAVING":
            return report
        store.open_for_reading(where)
        segments = store.segments(where, report["segments"])
        assert store.checksum(segments) == report["checksum"]
        assert sum(segment.size for segment in segments) == report["uploaded"]
        assert "location" not in report and store.strangers(where, report["segments"]) == 0
        metadata = store.guest_metadata(where)
        ending = store.extension(kind, metadata["compression"], info["key"])
        location, etag = store.write_manifest(dataclasses.replace(where, manifest=backup_id + ending), metadata)
        assert etag == report["checksum"]
        return {"id": backup_id, "type": kind, "location": location, "checksum": etag, "key": info["key"],
                "segments": [[each.name, each.size, each.hash] for each in segments],
                "storage": store.signatures(where, ("GET",), 600)}


def backup_info(*chain):
    """Return prepare's backup_info for a chain of backups."""
    return {"id": chain[-1]["id"], "type": chain[-1]["type"], "chain": list(chain)}


def restore(machine, *chain):
    """Prepare a machine with the data of a chain of backups."""
    machine.prepare(databases=[], users=[], backup_info=backup_info(*chain))


def damage(name, position=None, cut=None):
    """Change an object as a broken disk or a foolish hand would: its bytes in Swift are others, with another ETag."""
    swift, container = remote.swift_client(), store.own_container(name[:36])
    data = bytearray(swift.get_object(container, name)[1])
    if cut is not None:
        data = data[:cut]
    else:
        data[position] ^= 1
    swift.put_object(container, name, bytes(data))
    return bytes(data)


def refused(machine, reports, *chain):
    """Check that restoring fails, nothing runs and no data directory appears. Returns the cause that the user sees."""
    with pytest.raises(exception.TroveError):
        restore(machine, *chain)
    assert reports.statuses[-1] == "failed to spawn"
    assert not machine.guest.layout.data.exists()
    return reports.causes[-1]


# Fixtures: import them into a conftest.


@pytest.fixture(scope="module")
def running_cloud(tmp_path_factory):
    """A cloud whose Swift keeps backups."""
    cloud = fake_cloud.Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.stop()


@pytest.fixture
def container(conf, running_cloud):
    """The container of backups in a running Swift."""
    running_cloud.configure(conf)
    conf.set_override("backup_encryption_key", ["a key for tests, never for a deployment"])
    yield conf.backup_swift_container
    running_cloud.clear_objects()
    remote.reset()
