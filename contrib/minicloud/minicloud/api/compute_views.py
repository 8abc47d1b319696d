"""How servers and flavors look in Nova's answers, by microversion. Pure: everything needed is handed in."""

import hashlib

from minicloud.api import server_state

_PROGRESS = ("ACTIVE", "BUILD", "RESIZE", "VERIFY_RESIZE")


def links(base_url, kind, id):
    """The self and bookmark links of a resource."""
    return [
        {"rel": "self", "href": f"{base_url}/v2.1/{kind}/{id}"},
        {"rel": "bookmark", "href": f"{base_url}/{kind}/{id}"},
    ]


def flavor(base_url, document, version, is_admin=False):
    """A flavor as in flavors/detail."""
    shown = {key: document[key] for key in ("id", "name", "ram", "vcpus", "disk", "rxtx_factor")}
    shown.update(
        {
            "swap": document["swap"] or ("" if version < (2, 75) else 0),
            "OS-FLV-EXT-DATA:ephemeral": document["ephemeral"],
            "OS-FLV-DISABLED:disabled": document["disabled"],
            "os-flavor-access:is_public": document["is_public"],
            "links": links(base_url, "flavors", document["id"]),
        }
    )
    if version >= (2, 55):
        shown["description"] = document["description"]
    if version >= (2, 61):
        shown["extra_specs"] = document["extra_specs"]
    return shown


def embedded_flavor(base_url, document, version):
    """The flavor inside a server: its id before 2.47, what it was made of since."""
    if version < (2, 47):
        return {"id": document["id"], "links": links(base_url, "flavors", document["id"])[1:]}
    return {
        "original_name": document["name"],
        "ram": document["ram"],
        "vcpus": document["vcpus"],
        "disk": document["disk"],
        "ephemeral": document["ephemeral"],
        "swap": document["swap"],
        "extra_specs": document["extra_specs"],
    }


def addresses(ports, network_names):
    """The member ``addresses``: by network name."""
    result = {}
    for port in ports:
        for ip in port["fixed_ips"]:
            result.setdefault(network_names.get(port["network_id"], port["network_id"]), []).append(
                {
                    "addr": ip["ip_address"],
                    "version": 4,
                    "OS-EXT-IPS:type": "fixed",
                    "OS-EXT-IPS-MAC:mac_addr": port["mac_address"],
                }
            )
    return result


def server(base_url, record, guest, ports, network_names, group_names, volumes, version, is_admin):
    """A server as in servers/detail.

    :param guest: what the host says of it (see server_state)
    :param volumes: the volumes attached to it
    """
    status = server_state.status(record, guest)
    host = "minicloud"
    shown = {
        "id": record["id"],
        "name": record["name"],
        "status": status,
        "tenant_id": record["project_id"],
        "user_id": record["user_id"],
        "metadata": record["metadata"],
        "created": record["created_at"],
        "updated": record["updated_at"],
        "links": links(base_url, "servers", record["id"]),
        "hostId": hashlib.sha224(f"{record['project_id']}{host}".encode()).hexdigest(),
        "image": {"id": record["image_id"], "links": links(base_url, "images", record["image_id"])[1:]},
        "flavor": embedded_flavor(base_url, record["flavor"], version),
        "addresses": addresses(ports, network_names),
        "accessIPv4": record["accessIPv4"],
        "accessIPv6": record["accessIPv6"],
        "OS-DCF:diskConfig": record["disk_config"],
        "OS-EXT-AZ:availability_zone": "nova",
        "config_drive": "True" if record["config_drive"] else "",
        "key_name": record["key_name"],
        "OS-SRV-USG:launched_at": record["launched_at"],
        "OS-SRV-USG:terminated_at": None,
        "OS-EXT-STS:task_state": record["task_state"],
        "OS-EXT-STS:vm_state": server_state.vm_state(record, guest),
        "OS-EXT-STS:power_state": server_state.power_state(guest),
        "os-extended-volumes:volumes_attached": [attached(volume, version) for volume in volumes],
    }
    if record["task_state"] in ("reboot_started", "reboot_started_hard"):
        shown["OS-EXT-STS:task_state"] = (
            "rebooting" if record["task_state"] == "reboot_started" else "rebooting_hard"
        )
    if group_names:
        shown["security_groups"] = [{"name": name} for name in group_names]
    if status in _PROGRESS:
        shown["progress"] = 100 if status == "ACTIVE" else 0
    if status == "ERROR":
        shown["fault"] = _fault(record, is_admin)
    if is_admin:
        shown.update(
            {
                "OS-EXT-SRV-ATTR:host": host,
                "OS-EXT-SRV-ATTR:hypervisor_hostname": host,
                "OS-EXT-SRV-ATTR:instance_name": f"instance-{record['id'][:8]}",
            }
        )
        if version >= (2, 3):
            shown.update(
                {
                    "OS-EXT-SRV-ATTR:hostname": record["hostname"],
                    "OS-EXT-SRV-ATTR:reservation_id": f"r-{record['id'][:8]}",
                    "OS-EXT-SRV-ATTR:launch_index": 0,
                    "OS-EXT-SRV-ATTR:kernel_id": "",
                    "OS-EXT-SRV-ATTR:ramdisk_id": "",
                    "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
                    "OS-EXT-SRV-ATTR:user_data": record["user_data"],
                }
            )
        if version >= (2, 16):
            shown["host_status"] = "UP"
    if version >= (2, 9):
        shown["locked"] = False
    if version >= (2, 19):
        shown["description"] = record["description"]
    if version >= (2, 26):
        shown["tags"] = record["tags"]
    if version >= (2, 63):
        shown["trusted_image_certificates"] = None
    if version >= (2, 71):
        shown["server_groups"] = []
    return shown


def _fault(record, is_admin):
    fault = record["fault"] or {
        "code": 500,
        "created": record["updated_at"],
        "details": "",
        "message": "The host does not know the guest of this server.",
    }
    return fault if is_admin else {key: fault[key] for key in ("code", "created", "message")}


def attached(volume, version):
    """An entry of ``os-extended-volumes:volumes_attached``."""
    entry = {"id": volume["id"]}
    if version >= (2, 3):
        entry["delete_on_termination"] = volume["attachments"][0]["delete_on_termination"]
    return entry


def attachment(volume, version):
    """An entry of os-volume_attachments."""
    record = volume["attachments"][0]
    shown = {
        "id": record["id"],
        "volumeId": volume["id"],
        "serverId": record["server_id"],
        "device": record["device"],
    }
    if version >= (2, 70):
        shown["tag"] = None
    return shown
