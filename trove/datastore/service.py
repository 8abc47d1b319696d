"""Datastores, their versions and the parameters of a version.

Lists leave out what is not active, except for administrators. A version that is asked for by its own name or id is
shown to everybody: instances that were made from it still run.
"""
from oslo_log import log as logging

from trove.common import exception, wsgi
from trove.common.apischema import contract
from trove.datastore import models, registration, views
from trove.db import get_db_api, in_transaction
from trove.flavor import models as flavor_models
from trove.flavor import views as flavor_views
from trove.volume_type import models as volume_type_models
from trove.volume_type import views as volume_type_views

LOG = logging.getLogger(__name__)


class DatastoreController(wsgi.Controller):
    """Datastores and versions; ``datastore`` and ``version`` are ids or names."""

    @contract(answer=views.LIST)
    def index(self, req):
        """Every datastore that the caller may see, with versions."""
        with get_db_api().reader() as session:
            found = models.load_with_versions(session, only_active=not req.context.is_admin)
        return {"datastores": [views.datastore(req, row, versions) for row, versions in found
                               if versions or req.context.is_admin]}

    @contract(answer=views.SHOW)
    def show(self, req, datastore):
        """One datastore with its versions."""
        with get_db_api().reader() as session:
            row = models.find_datastore(session, datastore)
            versions = models.load_versions(session, row, only_active=not req.context.is_admin)
        if not versions and not req.context.is_admin:
            raise exception.NotFound(resource="datastore", id=datastore)
        return {"datastore": views.datastore(req, row, versions)}

    @contract(answer=views.VERSIONS)
    def index_versions(self, req, datastore):
        """The versions of a datastore."""
        with get_db_api().reader() as session:
            row = models.find_datastore(session, datastore)
            versions = models.load_versions(session, row, only_active=not req.context.is_admin)
        return {"versions": [views.version(req, each) for each in versions]}

    @contract(answer=views.VERSION)
    def show_version(self, req, datastore, version):
        """One version of a datastore."""
        with get_db_api().reader() as session:
            row = models.find_version(session, models.find_datastore(session, datastore), version)
        return {"version": views.version(req, row)}

    @contract(answer=views.VERSION)
    def show_version_by_id(self, req, version_id):
        """One version, whatever its datastore."""
        with get_db_api().reader() as session:
            row = models.DBDatastoreVersion.get(session, version_id)
        return {"version": views.version(req, row)}

    @contract(answer=flavor_views.LIST, errors=(503,))
    def index_version_flavors(self, req, datastore, version):
        """The flavors that a version may be used with: those bound to it, all if none is."""
        with get_db_api().reader() as session:
            row = models.find_version(session, models.find_datastore(session, datastore), version)
            bound = models.bound_flavors(session, row.id)
        flavors = flavor_models.list_flavors(req.context.project_id)
        return {"flavors": [flavor_views.flavor(req, flavor) for flavor in flavors if not bound or flavor.id in bound]}

    @contract(answer=volume_type_views.LIST, errors=(503,))
    def index_version_volume_types(self, req, datastore, version):
        """The volume types that a version may be used with: all, since none can be bound to one."""
        with get_db_api().reader() as session:
            models.find_version(session, models.find_datastore(session, datastore), version)
        return {"volume_types": [volume_type_views.volume_type(found)
                                 for found in volume_type_models.list_volume_types(req.context.project_id)]}

    @contract(status=202)
    def delete(self, req, datastore):
        """Delete a datastore that has no versions (administrators)."""
        in_transaction(registration.delete_datastore)(datastore)
        LOG.info("datastore %s deleted by user %s", datastore, req.context.user_id)


class ParametersController(wsgi.Controller):
    """The parameters that configuration groups of a version may set."""

    @contract(answer=views.PARAMETERS)
    def index(self, req, datastore, version):
        """The parameters of a version of a datastore."""
        with get_db_api().reader() as session:
            row = models.find_version(session, models.find_datastore(session, datastore), version)
            return _parameters(session, row)

    @contract(answer=views.PARAMETER)
    def show(self, req, datastore, version, name):
        """One of them, without a wrapper."""
        with get_db_api().reader() as session:
            row = models.find_version(session, models.find_datastore(session, datastore), version)
            return views.parameter(models.find_parameter(session, row, name))

    @contract(answer=views.PARAMETERS)
    def index_by_version(self, req, version_id):
        """The parameters of a version."""
        with get_db_api().reader() as session:
            return _parameters(session, models.DBDatastoreVersion.get(session, version_id))

    @contract(answer=views.PARAMETER)
    def show_by_version(self, req, version_id, name):
        """One of them, without a wrapper."""
        with get_db_api().reader() as session:
            row = models.DBDatastoreVersion.get(session, version_id)
            return views.parameter(models.find_parameter(session, row, name))


def _parameters(session, version):
    return {"configuration-parameters": [views.parameter(row) for row in models.load_parameters(session, version)]}
