"""The status of a guest's database server, and when it is reported: one object per agent, owned by the base Manager.

Two files in ``guest_state_dir`` tell how far prepare is; they survive the agent. Nothing but the forced reports of an
installation leaves the guest before the end file exists, so that a build never looks like anything else.
"""
import abc
import threading
import time

from oslo_log import log as logging

from trove import rpc, version
from trove.common.cfg import CONF
from trove.common.context import TroveContext
from trove.common.instance import ServiceStatuses
from trove.conductor import api as conductor_api
from trove.guestagent.common import operating_system
from trove.guestagent.common.waiting import wait_until

LOG = logging.getLogger(__name__)


class BaseDbStatus(abc.ABC):
    """The status of the server and its reports to the conductor. ``status`` is the last ServiceStatus reported."""

    PREPARE_START_FILENAME = ".guestagent.prepare.start"
    PREPARE_END_FILENAME = ".guestagent.prepare.end"

    def __init__(self):
        self.status = None
        self.restart_mode = False
        self._prepare_completed = None
        self._unsent = None
        self._replication = None
        self._seconds_behind = None
        self._facts = {}
        self._last_sent = 0.0
        # Reports come from commands and from the heartbeat; one at a time keeps them in the order of their times.
        self._reporting = threading.Lock()

    @abc.abstractmethod
    def get_actual_db_status(self):
        """The ServiceStatus that the server is really in, found by looking."""

    # Markers

    @property
    def prepare_completed(self):
        """Whether prepare once came to its end here. Looked up once; whoever changes the file calls ``forget``."""
        if self._prepare_completed is None:
            self._prepare_completed = (operating_system.state_dir() / self.PREPARE_END_FILENAME).is_file()
        return self._prepare_completed

    def forget(self):
        """Look at the end file again at the next question."""
        self._prepare_completed = None

    def begin_install(self):
        """Called right before prepare does its work: notes the start and reports BUILDING."""
        operating_system.write_file(operating_system.state_dir() / self.PREPARE_START_FILENAME, "")
        self.forget()
        self.set_status(ServiceStatuses.BUILDING, force=True)

    def end_install(self, error_occurred=False, post_processing=False, cause=None, facts=None):
        """Called when prepare is through: notes the end and reports the real status, or what it is instead.

        error_occurred: report FAILED, prepare may come again; cause: text for the user then;
        post_processing: report INSTANCE_READY, the rest comes with ``cluster_complete``; facts: as of ``update``, so
        that whoever sees the instance active sees them too.
        """
        self._facts = facts or {}
        if error_occurred:
            self.set_status(ServiceStatuses.FAILED, force=True, cause=cause)
        elif post_processing:
            self.set_status(ServiceStatuses.INSTANCE_READY, force=True)
        else:
            operating_system.write_file(operating_system.state_dir() / self.PREPARE_END_FILENAME, "")
            self.forget()
            self.report_real_status(force=True)

    # Restart mode

    def begin_restart(self):
        """Keep silent while the server is stopped and started inside one command."""
        self.restart_mode = True

    def end_restart(self):
        """Report again, and at once."""
        self.restart_mode = False
        self.report_real_status()

    # Reports

    def report_real_status(self, force=False):
        """Look at the server and report what it is doing."""
        status = self.get_actual_db_status()
        LOG.info("%s: the database server is %s", CONF.guest_id, status.description)
        self.set_status(status, force=force)

    def set_status(self, status, force=False, cause=None):
        """Report a ServiceStatus to the conductor; before the end of prepare only with ``force``.

        cause: text for the user that goes with a failure.
        A forced report that the bus does not take is kept and sent by the next ``update``.
        """
        if not (force or self.prepare_completed):
            LOG.debug("prepare has not completed, %s is not reported", status.description)
            return
        with self._reporting:
            payload = {"service_status": status.description, "agent_version": version.version_string()}
            if cause:
                payload["cause"] = cause
            if self._replication:
                payload["replication"] = self._replication
            if self._facts:
                payload["facts"] = self._facts
            if self._seconds_behind:
                payload["seconds_behind"] = self._seconds_behind
            self._unsent = (status, cause) if force else None
            try:
                conductor_api.API(TroveContext.current()).heartbeat(
                    CONF.guest_id, payload, self._time_of_report(), kept=force)
            except rpc.DeliveryFailure as error:
                LOG.warning("%s: could not report %s: %s", CONF.guest_id, status.description, error)
                return
            self._unsent = None
            if status != self.status:
                LOG.info("%s: reported %s (before: %s)", CONF.guest_id, status.description,
                         self.status.description if self.status else "nothing")
            self.status = status

    def _report_clock(self):
        with self._reporting:
            try:
                conductor_api.API(TroveContext.current()).heartbeat(
                    CONF.guest_id, {"seconds_behind": self._seconds_behind}, self._time_of_report(), kept=False)
            except rpc.DeliveryFailure as error:
                LOG.warning("%s: could not report that the clock is behind: %s", CONF.guest_id, error)

    def _time_of_report(self):
        # The conductor drops what is not newer than the last report; a clock that is set back must not silence us.
        self._last_sent = max(time.time(), self._last_sent + 0.001)
        return self._last_sent

    def update(self, replication=None, seconds_behind=None, facts=None):
        """The heartbeat: report the real status, or what could not be sent before.

        replication: health of a replica, for this and the next reports; seconds_behind: by which this guest's clock
        is behind as commands show, or None. That is reported even before prepare, which may not come through for it.
        facts: what else the control plane is to know, see ``trove.instance.health``.
        """
        self._replication = replication
        self._seconds_behind = seconds_behind
        self._facts = facts or {}
        unsent = self._unsent
        if self.prepare_completed:
            status = self.get_actual_db_status()
            # Asked after the look: a restart that began meanwhile must not show.
            if not self.restart_mode:
                self.set_status(status)
        elif unsent is not None:
            self.set_status(unsent[0], force=True, cause=unsent[1])
        elif seconds_behind:
            self._report_clock()

    # Waiting

    def wait_for(self, *statuses):
        """Wait until the server is in one of ``statuses``.

        Raises PollTimeOut after state_change_wait_time seconds. The pauses grow up to state_change_poll_time.
        """
        seen = None

        def arrived():
            nonlocal seen
            seen = self.get_actual_db_status()
            return seen in statuses

        wait_until(arrived, lambda: f"The server's change from {seen.description} to {statuses[0].description}",
                   pause=0.02, longest=CONF.state_change_poll_time)
        return seen
