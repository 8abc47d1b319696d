"""trove-conductor: writes what guests report; as many processes as wanted, each may die at any moment."""
import os

import cotyledon
from oslo_log import log as logging

from trove import rpc
from trove.cmd import common
from trove.common import profile
from trove.common.cfg import CONF
from trove.common.strategies import strategy
from trove.conductor import intake
from trove.security_event import store as security_events

LOG = logging.getLogger(__name__)


class Worker:
    """The intake of one process."""

    def __init__(self):
        profile.setup("conductor", CONF.host)
        common.configure_database()
        security_events.start()
        manager = strategy.load(CONF.conductor_manager, option="conductor_manager")()
        self._intake = intake.Intake(manager)
        self._intake.start()

    def stop(self):
        """Take no more reports and finish those that are being worked on."""
        self._intake.stop()
        rpc.cleanup()
        security_events.stop()
        LOG.info("trove-conductor stopped")


class _Service(cotyledon.Service):
    """A Worker in a child of cotyledon's manager, which starts another when it dies."""

    def __init__(self, worker_id):
        super().__init__(worker_id)
        self._worker = Worker()

    def terminate(self):
        common.show_stopping()
        self._worker.stop()


def main():
    """Serve until SIGTERM or SIGINT."""
    common.read_configuration(common.SHARED_FILE, "/etc/trove/trove-conductor.conf", secrets=("operation_key",))
    workers = CONF.trove_conductor_workers or os.cpu_count()
    if workers > 1:
        manager = cotyledon.ServiceManager()
        manager.add(_Service, workers=workers)
        manager.run()
        return
    ending = common.Ending()
    worker = Worker()
    ending.wait()
    worker.stop()


if __name__ == "__main__":
    main()
