"""trove-taskmanager: carries out operations; the only process that talks to the cloud."""
import threading

from oslo_log import log as logging

from trove import rpc
from trove.cmd import common
from trove.common import profile, tls
from trove.common.cfg import CARDS, CONF
from trove.common.strategies import strategy
from trove.network import base as network
from trove.notification import models as notifications
from trove.notification import sender
from trove.security_event import store as security_events
from trove.taskmanager import archiving, audit, bus_audit, flows, reconcile, revival, rotation
from trove.taskmanager.runner import Periodic, Runner
from trove.taskmanager.steps import bus

LOG = logging.getLogger(__name__)

# From this compute API microversion on, Nova accepts no files in the request that creates a server.
_NO_FILES_FROM = (2, 57)


def main():
    """Serve until SIGTERM or SIGINT, then end what is under way and let others take the rest."""
    common.read_configuration(common.SHARED_FILE, "/etc/trove/trove-taskmanager.conf",
                              secrets=("operation_key", "nova_proxy_admin_pass"))
    _check_options()
    profile.setup("taskmanager", CONF.host)
    common.configure_database()
    security_events.start()
    ending = common.Ending()
    runner = Runner(flows.FLOWS)
    manager = strategy.load(CONF.taskmanager_manager, option="taskmanager_manager")(runner)
    periodic = [Periodic("servers", lambda: _look_at_servers(runner), lambda: CONF.reconcile_interval),
                Periodic("volumes", reconcile.look_at_volumes, lambda: CONF.reconcile_interval),
                Periodic("containers of backups", reconcile.look_at_backups, lambda: CONF.backup_audit_interval),
                Periodic("archives of logs", archiving.look_at_archives, lambda: CONF.archive_audit_interval),
                Periodic("old operations", reconcile.forget_old_operations, lambda: CONF.reconcile_interval),
                Periodic("guests' secrets", lambda: rotation.rotate_due(runner.wake),
                         lambda: CONF.tls.rotation_interval),
                Periodic("old security events", security_events.forget_old, lambda: CONF.reconcile_interval),
                Periodic("notifications", sender.send_waiting, lambda: CONF.notification_send_interval)]
    if CONF.guest_bus.management_url:
        watch = bus_audit.Watch()
        periodic += [Periodic("accounts at the broker", bus_audit.audit, lambda: CONF.guest_bus.audit_interval),
                     Periodic("guests at the broker", watch.look, watch.pause)]
    if notifications.enabled():
        periodic += [Periodic("exists notifications", audit.tell_existing, lambda: CONF.report_interval),
                     Periodic("quota notifications", audit.tell_quotas, lambda: CONF.report_interval)]
    server = rpc.get_server(CONF.taskmanager_queue, CONF.host, [manager])
    # Starting waits for the broker without end. Operations do not need it: the sweep finds what there is to do.
    listening = threading.Thread(target=server.start, name="bus", daemon=True)
    for part in (runner, *periodic, listening):
        part.start()
    LOG.info("trove-taskmanager serves the topic %s", CONF.taskmanager_queue)
    ending.wait()
    LOG.info("trove-taskmanager stops")
    leaving = threading.Thread(target=_leave_bus, args=(server, listening), name="leave bus", daemon=True)
    leaving.start()
    runner.stop()
    for part in periodic:
        part.stop(timeout=1)
    leaving.join(timeout=1)
    security_events.stop()


def _look_at_servers(runner):
    """Bring our rows up to date, and then start what is off and should not be."""
    reconcile.look_at_servers()
    revival.start_servers(runner.wake)


def _leave_bus(server, listening):
    """Take no more messages; with a dead broker this may last, so nobody waits for it long."""
    if not listening.is_alive():
        server.stop()
        server.wait()
        rpc.cleanup()


def _check_options():
    """Refuse to start with options that would only fail in the middle of a build. Raises SystemExit."""
    transformer = CONF.exists_notification_transformer
    common.check_paths(*common.factories("nova", "cinder", "neutron", "guest"),
                       *([(transformer, None, "exists_notification_transformer")] if transformer else []))
    common.check_cards()
    common.check_swift_user()
    found = [*bus.problems(), *tls.problems(signs=True)]
    if tuple(map(int, CONF.nova_client_version.split("."))) >= _NO_FILES_FROM:
        found.append(f"[DEFAULT] nova_client_version is {CONF.nova_client_version}: set it to 2.56 or lower, because "
                     "Nova refuses the files that every guest needs (file injection) from 2.57 on")
    try:
        network.driver()
        for name in CARDS:
            network.datastore_rules(name)
    except ValueError as error:
        found.append(str(error))
    if found:
        raise SystemExit("Cannot start: " + "; ".join(found) + ".")
    if not rpc.has_own_accounts():
        LOG.warning("[guest_bus] credentials = shared: every guest holds the account of all others")


if __name__ == "__main__":
    main()
