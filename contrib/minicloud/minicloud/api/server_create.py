"""From the body of POST /servers to records: finds what it names, checks quotas, reserves ports and volumes.

Everything is reserved in one transaction: a request either gets all it asked for or changes nothing.
"""

import base64
import binascii
import ipaddress

from minicloud.api import (
    compute_flavors,
    compute_misc,
    images,
    network_checks,
    networks,
    schema,
    security_groups,
    servers,
    volumes,
)
from minicloud.api.web import Fault
from minicloud.store import new_id, now

MAX_FILES, MAX_FILE_BYTES, MAX_USER_DATA_BYTES = 20, 1 << 20, 65535


def create(cloud, context, body):
    """Accept ``min_count``..``max_count`` servers and return their records.

    :raises Fault: 400 for what does not exist or cannot be, 403 quota, 409 network and port conflicts.
    """
    flavor = compute_flavors.find_flavor(cloud, context, str(body["flavorRef"]), 400)
    image = _image(cloud, context, body, flavor)
    count = _count(body)
    _check_files(body)
    disks = _disks(cloud, context, body)
    if count > 1 and any(disk["volume_id"] for disk in disks):
        raise Fault(400, "Cannot attach one or more volumes to multiple instances")
    if body.get("availability_zone") not in (None, "", "nova"):
        raise Fault(400, "The requested availability zone is not available")
    images.layers(cloud, image)
    records = []
    with cloud.jobs.transaction() as add:
        compute_misc.require_quota(cloud, context.project_id, count, flavor)
        for number in range(count):
            name = body["name"] if count == 1 else f"{body['name']}-{number + 1}"
            record = _record(context, body, name, image, flavor)
            _reserve_port(cloud, context, body, record, add)
            for disk in disks:
                _reserve_disk(cloud, context, record, disk, add)
            records.append(cloud.store.add("server", record))
            add("server.create", record["id"])
    return records


def _record(context, body, name, image, flavor):
    time = now() + "Z"
    return {
        "id": new_id(),
        "name": name,
        "hostname": servers.hostname(name),
        "project_id": context.project_id,
        "user_id": context.user_id,
        "image_id": image["id"],
        "flavor": flavor,
        "metadata": body.get("metadata", {}),
        "tags": sorted(set(body.get("tags", []))),
        "description": body.get("description", name),
        "key_name": None,
        "config_drive": schema.is_true(body.get("config_drive", False)),
        "user_data": body.get("user_data"),
        "personality": body.get("personality", []),
        "accessIPv4": body.get("accessIPv4", ""),
        "accessIPv6": body.get("accessIPv6", ""),
        "disk_config": body.get("OS-DCF:diskConfig", "MANUAL"),
        "vm_state": "building",
        "task_state": "spawning",
        "fault": None,
        "before_resize": None,
        "launched_at": None,
        "created_at": time,
        "updated_at": time,
    }


def _image(cloud, context, body, flavor):
    reference = (body.get("imageRef") or "").rsplit("/", 1)[-1]
    if not reference:
        raise Fault(400, "Invalid imageRef provided: a server here boots from an image, not from a volume.")
    image = cloud.store.find("image", reference)
    if not image or not images.visible(context, image):
        raise Fault(400, f"Can not find requested image: {reference}")
    if image["status"] != "active":
        raise Fault(400, f"Image {reference} is not active.")
    if image["min_ram"] > flavor["ram"]:
        raise Fault(400, "Flavor's memory is too small for requested image.")
    if image["min_disk"] > flavor["disk"]:
        raise Fault(400, "Flavor's disk is too small for requested image.")
    return image


def _count(body):
    minimum, maximum = (int(body.get(name) or 1) for name in ("min_count", "max_count"))
    if "min_count" in body and "max_count" in body and minimum > maximum:
        raise Fault(400, "min_count must be <= max_count")
    return max(minimum, maximum)


def _decode(text, what):
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Fault(400, f"{what} must be base64 encoded.") from error


def _check_files(body):
    files = body.get("personality", [])
    if len(files) > MAX_FILES:
        raise Fault(403, "Quota exceeded, too many servers in group or injected files.")
    for file in files:
        # Clients break long base64 into lines.
        file["contents"] = "".join(file["contents"].split())
        if len(_decode(file["contents"], f"Personality content for {file['path']}")) > MAX_FILE_BYTES:
            raise Fault(
                403, f"Personality file limit exceeded: {file['path']} has more than {MAX_FILE_BYTES} bytes."
            )
        if not file["path"].startswith("/"):
            file["path"] = f"/{file['path']}"
    if body.get("user_data") is not None:
        body["user_data"] = "".join(body["user_data"].split())
        _decode(body["user_data"], "user_data")


