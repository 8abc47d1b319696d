"""Making, changing and deleting modules: each function is one transaction. Called by ``module.service``."""
import base64
import binascii
import hashlib

from oslo_log import log as logging

from trove.common import apischema, crypto, exception
from trove.common.cfg import CONF
from trove.datastore import models as datastore_models
from trove.db import in_transaction
from trove.module import models

LOG = logging.getLogger(__name__)


def _check_type(name):
    if name not in CONF.module_types:
        raise exception.NotFound(f"There is no module type '{name}'; the types are {', '.join(CONF.module_types)}.")
    return name


def _contents(text):
    """The columns of base64 text. Raises BadValue."""
    try:
        clear = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise exception.BadValue(field="module.contents", reason="must be base64 text.") from None
    return {"contents": crypto.encrypt(clear), "md5": hashlib.md5(clear, usedforsecurity=False).hexdigest()}


def _refuse_options(context, given):
    """Forbidden for what only administrators may ask for."""
    if context.is_admin:
        return
    for option, harmless in (("auto_apply", False), ("all_tenants", False), ("visible", True)):
        if given.get(option) is not None and bool(given[option]) is not harmless:
            raise exception.Forbidden(f"{option}: only administrators may set it.")


def _binding(session, given):
    """The columns that say which datastores a module is for, as far as ``given`` speaks of them."""
    named, values = given.get("datastore") or {}, {}
    if named.get("version") and not named.get("type"):
        raise exception.BadValue(field="module.datastore.type", reason="is needed to find the version.")
    if named.get("type"):
        datastore = datastore_models.find_datastore(session, named["type"])
        values = {"datastore_id": datastore.id, "datastore_version_id": None}
        if named.get("version"):
            values["datastore_version_id"] = datastore_models.find_version(session, datastore, named["version"]).id
    if given.get("all_datastores"):
        values = {"datastore_id": None, "datastore_version_id": None}
    if given.get("all_datastore_versions"):
        values["datastore_version_id"] = None
    return values


def _columns(session, given):
    values = {key: given[key] for key in ("name", "description") if given.get(key) is not None}
    values.update({key: bool(given[key]) for key in ("auto_apply", "visible", "live_update")
                   if given.get(key) is not None})
    kind = apischema.one_of(given, "module_type", "type", "module")
    if kind:
        values["type"] = _check_type(kind)
    if given.get("contents") is not None:
        values.update(_contents(given["contents"]))
    return {**values, **_binding(session, given)}


def _refuse_taken_name(session, row):
    if models.is_name_taken(session, row):
        raise exception.BadValue(field="module.name", reason=f"there is a module '{row.name}' of that kind already.")


@in_transaction
def create(session, context, given):
    """Make a module; ``given`` is the ``module`` object of a body that fits the schema. Returns its id.

    Raises Forbidden for administrators' options, NotFound for an unknown type, datastore or version, BadValue for a
    name that is taken or contents that are no base64, QuotaExceeded.
    """
    _refuse_options(context, given)
    row = models.DBModule(tenant_id=None if given.get("all_tenants") else context.project_id,
                          **{"auto_apply": False, "visible": True, "live_update": False, **_columns(session, given)})
    _refuse_taken_name(session, row)
    if row.tenant_id is not None and -1 < CONF.max_modules_per_tenant <= models.count(session, row.tenant_id):
        raise exception.QuotaExceeded(overs="modules")
    session.add(row)
    session.flush()
    LOG.info("module %s ('%s') made by user %s", row.id, row.name, context.user_id)
    return row.id


def _load_own(session, module_id, context):
    """The Module, if the caller may change it. Raises NotFound, Forbidden for what is shown to all tenants."""
    module = models.load(session, module_id, context)
    if not context.is_admin and module.row.tenant_id != context.project_id:
        raise exception.Forbidden(f"The module {module_id} is for all tenants: only administrators may change it.")
    return module


@in_transaction
def update(session, context, module_id, given):
    """Change what is named. Raises as ``create``, and Forbidden for contents that instances have."""
    module = _load_own(session, module_id, context)
    row = module.row
    _refuse_options(context, given)
    values = _columns(session, given)
    if given.get("all_tenants"):
        values["tenant_id"] = None
    elif given.get("all_tenants") is not None and row.tenant_id is None:
        values["tenant_id"] = context.project_id
    live = values.get("live_update", row.live_update)
    if module.instance_count and not live and {"contents", "type", "datastore_id"} & set(values):
        raise exception.Forbidden(f"The module {module_id} is applied to instances and not of the kind that may be "
                                  "changed then (live_update).")
    for column, value in values.items():
        setattr(row, column, value)
    _refuse_taken_name(session, row)


@in_transaction
def delete(session, context, module_id):
    """Delete a module. Raises NotFound, Forbidden while instances have it or when it is not the caller's."""
    module = _load_own(session, module_id, context)
    if module.instance_count:
        raise exception.Forbidden(f"The module {module_id} is applied to {module.instance_count} instances.")
    module.row.contents = ""  # the row stays for the administrator, its 16 MB need not
    module.row.soft_delete()
    LOG.info("module %s deleted by user %s", module_id, context.user_id)
