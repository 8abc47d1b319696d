"""Commands to the agent of an instance, and the wait for what it reports."""
from oslo_log import log as logging

from trove import rpc
from trove.backup.models import DBBackup
from trove.common import exception, template
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatuses
from trove.db.models import utcnow
from trove.instance.models import DBInstance, newest_fault, service_status
from trove.taskmanager.steps import archive, backup, compute, replication

LOG = logging.getLogger(__name__)

_BUILT = (ServiceStatuses.RUNNING, ServiceStatuses.INSTANCE_READY)
_SILENT = (ServiceStatuses.NEW, ServiceStatuses.BUILDING)
# prepare is sent again after guest_prepare_retry, twice that and so on, up to this many times it.
_LONGEST_RETRY = 8


def prepare(work):
    """Send the guest what to build. The message waits in the guest's queue until the guest is up."""
    if not rpc.has_own_accounts() and not work.data.get("queue_declared"):
        # Only before the first message: the listener that declares the queue would swallow what is in it.
        rpc.declare_queue(f"guestagent.{work.resource_id}", work.resource_id)
        work.note(queue_declared=True)
    _send_prepare(work)
    work.note(prepare_sent=work.now(), prepare_pause=CONF.guest_prepare_retry)


def wait_for_restore(work):
    """As ``wait_for_guest``, for an instance that is made from a backup, which takes longer; else nothing."""
    return wait_for_guest(work) if work.args.get("backup_id") else None


def wait_for_guest(work):
    """Look again until the guest has reported that its database runs.

    A message may be lost with a broker or an agent, so prepare is sent again while nothing is heard of its end;
    agents take that. Raises GuestError when the guest reported a failure, CloudError when its server failed.
    """
    with work.reading() as session:
        row = service_status(session, work.resource_id)
        cause = newest_fault(session, work.resource_id)
    status = row.status if row else ServiceStatuses.NEW
    if status in _BUILT:
        return None
    if status == ServiceStatuses.FAILED:
        raise exception.GuestError("The guest could not build the database server" + (
            f": {cause.message}" if cause else "; the log of its agent says why."))
    if work.waited > CONF.usage_sleep_time:
        compute.check_server(work)
    if status in _SILENT and work.now() - work.data["prepare_sent"] > work.data["prepare_pause"]:
        LOG.warning("instance %s: prepare is sent again, its status is still '%s'", work.resource_id,
                    status.description)
        _send_prepare(work)
        work.note(prepare_sent=work.now(), prepare_pause=min(
            2 * work.data["prepare_pause"], _LONGEST_RETRY * CONF.guest_prepare_retry))
    return work.again()


def restart(work):
    """Restart the database server; the guest answers when it is up again."""
    _client(work).restart()


def wait_for_running(work):
    """Look again until the guest has reported that its database runs."""
    with work.reading() as session:
        row = service_status(session, work.resource_id)
    return None if row is not None and row.status == ServiceStatuses.RUNNING else work.again()


def stop_for_resize(work):
    """Stop the database server; it stays off when the guest boots, until it is started with what fits then."""
    _client(work).stop_db(do_not_start_on_reboot=True)


def wait_for_agent(work):
    """Look again until the agent answers."""
    return _patiently(work, lambda client: client.rpc_ping())


def start_with_new_flavor(work):
    """Start the database server with the settings for the flavor that the server has got."""
    return _start(work, work.args["flavor"])


def start_with_old_flavor(work):
    """Start it again as it was, as soon as the agent answers."""
    return wait_for_agent(work) or _start(work, work.args["old_flavor"])


def _start(work, flavor):
    contents = _render(work, flavor)
    return _patiently(work, lambda client: client.start_db_with_conf_changes(contents)) or _note_restart(work)


def grow_mounted(work):
    """Let the file system fill its extended volume while the database runs, if volume and kernel allow it."""
    if work.data.get("attached_refused") or not CONF.volume_resize_attached:
        return None
    paths = _paths(work)

    def grow(client):
        work.data["grown"] = bool(client.resize_fs(**paths, online=True, size=work.args["size"]))
    return _patiently(work, grow)


def unmount_volume(work):
    """Unmount the data volume."""
    return _patiently(work, lambda client: client.unmount_volume(**_paths(work)))


def grow_unmounted(work):
    """Let the file system fill its extended volume while the database is down, and mount it."""
    return _patiently(work, lambda client: client.resize_fs(**_paths(work), size=work.args["size"])) or mount_volume(
        work)


def mount_volume(work):
    """Mount the data volume."""
    return _patiently(work, lambda client: client.mount_volume(**_paths(work)))


def start_again(work):
    """Start the database server that was stopped, as soon as the agent answers."""
    return wait_for_agent(work) or _patiently(work, lambda client: client.restart()) or _note_restart(work)


def _note_restart(work):
    work.data["restarted"] = True


def _paths(work):
    options = CONF[work.args["datastore"]["manager"]]
    return {"device_path": options.device_path, "mount_point": options.mount_point}


def _patiently(work, command):
    """Let the guest do what may take it longer than one answer may: it is asked again until it has answered.

    command: called with the client; may be repeated.
    """
    try:
        command(_client(work))
    except exception.GuestTimeout:
        LOG.info("instance %s: its guest did not answer in time and is asked again", work.resource_id)
        return work.again()
    return None


def stop(work):
    """Stop the database server; the guest answers when it is down."""
    _client(work).stop_db()


def stop_database(work):
    """Let the database server end cleanly before its server is deleted, if the guest is alive; errors do not matter."""
    with work.reading() as session:
        row = service_status(session, work.resource_id)
        has_server = bool(DBInstance.get(session, work.resource_id).compute_instance_id)
    if not (has_server and row is not None and row.status == ServiceStatuses.RUNNING and row.updated_at
            and (utcnow() - row.updated_at).total_seconds() < CONF.agent_heartbeat_expiry):
        return
    try:
        _client(work).stop_db()
    except exception.GuestError as error:
        LOG.info("instance %s: its database was not stopped before it is deleted: %s", work.resource_id, error)


def _client(work):
    return work.guest(work.resource_id)


def _render(work, flavor):
    datastore = work.args["datastore"]
    return template.render(datastore["manager"], datastore["name"], datastore["version"], flavor, work.resource_id)


def _send_prepare(work):
    args, secrets = work.args, work.secrets()
    datastore, flavor = args["datastore"], args["flavor"]
    options = CONF[datastore["manager"]]
    has_volume = bool(args["volume_size"])
    backup_info = None
    if args.get("backup_id"):
        with work.reading() as session:
            # A snapshot for replicas stands alone, and its row is not to be found.
            chain = ([session.get(DBBackup, args["backup_id"])] if args.get("replica_of")
                     else backup.chain(session, args["backup_id"]))
        backup_info = backup.restore_info(chain)
        if args.get("point"):
            with work.reading() as session:
                backup_info["archive"] = archive.restore_info(session, args["point"])
    _client(work).prepare(
        packages=datastore["packages"], databases=args["databases"], memory_mb=flavor["ram"],
        users=secrets.get("users", []), device_path=options.device_path if has_volume else None,
        mount_point=options.mount_point if has_volume else None, backup_info=backup_info,
        config_contents=_render(work, flavor),
        root_password=secrets.get("root_password"), overrides=args["overrides"], cluster_config=None,
        snapshot=replication.snapshot(work))