def _disks(cloud, context, body):
    """What both forms of block device mapping ask for, as [{"volume_id" or None, "size", "device", "ends", "type"}]."""
    disks = []
    for entry in body.get("block_device_mapping", []):
        disks.append(
            {
                "volume_id": entry.get("volume_id") or None,
                "size": entry.get("volume_size"),
                "type": None,
                "device": entry.get("device_name"),
                "ends": schema.is_true(entry.get("delete_on_termination", False)),
            }
        )
    for entry in body.get("block_device_mapping_v2", []):
        source, target = entry.get("source_type"), entry.get("destination_type")
        if source == "image" and target == "local":
            continue
        if source not in ("volume", "blank") or target == "local" or str(entry.get("boot_index")) == "0":
            raise Fault(
                400,
                "Block Device Mapping is Invalid: servers here boot from an image on local disk and take further "
                "disks from existing (volume) or new (blank) volumes.",
            )
        disks.append(
            {
                "volume_id": entry.get("uuid") if source == "volume" else None,
                "size": entry.get("volume_size"),
                "device": entry.get("device_name"),
                "type": entry.get("volume_type"),
                "ends": schema.is_true(entry.get("delete_on_termination", False)),
            }
        )
    for disk in disks:
        if disk["volume_id"]:
            volume = cloud.store.find("volume", disk["volume_id"])
            if not volume or not context.owns(volume):
                raise Fault(
                    400, f"Block Device Mapping is Invalid: failed to get volume {disk['volume_id']}."
                )
        elif not disk["size"] or int(disk["size"]) < 1:
            raise Fault(
                400,
                "Block Device Mapping is Invalid: Blank volumes (source: 'blank', dest: 'volume') need to have "
                "non-zero size",
            )
    return disks


def _reserve_disk(cloud, context, record, disk, add):
    if disk["volume_id"]:
        volumes.reserve(cloud, disk["volume_id"], record["id"], disk["device"], disk["ends"])
        return
    size = int(disk["size"])
    volumes.require_quota(cloud, context.project_id, 1, size)
    volume = volumes.new_record(cloud, context, size, volume_type=disk["type"])
    cloud.store.add("volume", {**volume, "status": "available"})
    volumes.reserve(cloud, volume["id"], record["id"], disk["device"], disk["ends"])


def _networks(cloud, context):
    return [
        n
        for n in cloud.store.list("network")
        if networks.usable(context, n) and (n["project_id"] == context.project_id or n["shared"])
    ]


def _reserve_port(cloud, context, body, record, add):
    """Bind the wanted port, or make one on the wanted (or the only) network."""
    wanted = body.get("networks")
    if wanted == "none":
        raise Fault(400, "A server here needs a network: 'none' is not possible.")
    if wanted in (None, "auto", []):
        visible = _networks(cloud, context)
        if len(visible) != 1:
            raise Fault(
                409 if visible else 400,
                "Multiple possible networks found, use a Network ID to be more specific."
                if visible
                else "No network is available to this project.",
            )
        wanted = [{"uuid": visible[0]["id"]}]
    if len(wanted) > 1:
        raise Fault(400, "A server here has exactly one network interface.")
    nic = wanted[0]
    owner = {"device_id": record["id"], "device_owner": "compute:nova"}
    if nic.get("port"):
        port = cloud.store.find("port", nic["port"])
        if not port or not context.owns(port):
            raise Fault(400, f"Port id {nic['port']} could not be found.")
        # Nova finds this out while it builds, and the server goes into ERROR; an administrator is no exception.
        if port["project_id"] != context.project_id:
            raise Fault(400, f"Port {port['id']} not usable for instance {record['id']}.")
        if port["device_id"]:
            raise Fault(409, f"Port {port['id']} is still in use.")
        if not port["fixed_ips"]:
            raise Fault(400, f"Port {port['id']} requires a FixedIP in order to be used.")
        port = cloud.store.change("port", port["id"], **owner)
    else:
        network = cloud.store.find("network", nic.get("uuid") or "")
        if nic.get("fixed_ip") and not network_checks.is_address(nic["fixed_ip"]):
            raise Fault(400, f"Invalid fixed IP Address {nic['fixed_ip']} in request")
        if not network or not networks.usable(context, network):
            raise Fault(400, f"Network {nic.get('uuid')} could not be found.")
        if not cloud.store.list("subnet", network_id=network["id"]):
            raise Fault(400, f"Network {network['id']} requires a subnet in order to boot instances on.")
        port = networks.add_port(
            cloud,
            context.project_id,
            network,
            {
                **owner,
                "fixed_ips": [{"ip_address": nic["fixed_ip"]}] if nic.get("fixed_ip") else None,
                "security_groups": _groups(cloud, context, body),
            },
        )
        cloud.store.change("port", port["id"], made_by_nova=True)
    address = port["fixed_ips"][0]["ip_address"]
    if ipaddress.ip_address(address) not in ipaddress.ip_network(cloud.config.subnet):
        raise Fault(
            400,
            f"Address {address} is outside {cloud.config.subnet}: servers can only be put into subnets of it.",
        )
    security_groups.refresh_rules(cloud, add, port["security_groups"])


def _groups(cloud, context, body):
    """Ids of the security groups, given by name or id."""
    mine = cloud.store.list("security_group", project_id=context.project_id)
    result = []
    for entry in body.get("security_groups") or [{"name": "default"}]:
        name = entry["name"]
        found = [g for g in mine if name in (g["id"], g["name"])]
        if not found and name == "default":
            found = [security_groups.default_group(cloud, context.project_id)]
        if not found:
            raise Fault(400, f"Unable to find security_group with name or id '{name}'")
        if len(found) > 1:
            raise Fault(
                409, f"Multiple security groups found matching '{name}'. Use an ID to be more specific."
            )
        result.append(found[0]["id"])
    return list(dict.fromkeys(result))
