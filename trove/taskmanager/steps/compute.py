"""Server of an instance. It is found by the id in the instance's row, else by the instance id in its metadata."""
from pathlib import Path

from oslo_log import log as logging

from trove.common import exception, remote
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatuses
from trove.db import guest_secrets
from trove.db import models as db_models
from trove.instance.models import DBInstance, set_service_status
from trove.taskmanager.steps import absence, files, network

LOG = logging.getLogger(__name__)

TAG = "trove_instance_id"
_REBOOTING = ("REBOOT", "HARD_REBOOT")
_GONE = ("DELETED", "SOFT_DELETED")


def create_server(work):
    """Ask for the server, once; whether it is up is another step's question."""
    if _recorded_id(work):
        return
    nova = remote.nova_client()
    # Whether an attempt of a process that died got through is asked only if there was one.
    server = find_server(nova, work.resource_id) if work.data.get("server_asked") else None
    if server is None:
        request = _request(work, nova)
        work.note(server_asked=True)
        server = nova.servers.create(**request)
    with work.writing() as session:
        instance = DBInstance.get(session, work.resource_id)
        instance.compute_instance_id = server.id
        instance.server_status = "BUILD"
    LOG.info("instance %s: server %s", work.resource_id, server.id)


def wait_for_server(work):
    """Look again until the server is ACTIVE, then keep its addresses. Raises CloudError when Nova failed."""
    server = check_server(work)
    if server.status != "ACTIVE":
        return work.again()
    with work.writing() as session:
        record(DBInstance.get(session, work.resource_id), server)
    return None


def check_server(work):
    """The server as Nova has it now. Raises CloudError when it is gone or failed."""
    server_id = _recorded_id(work)
    try:
        server = remote.nova_client().servers.get(server_id)
    except Exception as error:
        if remote.is_missing(error):
            raise exception.CloudError(reason=f"the server {server_id} has disappeared.") from error
        raise
    if server.status == "ERROR":
        fault = getattr(server, "fault", None) or {}
        raise exception.CloudError(reason=f"the server {server_id} failed: {fault.get('message', 'no cause given')}")
    return server


def reboot_server(work):
    """Ask for a reboot unless the server is in one; until its guest reports again, the database counts as paused."""
    server = check_server(work)
    if server.status in _REBOOTING:
        return
    with work.writing() as session:
        set_service_status(session, work.resource_id, ServiceStatuses.PAUSED)
    server.reboot("SOFT")


def start_server(work):
    """Ask for a start of a server that is off; until its guest reports again, the database counts as paused."""
    server = check_server(work)
    if server.status != "SHUTOFF":
        return None
    with work.writing() as session:
        set_service_status(session, work.resource_id, ServiceStatuses.PAUSED)
    try:
        server.start()
    except Exception as error:  # noqa: BLE001 - told apart by their status
        if not remote.is_conflict(error):
            raise
        return work.again()  # another start is under way
    return None


def delete_server(work):
    """Delete the server and look again until it is gone."""
    nova = remote.nova_client()
    server_id = _recorded_id(work)

    def find():
        server = nova.servers.get(server_id) if server_id else find_server(nova, work.resource_id)
        return None if server is None or server.status in _GONE else server

    def delete(server):
        if getattr(server, "OS-EXT-STS:task_state", None) != "deleting":
            nova.servers.delete(server.id)
    return absence.bring_about(work, find, delete)


def all_servers(nova):
    """Every server of the service project, in pages of at most reconcile_page_size (Nova may give less on a page)."""
    page = nova.servers.list(limit=CONF.reconcile_page_size)
    while page:
        yield from page
        page = nova.servers.list(marker=page[-1].id, limit=CONF.reconcile_page_size)


def find_server(nova, instance_id):
    """The server that was made for an instance, or None."""
    return next((server for server in all_servers(nova) if server.metadata.get(TAG) == instance_id), None)


def record(instance, server):
    """Keep status and addresses of a server in the instance's row, so that lists need not ask Nova."""
    instance.server_status = server.status.upper()
    instance.address_list = addresses(server)
    instance.server_seen = db_models.utcnow()


def addresses(server):
    """The addresses of a server: list of {"address", "network", "type"} (type: private or public)."""
    return [{"address": entry["addr"], "network": network_name,
             "type": "public" if entry.get("OS-EXT-IPS:type") == "floating" else "private"}
            for network_name, entries in sorted(server.addresses.items()) for entry in entries]


def _recorded_id(work):
    with work.reading() as session:
        return DBInstance.get(session, work.resource_id).compute_instance_id


def _request(work, nova):
    """The arguments of Nova's create."""
    args = work.args
    with work.reading() as session:
        volume_id = DBInstance.get(session, work.resource_id).volume_id
    injected, until = files.injected(work)
    if until is not None:
        with work.writing() as session:
            guest_secrets.record_certificate(session, work.resource_id, until)
    request = {
        "name": args["name"], "image": args["image_id"], "flavor": args["flavor"]["id"],
        "meta": {TAG: work.resource_id, "trove_operation": work.operation.id},
        "files": injected, "config_drive": CONF.use_nova_server_config_drive,
        "userdata": _user_data(args["datastore"]["manager"]),
        "availability_zone": args.get("availability_zone"), "nics": _nics(args, nova),
    }
    if CONF.trove_security_groups_support:
        request["security_groups"] = [network.group_name(work.resource_id)]
    if volume_id:
        # id:type:size:delete-on-terminate
        request["block_device_mapping"] = {CONF.block_device_mapping: f"{volume_id}::{args['volume_size']}:1"}
    return request


def _nics(args, nova):
    nics = [{"net-id": net} for net in CONF.default_neutron_networks] + list(args.get("nics") or ())
    if nics:
        return nics
    return "auto" if nova.api_version.ver_minor >= 37 else None  # from 2.37 on Nova wants it said


def _user_data(manager):
    path = Path(CONF.cloudinit_location) / f"{manager}.cloudinit"
    return path.read_text() if path.is_file() else None
