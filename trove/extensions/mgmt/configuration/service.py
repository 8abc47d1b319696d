"""Controller of /mgmt/datastores/versions/{id}/parameters."""
from oslo_log import log as logging

from trove.common import apischema, exception, wsgi
from trove.common.apischema import contract
from trove.datastore import models, registration
from trove.db import get_db_api, in_transaction
from trove.extensions.mgmt.configuration import schema, views

LOG = logging.getLogger(__name__)


def _rule(given):
    """Return the rule in a body, in the form that registration takes. Raises BadValue for impossible bounds."""
    bounds = {}
    for key in ("max", "min"):
        bounds[key] = apischema.one_of(given, f"{key}_size", key, "configuration-parameter")
        if bounds[key] is None and given["data_type"] == "integer":
            raise exception.BadValue(field=f"configuration-parameter.{key}_size", reason="is required for an integer")
    if None not in bounds.values() and bounds["min"] > bounds["max"]:
        raise exception.BadValue(field="configuration-parameter.max_size", reason="must not be below min_size")
    return {"type": given["data_type"], "restart_required": given["restart_required"], **bounds}


class MgmtParameterController(wsgi.Controller):
    """/mgmt/datastores/versions/{id}/parameters and what is below it."""

    @contract(answer=views.PARAMETERS)
    def index(self, req, version_id):
        """Every parameter of a version, also the deleted ones."""
        with get_db_api().reader() as session:
            version = models.DBDatastoreVersion.get(session, version_id)
            rows = models.load_parameters(session, version, deleted=True)
        return {"configuration-parameters": [views.parameter(row) for row in rows]}

    @contract(answer=views.PARAMETER)
    def show(self, req, version_id, name):
        """One of them, without a wrapper."""
        with get_db_api().reader() as session:
            version = models.DBDatastoreVersion.get(session, version_id)
            return views.parameter(models.find_parameter(session, version, name, deleted=True))

    @contract(body=schema.create, answer=views.PARAMETER)
    def create(self, req, version_id, body):
        """Let configuration groups of a version set one more parameter; a deleted one of that name comes back."""
        given = body["configuration-parameter"]
        row = in_transaction(registration.create_parameter)(version_id, given["name"], _rule(given))
        LOG.info("datastore version %s: parameter '%s' made by user %s", version_id, row.name, req.context.user_id)
        return views.parameter(row)

    @contract(body=schema.update, answer=views.PARAMETER)
    def update(self, req, version_id, name, body):
        """Change type and bounds of a parameter. The values that groups have stay as they are."""
        given = body["configuration-parameter"]
        if given.get("name", name).lower() != name.lower():
            raise exception.BadValue(field="configuration-parameter.name", reason="cannot be changed")
        row = in_transaction(registration.change_parameter)(version_id, name, _rule(given))
        LOG.info("datastore version %s: parameter '%s' changed by user %s", version_id, row.name, req.context.user_id)
        return views.parameter(row)

    @contract(status=204)
    def delete(self, req, version_id, name):
        """Let no configuration group set a parameter any more; its row stays."""
        in_transaction(registration.delete_parameter)(version_id, name)
        LOG.info("datastore version %s: parameter '%s' deleted by user %s", version_id, name, req.context.user_id)
