"""The life of a server. Requests change the record and add an operation; the operations here do the work on the host.

Each operation is safe to repeat: the host's verbs are, and each looks at the record first. A server that is being
deleted is left alone by all others.
"""

import base64
import json
import logging
import re

from minicloud.api import images, security_groups, server_state, volumes
from minicloud.api.web import Fault
from minicloud.host.client import HostError
from minicloud.store import now

LOG = logging.getLogger(__name__)


def register(cloud):
    """Say what the operations of servers do."""
    # name: (what it does, what becomes of the server when it fails)
    table = {
        "create": (_create, _to_error),
        "delete": (_delete, _to_error),
        "reboot": (_reboot, _to_error),
        "stop": (_stop, _stay),
        "start": (_start, _stay),
        "resize": (_resize, _to_error),
        "revert": (_revert, _to_error),
        "confirm": (_confirm, _to_error),
        "attach": (_attach, _attach_failed),
        "detach": (_detach, _detach_failed),
    }
    for name, (run, fail) in table.items():

        def work(server_id, run=run, **args):
            server = cloud.store.find("server", server_id)
            if server and (run is _delete or server["task_state"] != "deleting"):
                run(cloud, server, **args)
            cloud.guests.changed()

        def failed(server_id, error, fail=fail, **args):
            cloud.guests.changed()
            fail(cloud, server_id, error, **args)

        cloud.jobs.register(f"server.{name}", work, failed)
    cloud.jobs.register(
        "port.rules", lambda server_id: _refresh_rules(cloud, server_id), _rules_failed, merge=True
    )


def change(cloud, server_id, **fields):
    """Set fields of the record and its time of change."""
    # Whoever sees the new record must not compare it with guests as they were before.
    cloud.guests.changed()
    return cloud.store.change("server", server_id, updated_at=now() + "Z", **fields)


def begin(cloud, server_id, action, task, operation, fields=None, **args):
    """Accept an action: check, mark and queue it in one transaction.

    :param action: its name in server_state.ALLOWED
    :param fields: further fields of the record to set
    :raises Fault: 409 when it is not possible now.
    """
    guests = cloud.guests.states()
    with cloud.jobs.transaction() as add:
        require(cloud, action, server_id, guests)
        change(cloud, server_id, task_state=task, **(fields or {}))
        add(operation, server_id, **args)


def require(cloud, action, server_id, guests):
    """:raises Fault: 409 when the action is not possible now; ``guests`` is what cloud.guests.states() says."""
    reason = server_state.refusal(action, cloud.store.get("server", server_id), guests.get(server_id))
    if reason:
        raise Fault(409, reason)


def delete(cloud, server_id):
    """Accept the end of a server; legal in every state, repeating it changes nothing."""
    with cloud.jobs.transaction() as add:
        if cloud.store.get("server", server_id)["task_state"] != "deleting":
            change(cloud, server_id, task_state="deleting")
            add("server.delete", server_id)


def ports_of(cloud, server_id):
    """The ports of a server."""
    return ports_by_server(cloud, device_id=server_id).get(server_id, [])


def ports_by_server(cloud, **equal):
    """``{server id: its ports}`` of all servers. A port that only names a server is not the server's."""
    result = {}
    for port in cloud.store.list("port", **equal):
        if port["device_owner"].startswith("compute:"):
            result.setdefault(port["device_id"], []).append(port)
    return result


def hostname(name):
    """The host name that a guest gets for its server's name."""
    text = re.sub(r"[^a-z0-9-]+", "-", name.lower().replace(" ", "-").replace("_", "-")).strip("-")
    return text[:63].rstrip("-") or "server"


# Operations


def _create(cloud, server):
    image = cloud.store.get("image", server["image_id"])
    layers, binds = images.layers(cloud, image)
    port = ports_of(cloud, server["id"])[0]
    cloud.host.create_guest(
        server["id"],
        server["hostname"],
        layers,
        binds,
        server["flavor"]["ram"],
        server["flavor"]["vcpus"],
        port["fixed_ips"][0]["ip_address"],
        security_groups.allowed(cloud, port),
        files=[{"path": f["path"], "content": f["contents"], "mode": 0o600} for f in server["personality"]],
        config_drive=config_drive(server) if server["config_drive"] else {},
        user_data=server["user_data"] or "",
    )
    for volume in volumes.of_server(cloud, server["id"]):
        _attach(cloud, server, volume["id"])
    with cloud.store.transaction():
        server = cloud.store.get("server", server["id"])
        # Deletion may have been asked for meanwhile; it waits in line and keeps its mark.
        task = {} if server["task_state"] == "deleting" else {"task_state": None}
        # The files have been delivered; what was in them is often secret.
        change(cloud, server["id"], vm_state="active", launched_at=now() + ".000000", personality=[], **task)
    LOG.info("server %s: BUILD -> ACTIVE", server["id"])


