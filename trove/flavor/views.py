"""Flavors as clients see them (rest-api 3.3)."""
from trove.common import wsgi
from trove.common.cfg import CONF


def flavor(req, found):
    """The dict of one Flavor."""
    view = {"id": int(found.id) if found.id.isdecimal() else None, "str_id": found.id, "name": found.name,
            "ram": found.ram, "vcpus": found.vcpus, "disk": found.disk, "ephemeral": found.ephemeral,
            "links": wsgi.object_links(req, "flavors", found.id)}
    if not CONF.trove_volume_support:
        view["local_storage"] = found.ephemeral
    return view
