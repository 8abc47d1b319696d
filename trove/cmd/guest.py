"""trove-guestagent: the agent inside an instance. One process: commands over the bus, and a heartbeat.

It needs no broker to come up: the database server is started first, and the bus is waited for as long as it takes.
"""
import os
import random
import signal
import sys
import threading
from pathlib import Path

from oslo_log import log as logging

from trove import rpc
from trove.common import cfg
from trove.common.cfg import CONF
from trove.guestagent import dbaas
from trove.guestagent.common import obeyed, spans

LOG = logging.getLogger(__name__)

CONFIG_DIR = "/etc/trove/conf.d"
# In guest_state_dir.
OBEYED_FILE = "commands"
# Seconds for commands in progress to end after SIGTERM. What is cut off is done again when it is sent again.
DRAIN_TIME = 20
# A heartbeat comes up to this share of its interval sooner or later. Guests that started together, after a power cut or
# a broker's return, do not go on reporting at the same moment.
JITTER = 0.05


def read_configuration(argv=None):
    """Parse the command line and the injected files. Raises SystemExit with a sentence about what is missing."""
    default = [CONFIG_DIR] if Path(CONFIG_DIR).is_dir() else []
    cfg.parse_args(sys.argv[1:] if argv is None else argv, default_config_files=[], default_config_dirs=default)
    for name in ("guest_id", "datastore_manager"):
        if not CONF[name]:
            raise SystemExit(f"Cannot start: set [DEFAULT] {name}; it belongs into a file in {CONFIG_DIR}.")
    cfg.require_secret("guest_key")
    rpc.require_broker_password()
    options = CONF.oslo_messaging_rabbit
    for name in ("ssl_ca_file", "ssl_cert_file", "ssl_key_file") if options.ssl else ():
        if options[name] and not os.access(options[name], os.R_OK):
            raise SystemExit(f"Cannot start: [oslo_messaging_rabbit] {name}: {options[name]} cannot be read.")
    if options.ssl and not options.ssl_ca_file:
        raise SystemExit("Cannot start: set [oslo_messaging_rabbit] ssl_ca_file: without it nothing verifies the "
                         "broker.")


def hide_configuration():
    """The injected files hold this guest's keys: the database server, which users command, must not read them."""
    for directory in CONF.config_dirs or []:
        for path in Path(directory).glob("*"):
            path.chmod(0o600)


def pause(interval):
    """Return the seconds until the next heartbeat, about ``interval`` seconds, each time others."""
    return interval * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


class Agent:
    """The parts of the process: manager, RPC server, heartbeat."""

    def __init__(self):
        try:
            self.manager = dbaas.load_manager(CONF.datastore_manager)
        except ValueError as error:
            raise SystemExit(f"Cannot start: {error}.") from error
        rpc.become_guest(CONF.guest_id)
        gate = obeyed.Gate(CONF.guest_key, Path(CONF.guest_state_dir) / OBEYED_FILE)
        self.manager.seconds_behind = gate.obeyed.seconds_behind
        self.server = rpc.get_server(
            f"guestagent.{CONF.guest_id}", CONF.guest_id, [self.manager, *self.manager.endpoints], gate=gate,
            around=spans.command)
        self.manager.start_again = self._start_again
        self.renewing = self.told_to_stop = False
        self.stopping = threading.Event()
        self.brought_up = threading.Event()
        self.serving = threading.Event()
        self.failure = None

    def run(self):
        """Serve until told to stop. Returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._end())
        for work in (self._serve, self._beat, self._archive):
            threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True).start()
        self.stopping.wait()
        if self.failure:
            LOG.error("Cannot start: %s", self.failure)
            return 1
        if self.serving.is_set():
            stopper = threading.Thread(target=self._stop, name="stop", daemon=True)
            stopper.start()
            stopper.join(DRAIN_TIME)
        LOG.info("%s: the agent stopped", CONF.guest_id)
        return 0

    def _end(self):
        self.told_to_stop = True
        self.stopping.set()

    def _start_again(self):
        self.renewing = True
        self.stopping.set()

    def _serve(self):
        try:
            self.manager.start_of_agent()
        except Exception:
            # The agent is of use all the same: it reports what it sees and takes commands.
            LOG.exception("%s: the database server could not be brought up", CONF.guest_id)
        self.brought_up.set()
        try:
            self.server.start()
        except rpc.REFUSALS as error:
            # No wait inside mends it; while a broker cannot be reached the library goes on by itself.
            self.failure = (f"the broker refuses what the agent needs ({error}). The user of [DEFAULT] transport_url "
                            f"must exist and be allowed the topic guestagent.{CONF.guest_id}.")
        except Exception as error:
            LOG.exception("%s: the RPC server did not start", CONF.guest_id)
            self.failure = f"the RPC server did not start: {error}"
        if self.failure:
            self.stopping.set()
            return
        self.serving.set()
        LOG.info("%s: the agent takes commands for %s", CONF.guest_id, CONF.datastore_manager)

    def _beat(self):
        self.brought_up.wait(CONF.report_interval)
        while True:
            try:
                self.manager.update_status()
            except Exception:
                LOG.exception("%s: a heartbeat failed", CONF.guest_id)
            if self.stopping.wait(pause(CONF.report_interval)):
                return

    def _archive(self):
        self.brought_up.wait()
        self.manager.fill_archive(self.stopping)

    def _stop(self):
        self.server.stop()
        self.server.wait()


def main():
    """Serve until SIGTERM or SIGINT."""
    read_configuration()
    hide_configuration()
    agent = Agent()
    code = agent.run()
    sys.stderr.flush()
    if agent.renewing and not agent.told_to_stop:
        # The same process starts anew with its new files: everything that it had read or opened is gone.
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - its own command line
    # Threads of the library may wait for a broker that does not come back: they do not keep the process.
    os._exit(code)


if __name__ == "__main__":
    main()
