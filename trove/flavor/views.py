"""Flavors as clients see them (rest-api 3.3)."""
from trove.common import apischema, wsgi
from trove.common.cfg import CONF

_integer, _string = apischema.integer, apischema.string
_FLAVOR = apischema.view("Flavor", {
    "id": apischema.or_null(_integer), "str_id": _string, "name": _string, "ram": _integer, "vcpus": _integer,
    "disk": _integer, "ephemeral": _integer, "links": apischema.links}, {"local_storage": _integer})
LIST = apischema.answer("flavors", apischema.array(_FLAVOR))
SHOW = apischema.answer("flavor", _FLAVOR)


def flavor(req, found):
    """The dict of one Flavor."""
    view = {"id": int(found.id) if found.id.isdecimal() else None, "str_id": found.id, "name": found.name,
            "ram": found.ram, "vcpus": found.vcpus, "disk": found.disk, "ephemeral": found.ephemeral,
            "links": wsgi.object_links(req, "flavors", found.id)}
    if not CONF.trove_volume_support:
        view["local_storage"] = found.ephemeral
    return view
