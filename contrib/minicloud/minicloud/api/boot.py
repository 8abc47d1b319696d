"""What exists in a cloud from its first moment. ensure() may run at every start: it adds only what is missing."""

import ipaddress

from minicloud.api import identity_crud, identity_grants, networks
from minicloud.store import new_id, now

REGION = "RegionOne"
SERVICES = (  # type, name, the service that serves it, path below its URL
    ("identity", "keystone", "identity", ""),
    ("compute", "nova", "compute", "/v2.1"),
    ("volumev3", "cinderv3", "volume", "/v3/$(project_id)s"),
    ("volumev2", "cinderv2", "volume", "/v2/$(project_id)s"),
    ("block-storage", "cinder", "volume", "/v3/$(project_id)s"),
    ("image", "glance", "image", ""),
    ("network", "neutron", "network", ""),
    ("object-store", "swift", "object-store", "/v1/AUTH_$(project_id)s"),
)
ROLES = ("admin", "member", "reader", "service")
FLAVORS = (
    ("1", "m1.tiny", 512, 1),
    ("2", "m1.small", 1024, 1),
    ("3", "m1.medium", 2048, 2),
    ("4", "m1.large", 4096, 2),
)
VOLUME_TYPE = "lvmdriver-1"
FIRST_GUEST_ADDRESS = 10  # offset in the subnet; the gateway and the host have the first two


def ensure(cloud, admin_password):
    """Add domain, roles, projects, the administrator, the catalog, flavors, the volume type and the shared network."""
    store = cloud.store
    with store.transaction():
        if not store.find("domain", "default"):
            _first_time(cloud, admin_password)
        # The catalog follows the configuration: the service may have moved to another port.
        for type, _, served_by, path in SERVICES:
            service = store.list("service", type=type)[0]
            for endpoint in store.list("endpoint", service_id=service["id"], builtin=True):
                store.change("endpoint", endpoint["id"], url=cloud.config.url(served_by) + path)


def _first_time(cloud, admin_password):
    store = cloud.store
    store.add(
        "domain",
        {
            "id": "default",
            "name": "Default",
            "description": "The default domain",
            "enabled": True,
            "tags": [],
            "options": {},
        },
    )
    roles = {name: identity_crud.create(cloud, "roles", {"name": name}) for name in ROLES}
    projects = {
        name: identity_crud.create(cloud, "projects", {"name": name}) for name in ("admin", "service")
    }
    admin = identity_crud.create(
        cloud,
        "users",
        {"name": "admin", "password": admin_password, "default_project_id": projects["admin"]["id"]},
    )
    for target in (
        f"project:{projects['admin']['id']}",
        f"project:{projects['service']['id']}",
        "domain:default",
        "system:all",
    ):
        identity_grants.grant(cloud, admin["id"], target, roles["admin"]["id"])
    for type, name, served_by, path in SERVICES:
        service = identity_crud.create(cloud, "services", {"type": type, "name": name})
        for interface in ("public", "internal", "admin"):
            identity_crud.create(
                cloud,
                "endpoints",
                {
                    "service_id": service["id"],
                    "interface": interface,
                    "region_id": REGION,
                    "builtin": True,
                    "url": cloud.config.url(served_by) + path,
                },
            )
    for id, name, ram, vcpus in FLAVORS:
        store.add(
            "flavor",
            {
                "id": id,
                "name": name,
                "ram": ram,
                "vcpus": vcpus,
                "disk": 10,
                "ephemeral": 0,
                "swap": 0,
                "rxtx_factor": 1.0,
                "is_public": True,
                "disabled": False,
                "description": None,
                "extra_specs": {},
            },
        )
    store.add(
        "volume_type",
        {
            "id": new_id(),
            "name": VOLUME_TYPE,
            "description": None,
            "is_public": True,
            "extra_specs": {},
            "created_at": now(),
        },
    )
    _shared_network(cloud, projects["admin"]["id"])


def _shared_network(cloud, project_id):
    subnet = ipaddress.IPv4Network(cloud.config.subnet)
    network = networks.add_network(cloud, project_id, {"name": "private", "shared": True})
    networks.add_subnet(
        cloud,
        project_id,
        {
            "name": "private-subnet",
            "network_id": network["id"],
            "cidr": str(subnet),
            "ip_version": 4,
            "gateway_ip": cloud.config.gateway,
            "allocation_pools": [{"start": str(subnet[FIRST_GUEST_ADDRESS]), "end": str(subnet[-2])}],
        },
    )
