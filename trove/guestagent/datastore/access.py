"""How an agent keeps its way into the server: accounts that the tenant's root can drop, lock, rename or overwrite.

The base looks at them with every heartbeat and has them made again, without a restart of the server if that is
possible. An engine says what whole means, and how to repair.
"""
import abc
import contextlib
import threading
import time

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF

LOG = logging.getLogger(__name__)

# Seconds. The pause between two restarts doubles up to this.
_LONGEST_PAUSE = 24 * 3600


class Keeper(abc.ABC):
    """Keeps the accounts of one server. app: its Server.

    whole: whether the agent's account was as it should be at the last look, None before one; repairs: how often it was
    made again since the agent was started; reason: what is wrong with it, None when it was never made.
    """

    # What the engine's driver raises.
    errors = ()

    def __init__(self, app):
        self.app = app
        self.whole = None
        self.repairs = 0
        self.reason = None
        self._keeping = threading.Lock()
        self._restarted = None
        self._pause = 0.0

    @abc.abstractmethod
    def is_whole(self):
        """Return whether the agent's accounts are as it made them; None when the server does not answer."""

    @abc.abstractmethod
    def make_without_restart(self):
        """Make the agent's account, or repair it. Returns how it was done, or None when nobody may.

        Raises one of ``errors`` when the server does not answer.
        """

    @abc.abstractmethod
    def make_with_restart(self):
        """Make the agent's account by a restart of the server. Raises TroveError or one of ``errors``."""

    def keep_others(self):  # noqa: B027 - an engine may need none
        """Repair the further accounts that the agent needs."""

    def needs_restart(self):
        """Repair a damaged account without a restart of the server; return whether only a restart can.

        Returns False as well when the server does not answer: a plain restart helps then.
        """
        try:
            return self.is_whole() is False and self.make_without_restart() is None
        except (*self.errors, exception.TroveError) as error:
            LOG.warning("%s: the agent's account could not be repaired before a restart: %s", CONF.guest_id, error)
            return False

    def make(self):
        """Make the agent's account or repair it, with a restart of the server if nothing else works.

        Raises TroveError or one of ``errors``.
        """
        if not self.make_without_restart():
            self.make_with_restart()

    def keep(self, idle, may_write=True):
        """Look at the accounts, and repair them if they are damaged. Each damage is logged once.

        idle: called without arguments, a context manager that keeps commands away, or raises Conflict while there are
        some; may_write: False while statements would wait for room on the volume: they would be carried out later.
        """
        if not self._keeping.acquire(blocking=False):
            return
        try:
            before, self.whole = self.whole, self.is_whole()
            if self.whole is None:
                self.whole = before
            elif self.whole:
                if may_write:
                    self.keep_others()
            else:
                self._repair(idle, may_write, before is not False)
        except (*self.errors, exception.TroveError) as error:
            LOG.warning("%s: the accounts of the database server could not be repaired: %s", CONF.guest_id, error)
        finally:
            self._keeping.release()

    def _repair(self, idle, may_write, is_new):
        if is_new and self.reason:
            LOG.warning("%s: the agent's account in the database server is damaged: %s", CONF.guest_id, self.reason)
        if not may_write:
            return
        how = self.make_without_restart()
        if how is None:
            with contextlib.suppress(exception.Conflict):  # the next look comes soon
                how = self._restart(idle)
        if how is None:
            return
        self.whole = True
        if self.reason:
            self.repairs += 1
            LOG.warning("%s: the agent's account in the database server was repaired %s", CONF.guest_id, how)
        else:
            LOG.info("%s: the agent's account in the database server is kept from now on", CONF.guest_id)

    def _restart(self, idle):
        now = time.monotonic()
        if self._restarted is not None:
            since = now - self._restarted
            if since < self._pause:
                return None
            if since > 4 * self._pause:
                self._pause = 0.0
        with idle():
            LOG.warning("%s: nobody may repair the agent's account in the running server: it is restarted",
                        CONF.guest_id)
            self._restarted = now
            self._pause = min(max(2 * self._pause, CONF.access_restart_interval), _LONGEST_PAUSE)
            self.make_with_restart()
        return "by a restart of the server"