def config_drive(server):
    """The files of the config drive as ``{relative path: base64}``, as the metadata format of OpenStack has them."""
    files = {f"openstack/content/{n:04}": f["contents"] for n, f in enumerate(server["personality"])}
    metadata = {
        "uuid": server["id"],
        "name": server["name"],
        "hostname": server["hostname"],
        "launch_index": 0,
        "availability_zone": "nova",
        "project_id": server["project_id"],
        "meta": server["metadata"],
        "files": [
            {"path": f["path"], "content_path": f"/content/{n:04}"}
            for n, f in enumerate(server["personality"])
        ],
    }
    texts = {"meta_data.json": json.dumps(metadata), "vendor_data.json": "{}", "network_data.json": "{}"}
    for version in ("latest", "2018-08-27"):
        files |= {f"openstack/{version}/{name}": _encode(text) for name, text in texts.items()}
        if server["user_data"]:
            files[f"openstack/{version}/user_data"] = server["user_data"]
    return files


def _encode(text):
    return base64.b64encode(text.encode()).decode()


def _delete(cloud, server):
    cloud.host.delete_guest(server["id"])
    for volume in volumes.of_server(cloud, server["id"]):
        volumes.release(cloud, volume["id"])
    with cloud.jobs.transaction() as add:
        groups = set()
        for port in ports_of(cloud, server["id"]):
            groups |= set(port["security_groups"])
            if port["made_by_nova"]:
                cloud.store.remove("port", port["id"])
            else:
                cloud.store.change("port", port["id"], device_id="", device_owner="")
        cloud.store.remove("server", server["id"])
        security_groups.refresh_rules(cloud, add, groups)
    LOG.info("server %s: deleted", server["id"])


def _reboot(cloud, server, hard):
    cloud.host.reboot_guest(server["id"], hard=hard)
    change(cloud, server["id"], vm_state="active", task_state=None, fault=None)


def _stop(cloud, server):
    cloud.host.stop_guest(server["id"])
    change(cloud, server["id"], vm_state="stopped", task_state=None)


def _start(cloud, server):
    cloud.host.start_guest(server["id"])
    change(cloud, server["id"], vm_state="active", task_state=None)


def _resize(cloud, server, flavor):
    """A resize restarts the guest, as the real one does, unless it was stopped."""
    cloud.host.resize_guest(server["id"], flavor["ram"], flavor["vcpus"])
    if server["before_resize"]["vm_state"] == "active":
        cloud.host.reboot_guest(server["id"])
    change(cloud, server["id"], vm_state="resized", task_state=None, flavor=flavor)


def _revert(cloud, server):
    before = server["before_resize"]
    cloud.host.resize_guest(server["id"], before["flavor"]["ram"], before["flavor"]["vcpus"])
    if before["vm_state"] == "active":
        cloud.host.reboot_guest(server["id"])
    change(
        cloud,
        server["id"],
        vm_state=before["vm_state"],
        task_state=None,
        flavor=before["flavor"],
        before_resize=None,
    )


def _confirm(cloud, server):
    change(
        cloud, server["id"], vm_state=server["before_resize"]["vm_state"], task_state=None, before_resize=None
    )


def _attach(cloud, server, volume_id):
    volume = cloud.store.find("volume", volume_id)
    if not volume or volume["status"] not in ("attaching", "in-use") or not volume["attachments"]:
        return
    cloud.host.create_volume(
        volume_id, volume["size"]
    )  # is there already, unless it was asked for together with the server
    cloud.host.attach_volume(volume_id, server["id"], volume["attachments"][0]["device"])
    cloud.store.change("volume", volume_id, status="in-use")


def _detach(cloud, server, volume_id):
    cloud.host.detach_volume(volume_id, server["id"])
    # An attachment that goes by itself leaves its volume: only the end of the server ends the volume with it.
    cloud.store.change("volume", volume_id, status="available", attachments=[])


def _refresh_rules(cloud, server_id):
    server = cloud.store.find("server", server_id)
    ports = ports_of(cloud, server_id)
    if not server or not ports or server["vm_state"] == "building" or server["task_state"] == "deleting":
        return
    try:
        cloud.host.set_rules(server_id, security_groups.allowed(cloud, ports[0]))
    except HostError as error:
        if error.code != "not_found":
            raise
        LOG.info("server %s has no guest that new rules could be given to", server_id)


# Failures


def _message(error):
    return error.message if isinstance(error, HostError | Fault) else str(error)


def _to_error(cloud, server_id, error, **args):
    fault = {"code": 500, "created": now() + "Z", "message": _message(error)[:255], "details": ""}
    server = cloud.store.find("server", server_id)
    if not server:
        return
    for volume in volumes.of_server(cloud, server_id) if server["vm_state"] == "building" else ():
        if volume["status"] == "attaching":
            cloud.store.change("volume", volume["id"], status="available", attachments=[])
    change(cloud, server_id, vm_state="error", task_state=None, fault=fault)
    LOG.error("server %s: ERROR: %s", server_id, fault["message"])


def _stay(cloud, server_id, error, **args):
    """The action failed and the server is as before; its status is what the host says."""
    if cloud.store.find("server", server_id):
        change(cloud, server_id, task_state=None)


def _attach_failed(cloud, server_id, error, volume_id):
    if cloud.store.find("volume", volume_id):
        cloud.store.change("volume", volume_id, status="available", attachments=[])


def _detach_failed(cloud, server_id, error, volume_id):
    """Mounted in the guest, for one: it stays attached, as with the real services."""
    if cloud.store.find("volume", volume_id):
        cloud.store.change("volume", volume_id, status="in-use")


def _rules_failed(server_id, error):
    """Rules that could not be set leave the guest with the older ones; the log says so (jobs.py)."""
