"""Hosts as administrators see them."""
from trove.common import apischema

_integer, _string = apischema.integer, apischema.string
LIST = apischema.answer("hosts", apischema.array(apischema.view(
    "HostInList", {"name": _string, "instanceCount": _integer})))
SHOW = apischema.answer("host", apischema.view("Host", {
    "name": _string, "percentUsed": _integer, "totalRAM": _integer, "usedRAM": _integer,
    "instances": apischema.array(apischema.view("ServerOnHost", {
        "id": apischema.or_null(_string), "name": _string, "server_id": _string, "tenant_id": _string,
        "status": _string}))}))


def item(host, ours):
    """The view in a list.

    host: models.Host; ours: {id of a server: row of its instance}.
    """
    return {"name": host.name, "instanceCount": sum(server.id in ours for server in host.servers)}


def detail(host, ours):
    """The view of one host: its memory, and every server on it; one that is no database instance has no id."""
    percent = round(100 * host.used_ram / host.total_ram) if host.total_ram else 0
    return {"name": host.name, "percentUsed": percent, "totalRAM": host.total_ram, "usedRAM": host.used_ram,
            "instances": [_server(server, ours.get(server.id)) for server in host.servers]}


def _server(server, row):
    return {"id": row.id if row else None, "name": row.name if row else server.name, "server_id": server.id,
            "tenant_id": row.tenant_id if row else server.tenant_id, "status": server.status}
