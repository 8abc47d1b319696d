"""Starting and stopping a database server: through systemd where it is pid 1, else by the agent itself.

A server is never enabled in the init system: at boot the agent mounts the volume first and starts the server then,
so that it cannot come up on an empty directory below the mount point.
"""
import os
import pwd
import signal
import subprocess
import threading
from pathlib import Path

from oslo_log import log as logging

from trove.common.cfg import CONF
from trove.guestagent.common import operating_system
from trove.guestagent.common.waiting import wait_until

LOG = logging.getLogger(__name__)


def runs_systemd():
    """Whether systemd is pid 1 (the test that sd_booted(3) makes)."""
    return Path("/run/systemd/system").is_dir()


def get_service(unit, argv, log_file, user=None, stop_signal=signal.SIGTERM):
    """The way to drive a server here. unit: its systemd unit; where there is no systemd: argv: its command line, whose
    first word must be the first or second of the process, also when it is a script that starts the server; log_file:
    where it writes; user: of the system, for a server that does not change its user itself; stop_signal: that asks it
    to end.
    """
    return SystemdService(unit) if runs_systemd() else DirectService(unit, argv, log_file, user, stop_signal)


class SystemdService:
    """A unit of systemd."""

    def __init__(self, unit):
        self.unit = unit

    def _systemctl(self, *args, **kwargs):
        return operating_system.run(["systemctl", *args, self.unit], **kwargs)

    def start(self):
        """Start it and wait until it says that it is ready. Raises ProcessError."""
        self._systemctl("reset-failed", ok=(0, 1, 5))
        self._systemctl("start", timeout=CONF.state_change_wait_time)

    def stop(self):
        """Stop it and wait until it is gone; one that does not run is fine. Raises ProcessError."""
        self._systemctl("stop", timeout=CONF.state_change_wait_time, ok=(0, 5))

    def leave_to_agent(self):
        """Keep the init system from starting it at boot."""
        if self._systemctl("is-enabled", ok=(0, 1, 4)).strip() == "enabled":
            self._systemctl("disable", "--no-reload")

    def is_running(self):
        """Whether its main process is there."""
        return self._systemctl("show", "--property=ActiveState", "--value").strip() in (
            "active", "activating", "deactivating", "reloading")


class DirectService:
    """A server that is a process started by the agent; it outlives the agent and is found again by its pid file."""

    def __init__(self, name, argv, log_file, user=None, stop_signal=signal.SIGTERM):
        self.name = name
        self.argv = list(argv)
        self.log_file = Path(log_file)
        self.user = user
        self.stop_signal = stop_signal
        self._started = None  # subprocess.Popen, unless another agent started it

    @property
    def _pid_file(self):
        return operating_system.state_dir() / f"{self.name}.pid"

    def _pidfd(self):
        """A descriptor of the running process, or None. Numbers are used again: its program must be the server's."""
        text = operating_system.read_file(self._pid_file)
        if not text:
            return None
        pid = int(text)
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        # It need not have its own name yet: while a script makes way for the server it has none.
        if self._started is not None and self._started.pid == pid and self._started.poll() is None:
            return descriptor
        arguments = operating_system.read_file(f"/proc/{pid}/cmdline") or ""
        # Until a script has started the server its interpreter comes first.
        if self.argv[0] in arguments.split("\0")[:2]:
            return descriptor
        os.close(descriptor)
        return None

    def is_running(self):
        """Whether its process is there."""
        descriptor = self._pidfd()
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def start(self):
        """Start the process. Whether it serves is for the caller to see. Raises ProcessError."""
        if self.is_running():
            return
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.log_file.open("ab") as log:
                self._started = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                 start_new_session=True, **self._as_user())
        except OSError as error:
            raise operating_system.ProcessError(command=self.argv[0], code="not started", stderr=error) from error
        operating_system.write_file(self._pid_file, str(self._started.pid))
        # Somebody must wait for the process, or it stays a zombie when it ends.
        threading.Thread(target=self._started.wait, name=f"wait-{self.name}", daemon=True).start()

    def _as_user(self):
        """Return the arguments of Popen that change the user."""
        if self.user is None:
            return {}
        group = pwd.getpwnam(self.user).pw_gid
        return {"user": self.user, "group": group, "extra_groups": os.getgrouplist(self.user, group)}

    def stop(self):
        """Ask the process to end and wait until it is gone. Raises PollTimeOut."""
        descriptor = self._pidfd()
        if descriptor is None:
            return
        try:
            signal.pidfd_send_signal(descriptor, self.stop_signal)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)
        wait_until(lambda: not self.is_running(), f"The end of {self.name}")

    def leave_to_agent(self):
        """Nobody but the agent starts it."""
