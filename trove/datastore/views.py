"""Datastores, versions and parameters as tenants and administrators see them (rest-api 3.2)."""
from trove.common import apischema, cfg, wsgi
from trove.common.traits import Maturity

_boolean, _integer, _string = apischema.boolean, apischema.integer, apischema.string
_VERSION = {"id": apischema.uuid, "name": _string, "links": apischema.links, "version": _string}
_VERSION_MAY = {"maturity": {"enum": [each.value for each in Maturity]}, "active": _boolean, "packages": _string,
                "image": apischema.or_null(_string)}
_DATASTORE = apischema.view(
    "Datastore", {"id": apischema.uuid, "name": _string, "links": apischema.links},
    {"versions": apischema.array(apischema.view("VersionInDatastore", _VERSION, _VERSION_MAY)),
     "default_version": apischema.uuid})
_WHOLE_VERSION = apischema.view("Version", {**_VERSION, "datastore": apischema.uuid}, _VERSION_MAY)
LIST = apischema.answer("datastores", apischema.array(_DATASTORE))
SHOW = apischema.answer("datastore", _DATASTORE)
VERSIONS = apischema.answer("versions", apischema.array(_WHOLE_VERSION))
VERSION = apischema.answer("version", _WHOLE_VERSION)
# What a parameter has and may have; management adds to it.
PARAMETER_HAS = {"name": _string, "datastore_version_id": apischema.uuid, "restart_required": _boolean, "type": _string}
PARAMETER_MAY = dict.fromkeys(("max", "max_size", "min", "min_size"), _integer)
PARAMETER = apischema.view("Parameter", PARAMETER_HAS, PARAMETER_MAY)
PARAMETERS = apischema.answer("configuration-parameters", apischema.array(PARAMETER))


def datastore(req, row, versions):
    """The dict of a DBDatastore.

    versions: its DBDatastoreVersions that the caller may see. A default version that is not among them is left out:
    a client looks it up there and fails.
    """
    view = {"id": row.id, "name": row.name, "links": wsgi.object_links(req, "datastores", row.id)}
    if versions:
        view["versions"] = [version(req, each, nested=True) for each in versions]
    if any(each.id == row.default_version_id for each in versions):
        view["default_version"] = row.default_version_id
    return view


def version(req, row, nested=False):
    """Return the dict of a DBDatastoreVersion; nested: whether it stands inside its datastore.

    It says how mature the version's manager is, if this release knows that manager.
    """
    view = {"id": row.id, "name": row.name, "links": wsgi.object_links(req, "datastores/versions", row.id),
            "version": row.name}
    if not nested:
        view["datastore"] = row.datastore_id
    if row.manager in cfg.CARDS:
        view["maturity"] = cfg.traits(row.manager).maturity.value
    if req.context.is_admin:
        view.update(active=bool(row.active), packages=row.packages or "", image=row.image_id)
    return view


def parameter(row):
    """The dict of a DBDatastoreConfigurationParameter; a bound has the names of both families of clients."""
    view = {"name": row.name, "datastore_version_id": row.datastore_version_id,
            "restart_required": bool(row.restart_required), "type": row.data_type}
    for short, value in (("max", row.max_size), ("min", row.min_size)):
        if value is not None:
            view[short] = view[f"{short}_size"] = int(value)
    return view
