"""The base of all database servers in a guest: files, volume, data directory, configuration, starting and stopping.

An engine implements the abstract methods and extends those that say so. Every method may be repeated after a death of
the agent anywhere in it. The recipe of prepare (``prepare``) calls the parts in their order.
"""
import abc
import contextlib
from dataclasses import dataclass
from pathlib import Path

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatuses
from trove.guestagent import volume
from trove.guestagent.common import operating_system

LOG = logging.getLogger(__name__)

# Where an image may bring a data directory that guests copy.
TEMPLATE = Path("/opt/trove/data")


@dataclass(frozen=True)
class Layout:
    """Where the files of a server are in a guest; an engine gives the defaults.

    mount_point: of the data volume; the data lies below it, beside the volume's lost+found; config_file: the base file
    of the configuration; run_dir: of sockets and the like, empty after a boot; template: a data directory that images
    may bring, from which new ones are copied; log_file: the server's own log; user: the system's user that the server
    runs as.
    """

    mount_point: Path
    config_file: Path
    run_dir: Path
    template: Path
    log_file: Path
    user: str

    @property
    def data(self):
        """The data directory."""
        return self.mount_point / "data"


class Server(abc.ABC):
    """The one database server of this guest.

    layout: Layout; status: BaseDbStatus, which looks at this server; configuration: Layers, its configuration files.
    """

    # The Layout of the engine, whose only field without a default is mount_point.
    layout_class = Layout
    STAY_DOWN_FILENAME = ".guestagent.stay.down"
    # Patterns of the names in a data directory that make one server differ from another; they are not copied.
    identity = ()

    def __init__(self, layout, status, configuration):
        self.layout = layout
        self.status = status
        self.configuration = configuration

    # What every engine implements

    @property
    @abc.abstractmethod
    def service(self):
        """What starts and stops the process, of ``host_service``; the same object every time."""

    @abc.abstractmethod
    def is_data(self, directory):
        """Return whether ``directory`` holds a data directory of this engine."""

    @abc.abstractmethod
    def initialise(self, directory):
        """Make an empty data directory at a path where nothing is. Raises ProcessError."""

    @abc.abstractmethod
    def secure(self, keep_root=False):
        """Make the agent's account in the running server and close every other way in.

        keep_root: leave root's access over the network as it is, for data that came from a backup.
        """

    @abc.abstractmethod
    def apply_overrides(self, overrides):
        """Set values ({name: value}, None for the server's own default) in the running server.

        Returns {name: reason} of those that the server rejected.
        """

    @abc.abstractmethod
    def write_certificate(self, text):
        """Let the server use a key and a certificate (PEM text, with the CA's) from its next start on."""

    @abc.abstractmethod
    def install_certificate(self, text):
        """Let the server use a key and a certificate (PEM text, with the CA's) from now on, without a restart."""

    # What an engine may add

    def write_own_configuration(self):  # noqa: B027 - an engine may need none
        """Write the settings that the agent needs, over those of the user. Called before the server starts."""

    def complete(self):  # noqa: B027 - a server may be complete as it is
        """Give the running server what users expect of it and what is not worth a failure of prepare."""

    def become_another(self, directory):  # noqa: B027 - leaving out what ``identity`` names may be enough
        """Make a copy of the image's data directory differ from the original, before it gets its name."""

    def held_back(self, overrides):
        """Return the names among ``overrides`` with which restored data may not start before ``complete``."""
        return set()

    def looking(self):
        """Return a context manager in which one thread looks at the server several times, for one heartbeat."""
        return contextlib.nullcontext()

    def look_after(self, idle, may_write):  # noqa: B027 - an engine may need nothing
        """Repair what the agent needs in the server; called with every heartbeat while nothing starts or stops it.

        idle: called without arguments, a context manager that keeps commands away, or raises Conflict while there are
        some; may_write: False while statements would wait for room on the volume.
        """

    def explain(self, error):  # noqa: B027 - the errors of a server may have sentences already
        """Return the error to raise in the place of one of the server or of a program, or None to raise that itself.

        Its text is what users see: the cause, and what they can do.
        """

    def facts(self):
        """Return what the control plane is to know of the server, as a dict for the heartbeat."""
        return {}

    # Volume, configuration and data, as prepare makes them

    @property
    def _packaged(self):
        """Where the data directory that the package came with stays visible once the volume is mounted over it."""
        return operating_system.state_dir() / "packaged"

    def prepare_volume(self, device_path):
        """Format the volume if it is new and mount it where the data belongs."""
        device = volume.VolumeDevice(device_path)
        device.format()
        packaged = self.layout.mount_point
        if self._find_template() == packaged and volume.mounted_device(packaged) is None:
            self._packaged.mkdir(exist_ok=True)
            if volume.mounted_device(self._packaged) is None:
                operating_system.run(["mount", "--bind", str(packaged), str(self._packaged)])
        device.mount(self.layout.mount_point)

    def _find_template(self):
        """Return a data directory of the image from which to make this guest's, or None."""
        for directory in (self.layout.template, self._packaged, self.layout.mount_point):
            if self.is_data(directory):
                return directory
        return None

    def write_configuration(self, contents, overrides):
        """Write the configuration, the user's overrides over it, and the agent's own settings over both."""
        if contents:
            self.configuration.save_configuration(contents)
        self.configuration.apply_override(overrides)
        self.write_own_configuration()

    def prepare_data(self, fill=None):
        """Make the data directory: from the image's template, or by the engine's own means. One that is there is kept.

        fill: called with an empty directory instead, to put the data there.
        It appears under its name in one step when it is complete.
        """
        layout = self.layout
        operating_system.make_directory(layout.run_dir, layout.user, 0o755)
        operating_system.make_directory(layout.mount_point, layout.user, 0o751)
        if layout.data.exists():
            return
        new = layout.mount_point / "data.new"
        operating_system.remove_tree(new)
        template = self._find_template()
        if fill:
            operating_system.make_directory(new, layout.user)
            fill(new)
        elif template:
            operating_system.copy_tree(template, new, without=("data", "data.new", "lost+found", *self.identity))
            self.become_another(new)
        else:
            self.initialise(new)
        operating_system.change_owner(new, layout.user)
        operating_system.run(["sync", "-f", str(new)])
        new.rename(layout.data)
        operating_system.sync_directory(layout.mount_point)
        if self._packaged.exists() and volume.mounted_device(self._packaged) is not None:
            operating_system.run(["umount", str(self._packaged)])

    # Starting and stopping

    @property
    def _stay_down(self):
        return operating_system.state_dir() / self.STAY_DOWN_FILENAME

    def start(self):
        """Start the server and wait until it answers. Raises ProcessError, PollTimeOut, or TroveError if it dies.

        An engine that must tidy up before a start extends it.
        """
        operating_system.make_directory(self.layout.run_dir, self.layout.user, 0o755)
        self._stay_down.unlink(missing_ok=True)
        try:
            self.service.start()
            status = self.status.wait_for(ServiceStatuses.RUNNING, ServiceStatuses.SHUTDOWN, ServiceStatuses.CRASHED)
            if status != ServiceStatuses.RUNNING:
                raise exception.TroveError("The database server ended right after its start; its own log says why.")
        except exception.TroveError:
            self._end_stalled()
            raise

    def _end_stalled(self):
        """Stop a server that did not come up: it must not be left half started."""
        try:
            self.service.stop()
        except exception.TroveError as error:
            LOG.warning("%s: could not end the server that failed to start: %s", CONF.guest_id, error)

    def stop(self):
        """Stop the server and wait until it is gone. Raises ProcessError or PollTimeOut."""
        self.service.stop()
        self.status.wait_for(ServiceStatuses.SHUTDOWN, ServiceStatuses.CRASHED)

    def start_at_boot(self):
        """Start the server unless it was to stay down or runs already. Returns whether it was started.

        An engine that has more to do after a boot extends it.
        """
        if self._stay_down.exists() or self.status.get_actual_db_status() == ServiceStatuses.RUNNING:
            return False
        self.start()
        return True

    # Commands

    def restart(self):
        """Stop and start; nothing is reported in between."""
        self.status.begin_restart()
        try:
            self.stop()
            self.start()
        finally:
            self.status.end_restart()

    def stop_db(self, do_not_start_on_reboot=False):
        """Stop the server; on demand the agent leaves it off when the guest boots."""
        if do_not_start_on_reboot:
            operating_system.write_file(self._stay_down, "")
        self.stop()
        self.status.report_real_status()

    def start_db_with_conf_changes(self, config_contents):
        """Replace the base configuration, keep what lies over it, and start the server with both."""
        self.configuration.save_configuration(config_contents, keep_overrides=True)
        self.restart()

    def reset_configuration(self, configuration):
        """Replace the base configuration, remove what lies over it, and leave the server alone.

        configuration: {"config_contents": text}.
        """
        self.configuration.save_configuration(configuration["config_contents"])

    def update_overrides(self, overrides, remove=False):
        """Let the layer of the configuration group have exactly these values ({name: value}); remove: none."""
        self.configuration.apply_override({} if remove else overrides)
