"""The base of all datastore managers: every command that a guest understands, and how a server is prepared.

The public methods are the endpoints of RPC. They are thin and final: each hands its work to one of the collaborators
of the datastore (``app``, ``admin``, ``root``, ``backups``, ``replication``, ``logs``). A datastore names the classes
of those that it has, which are checked when the agent starts. Commands for a collaborator that it lacks are refused in
one place, ``_call``. Every command may come twice.
"""
import contextlib
import os
import threading
import typing
from pathlib import Path

from oslo_log import log as logging

from trove import rpc, version
from trove.common import exception
from trove.common.cfg import CARDS, CONF
from trove.common.instance import ServiceStatuses
from trove.common.strategies import strategy
from trove.common.traits import Maturity
from trove.conductor import api as conductor_api
from trove.guestagent import archive, logs, secrets, volume
from trove.guestagent.backup.backupagent import BackupAgent
from trove.guestagent.common import spans
from trove.guestagent.datastore import prepare, replication
from trove.guestagent.datastore.admin import Admin, Root
from trove.guestagent.datastore.prepare import PrepareRequest
from trove.guestagent.datastore.server import Server
from trove.guestagent.db import models

LOG = logging.getLogger(__name__)

GB = 1024 ** 3


class Manager(replication.ReplicationCommands):
    """Commands of the guest agent. One object per agent, made at its start.

    manager_name: the name under which the datastore is registered; layout: where the server's files are, the default of
    its class if None.
    """

    # What a datastore is made of: its own classes, None for what it does not have. ``bases`` says what each must be.
    server_class = None
    admin_class = None
    root_class = None
    logs_class = None
    # Classes of its further commands, made with the manager.
    endpoint_classes = ()
    # Whether its servers can be members of clusters.
    joins_clusters = False

    bases: typing.ClassVar = {"server_class": Server, "admin_class": Admin, "root_class": Root,
                              "logs_class": logs.ServerLogs}

    def __init__(self, manager_name, layout=None):
        self._manager_name = manager_name
        if self.manager not in CONF:
            raise ValueError(f"option datastore_manager: there is no group of options [{self.manager}], which the card "
                             "of a datastore makes: install its package with the entry point trove.datastores")
        # Held by whatever starts, stops or rebuilds the server: one at a time.
        self._lifecycle = threading.RLock()
        # Held by commands about databases and users, so that each sees what those before it did.
        self._administration = threading.Lock()
        self._preparing = threading.Lock()
        self.app = self.server_class(layout or self.server_class.layout_class(Path(CONF[self.manager].mount_point)))
        self.admin = self._make(self.admin_class)
        self.root = self.admin if self.root_class is self.admin_class else self._make(self.root_class)
        self.logs = logs.LogKeeper(self._make(self.logs_class))
        self.backups = BackupAgent(self.manager, self.app) if CONF[self.manager].backup_strategy else None
        self.archiver = archive.load(self.manager, self.app)
        self.replication = replication.load(self.manager, self.app)
        # Objects with further commands (``rpc.expose``); the client that the card names sends them.
        self.endpoints = tuple(kind(self) for kind in self.endpoint_classes)

    def _make(self, kind):
        return kind(self.app, self.manager) if kind else None

    @classmethod
    def check(cls, name):
        """Check what a datastore is made of: classes, and the strategies that its options name.

        name: of the datastore manager. Raises ValueError that names the class or the option, and what is missing.
        """
        for part, base in cls.bases.items():
            kind = getattr(cls, part)
            if kind is not None or part == "server_class":
                strategy.check(kind, base, f"{cls.__module__}.{cls.__qualname__}.{part}: ")
        if name not in CARDS:
            return
        traits = CARDS[name].TRAITS
        models.load(traits.models, f"[{name}] models (in its card)")
        if traits.users != (cls.admin_class is not None):
            raise ValueError(f"the card of the datastore '{name}' says users={traits.users}, and admin_class of "
                             f"{cls.__module__}.{cls.__qualname__} is {cls.admin_class}")
        BackupAgent.check(name)
        archive.find(name)
        replication.find(name)
        if traits.maturity == Maturity.EXPERIMENTAL:
            LOG.warning("The datastore %s is %s: %s", name, traits.maturity.value, traits.maturity.meaning)

    @property
    def manager(self):
        """The name of the datastore manager, which is also the name of its group of options."""
        return CONF.datastore_manager or self._manager_name

    @property
    def status(self):
        """The BaseDbStatus of this guest; the same object every time."""
        return self.app.status

    def do_prepare(self, context, request):
        """Make a server that runs. request: PrepareRequest.

        It may have been interrupted anywhere before and is called again from its start.
        """
        prepare.carry_out(request, self)

    def post_prepare(self, context, request):
        """Report the root that came with a backup; called once it was reported that the server runs."""
        if request.backup_info and self.root is not None and self.root.is_root_enabled():
            conductor_api.API(context).report_root(CONF.guest_id, context.user_id)

    def _call(self, collaborator, operation, *args, **kwargs):
        """Let a collaborator do ``operation``. Raises DatastoreOperationNotSupported where the datastore has none."""
        if collaborator is None:
            raise exception.DatastoreOperationNotSupported(operation=operation, datastore=self.manager)
        with spans.span("datastore", operation):
            try:
                return getattr(collaborator, operation)(*args, **kwargs)
            except Exception as error:
                explained = self._explained(error)
                if explained is error:
                    raise
                raise explained from error

    def _explained(self, error):
        """Return the error to raise in the place of another one: the server's explanation of it, or itself."""
        return self.app.explain(error) or error

    def _administer(self, operation, *args):
        with self._administration:
            return self._call(self.admin, operation, *args)

    def _administer_root(self, operation, *args):
        with self._administration:
            return self._call(self.root, operation, *args)

    def _operate(self, operation, *args):
        with self._lifecycle:
            return self._call(self.app, operation, *args)

    # Life of the agent

    # Lies on a file system that a boot of the guest empties.
    booted_marker = Path("/run/trove-guestagent.booted")

    def start_of_agent(self):
        """Called once before commands are taken. After a boot of the guest it mounts the volume and starts the server;
        when only the agent was restarted, the server is left as it is.
        """
        if self.booted_marker.exists():
            return
        if self.status.prepare_completed:
            with self._lifecycle:
                volume.mount_recorded(CONF[self.manager].mount_point)
                self._call(self.app, "start_at_boot")
        self.booted_marker.touch()

    def seconds_behind(self):
        """Seconds by which this guest's clock is behind, None if it is not. The agent's process sets who tells."""

    def update_status(self, context=None):
        """The heartbeat, called every ``report_interval`` seconds."""
        with self.app.looking():
            self._report()
        if self.backups is not None:
            self.backups.report_unsent()

    def fill_archive(self, stopping):
        """Archive the server's logs until ``stopping`` (Event) is set; called in a thread of its own."""
        if self.archiver is not None:
            self.archiver.run(lambda: (self.status.prepare_completed and not self.status.restart_mode
                                       and self.status.status == ServiceStatuses.RUNNING), stopping)

    def _report(self):
        facts = {}
        if self.status.prepare_completed and not self.status.restart_mode:
            facts = self._volume_facts()
            # Its own account may be what a command that holds this is waiting for.
            if self._lifecycle.acquire(blocking=False):
                try:
                    self.app.look_after(self._idle, may_write=not facts["volume_full"])
                    facts.update(self.app.facts())
                finally:
                    self._lifecycle.release()
            if self.archiver is not None:
                facts.update(self.archiver.facts())
        asked, replication = self._replication_health()
        if asked:
            facts["follows"] = replication is not None
        self.status.update(replication, self.seconds_behind(), facts)

    def _volume_facts(self):
        facts = {"volume_full": volume.is_full(self._mount_point(None))}
        try:
            facts["used"] = self.get_filesystem_stats(None)["used"]
        except OSError as error:
            LOG.debug("%s: the use of the data volume cannot be asked for: %s", CONF.guest_id, error)
        return facts

    # Prepare

    @rpc.expose
    def prepare(self, context, packages, databases, memory_mb, users, device_path=None, mount_point=None,
                backup_info=None, config_contents=None, root_password=None, overrides=None, cluster_config=None,
                snapshot=None, modules=None):
        """Make a database server of this guest and report how it went."""
        if not self._preparing.acquire(blocking=False):
            LOG.info("%s: prepare is already under way", CONF.guest_id)
            return
        try:
            self._prepare(context, PrepareRequest(
                packages=_as_list(packages), databases=databases or [], memory_mb=memory_mb, users=users or [],
                device_path=device_path, mount_point=mount_point, backup_info=backup_info,
                config_contents=config_contents, root_password=root_password, overrides=overrides or {},
                cluster_config=cluster_config, snapshot=snapshot, modules=modules or []))
        finally:
            self._preparing.release()

    def _prepare(self, context, request):
        if self.status.prepare_completed:
            LOG.info("%s: prepare was done before, reporting again", CONF.guest_id)
            self.status.report_real_status(force=True)
            return
        LOG.info("%s: preparing %s", CONF.guest_id, self.manager)
        try:
            self.status.begin_install()
            with self._lifecycle:
                self.do_prepare(context, request)
        except Exception as error:
            LOG.exception("%s: prepare failed", CONF.guest_id)
            self.status.end_install(error_occurred=True, cause=exception.sentence(self._explained(error)))
            raise
        # Before the end is noted and reported: whoever sees the instance active finds its users, and an agent that
        # dies here does all of it again.
        if not request.cluster_config:
            if request.databases:
                self._try_to(self.create_database, context, request.databases)
            if request.users:
                self._try_to(self.create_user, context, request.users)
            if request.root_password and not request.backup_info:
                self._try_to(self.enable_root_with_password, context, request.root_password)
        self.status.end_install(post_processing=bool(request.cluster_config), facts=self._volume_facts())
        LOG.info("%s: %s is prepared", CONF.guest_id, self.manager)
        try:
            self.post_prepare(context, request)
        except Exception:
            LOG.exception("%s: the work after prepare failed", CONF.guest_id)
            raise

    def _try_to(self, command, context, argument):
        """Part of prepare whose failure leaves a server that is of use."""
        try:
            command(context, argument)
        except Exception:  # noqa: BLE001 - the instance is kept, the log says what is missing
            LOG.exception("%s: %s failed during prepare", CONF.guest_id, command.__name__)

    @rpc.expose
    def rpc_ping(self, context):
        """Whether the agent answers."""
        return True

    @rpc.expose
    def rotate_secrets(self, context, generation, sealed):
        """Replace the agent's own secrets and start the agent, not the server, with them.

        Raises Conflict while it does something else that the end of the agent would cut off.
        """
        with self._idle():
            if secrets.replace(generation, sealed):
                self.start_again()

    @rpc.expose
    def install_certificate(self, context, sealed):
        """Let the database server use a key and a certificate, from now on and without a restart."""
        self._operate("install_certificate", secrets.unseal(sealed))

    def start_again(self):
        """Called when the agent must be started with other files; the process that owns this manager replaces it."""

    @contextlib.contextmanager
    def _idle(self):
        with contextlib.ExitStack() as held:
            working = [self.backups.working] if self.backups is not None else []
            for lock in (self._preparing, self._lifecycle, self._administration, *working):
                if not lock.acquire(blocking=False):
                    raise exception.Conflict("The guest is busy with something else.")
                held.callback(lock.release)
            yield

    # Databases and users

    @rpc.expose
    def create_database(self, context, databases):
        """Make databases."""
        return self._administer("create_database", databases)

    @rpc.expose
    def delete_database(self, context, database):
        """Drop a database."""
        return self._administer("delete_database", database)

    @rpc.expose
    def list_databases(self, context, limit=None, marker=None, include_marker=False):
        """A page of databases and the marker of the next."""
        return self._administer("list_databases", limit, marker, include_marker)

    @rpc.expose
    def create_user(self, context, users):
        """Make users."""
        return self._administer("create_user", users)

    @rpc.expose
    def delete_user(self, context, user):
        """Drop a user."""
        return self._administer("delete_user", user)

    @rpc.expose
    def get_user(self, context, username, hostname):
        """A user, or None."""
        return self._administer("get_user", username, hostname)

    @rpc.expose
    def list_users(self, context, limit=None, marker=None, include_marker=False):
        """A page of users and the marker of the next."""
        return self._administer("list_users", limit, marker, include_marker)

    @rpc.expose
    def change_passwords(self, context, users):
        """Set passwords."""
        return self._administer("change_passwords", users)

    @rpc.expose
    def update_attributes(self, context, username, hostname, user_attrs):
        """Change name, host or password of a user."""
        return self._administer("update_attributes", username, hostname, user_attrs)

    @rpc.expose
    def list_access(self, context, username, hostname):
        """The databases that a user may use."""
        return self._administer("list_access", username, hostname)

    @rpc.expose
    def grant_access(self, context, username, hostname, databases):
        """Let a user use databases."""
        return self._administer("grant_access", username, hostname, databases)

    @rpc.expose
    def revoke_access(self, context, username, hostname, database):
        """Take a user's right to use a database."""
        return self._administer("revoke_access", username, hostname, database)

    @rpc.expose
    def enable_root(self, context):
        """Enable root with a fresh password."""
        return self._enable_root(context, None)

    @rpc.expose
    def enable_root_with_password(self, context, root_password=None):
        """Enable root with a given password."""
        return self._enable_root(context, root_password)

    def _enable_root(self, context, password):
        user = self._administer_root("enable_root", password)
        try:
            conductor_api.API(context).report_root(CONF.guest_id, context.user_id)
        except rpc.DeliveryFailure as error:
            LOG.warning("%s: could not report that root was enabled: %s", CONF.guest_id, error)
        return user

    @rpc.expose
    def disable_root(self, context):
        """Disable root."""
        return self._administer_root("disable_root")

    @rpc.expose
    def is_root_enabled(self, context):
        """Whether root may log in over the network."""
        return self._administer_root("is_root_enabled")

    # The server

    @rpc.expose
    def restart(self, context):
        """Restart the server."""
        return self._operate("restart")

    @rpc.expose
    def stop_db(self, context, do_not_start_on_reboot=False):
        """Stop the server."""
        return self._operate("stop_db", do_not_start_on_reboot)

    @rpc.expose
    def start_db_with_conf_changes(self, context, config_contents):
        """Start the server with another configuration."""
        return self._operate("start_db_with_conf_changes", config_contents)

    @rpc.expose
    def reset_configuration(self, context, configuration):
        """Write another configuration and leave the server alone."""
        return self._operate("reset_configuration", configuration)

    @rpc.expose
    def update_overrides(self, context, overrides, remove=False):
        """Write the values of the configuration group."""
        return self._operate("update_overrides", overrides, remove)

    @rpc.expose
    def apply_overrides(self, context, overrides):
        """Set values in the running server."""
        return self._operate("apply_overrides", overrides)

    # The volume

    @rpc.expose
    def mount_volume(self, context, device_path=None, mount_point=None):
        """Mount the data volume."""
        with self._lifecycle:
            volume.VolumeDevice(self._device(device_path)).mount(self._mount_point(mount_point))

    @rpc.expose
    def unmount_volume(self, context, device_path=None, mount_point=None):
        """Unmount the data volume."""
        with self._lifecycle:
            volume.VolumeDevice(self._device(device_path)).unmount(self._mount_point(mount_point))

    @rpc.expose
    def resize_fs(self, context, device_path=None, mount_point=None, online=False, size=None):
        """Let the file system fill its volume, which is to have ``size`` GB; online: only if it can stay mounted."""
        with self._lifecycle:
            device = volume.VolumeDevice(self._device(device_path))
            return device.resize_fs(self._mount_point(mount_point), online, size)

    def _device(self, device_path):
        return device_path or CONF[self.manager].device_path

    def _mount_point(self, mount_point):
        return mount_point or CONF[self.manager].mount_point

    @rpc.expose
    def get_filesystem_stats(self, context, fs_path=None):
        """Sizes of the file system of the data (``fs_path`` is ignored); total, free and used in GB."""
        stats = os.statvfs(CONF[self.manager].mount_point)
        total, free = stats.f_blocks * stats.f_frsize, stats.f_bfree * stats.f_frsize
        return {"block_size": stats.f_bsize, "total_blocks": stats.f_blocks, "free_blocks": stats.f_bfree,
                "total": round(total / GB, 2), "free": round(free / GB, 2), "used": round((total - free) / GB, 2)}

    # The guest

    @rpc.expose
    def get_hwinfo(self, context):
        """Memory in kB and number of processors."""
        return {"mem_total": _proc_numbers("/proc/meminfo")["MemTotal"], "num_cpus": os.cpu_count()}

    @rpc.expose
    def get_diagnostics(self, context):
        """Version of the agent and its own memory in kB."""
        numbers = _proc_numbers("/proc/self/status")
        return {"version": version.version_string(), "fd_size": numbers["FDSize"], "vm_size": numbers["VmSize"],
                "vm_peak": numbers["VmPeak"], "vm_rss": numbers["VmRSS"], "vm_hwm": numbers["VmHWM"],
                "threads": numbers["Threads"]}

    # Backups

    @rpc.expose
    def create_backup(self, context, backup_info):
        """Take a backup and report how it went."""
        return self._call(self.backups, "create_backup", context, backup_info)

    @rpc.expose
    def begin_archive(self, context, archive, backup_type):
        """Archive logs from now on."""
        return self._call(self.archiver, "begin_archive", archive, backup_type)

    @rpc.expose
    def renew_archive(self, context, archive_id, archive):
        """Give new signatures for the archive of logs, or end it."""
        return self._call(self.archiver, "renew_archive", archive_id, archive)

    # Logs

    @rpc.expose
    def guest_log_list(self, context):
        """Every log, with how far it was published."""
        return self._call(self.logs, "list_logs")

    @rpc.expose
    def guest_log_action(self, context, log_name, enable=False, disable=False, publish=False, discard=False,
                         storage=None):
        """Turn a log on or off, forget what was published of it, or publish it."""
        with self._lifecycle if enable or disable else contextlib.nullcontext():
            return self._call(self.logs, "act", log_name, enable, disable, publish, discard, storage)

    # Clusters

    @rpc.expose
    def cluster_complete(self, context):
        """The cluster is complete: from now on the real status is reported."""
        self.status.end_install()


def _as_list(packages):
    """Packages as a list; the datastore's row has them as one text."""
    if isinstance(packages, str):
        packages = packages.replace(",", " ").split()
    return [package for package in packages or [] if package]


def _proc_numbers(path):
    """The numbers in a file of /proc with lines ``Name: number unit``."""
    numbers = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            name, _, rest = line.partition(":")
            first = rest.split()[:1]
            if first and first[0].isdigit():
                numbers[name] = int(first[0])
    return numbers
