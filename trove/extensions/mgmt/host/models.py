"""The hosts as Nova knows them now, with our instances on them. Nothing of it is kept."""
import dataclasses

import sqlalchemy

from trove.common import exception, remote
from trove.db.sqlalchemy import tables

_HOST = "OS-EXT-SRV-ATTR:host"


@dataclasses.dataclass(frozen=True)
class Host:
    """name: of the hypervisor; total_ram, used_ram: MB; servers: Nova's servers on it."""

    name: str
    total_ram: int
    used_ram: int
    servers: tuple


def load_hosts():
    """Every host, by name. Raises ServiceUnavailable when Nova does not tell."""
    nova = remote.nova_client()
    with remote.answering("compute"):
        hypervisors = nova.hypervisors.list(detailed=True)
        servers = nova.servers.list(search_opts={"all_tenants": 1}, limit=-1)
    hosts = []
    for hypervisor in sorted(hypervisors, key=lambda each: each.hypervisor_hostname):
        # Nova names the compute service, which may differ from the hypervisor's own name.
        names = {hypervisor.hypervisor_hostname, (getattr(hypervisor, "service", None) or {}).get("host")}
        hosts.append(Host(
            hypervisor.hypervisor_hostname, getattr(hypervisor, "memory_mb", 0), hypervisor.memory_mb_used,
            tuple(server for server in servers if getattr(server, _HOST, None) in names)))
    return hosts


def load_host(name):
    """One host. Raises NotFound, ServiceUnavailable."""
    for host in load_hosts():
        if host.name == name:
            return host
    raise exception.NotFound(resource="host", id=name)


def instances_of(session, servers):
    """{id of a server: row of its live instance} for those of the servers that are ours; one statement."""
    table = tables.instances
    rows = session.execute(sqlalchemy.select(
        table.c.compute_instance_id, table.c.id, table.c.name, table.c.tenant_id,
    ).where(table.c.deleted.is_(False), table.c.compute_instance_id.in_([server.id for server in servers])))
    return {row.compute_instance_id: row for row in rows}
