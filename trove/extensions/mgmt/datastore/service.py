"""Controller of /mgmt/datastore-versions."""
from oslo_log import log as logging

from trove.common import cfg, exception, wsgi
from trove.common.apischema import contract
from trove.datastore import images, models, registration
from trove.db import get_db_api, in_transaction
from trove.extensions.mgmt.datastore import schema, views

LOG = logging.getLogger(__name__)


def _known_manager(name):
    """The name, if there are options for such a manager. Raises BadValue."""
    try:
        cfg.datastore_options(name)
    except exception.NotImplementedHere as error:
        raise exception.BadValue(field="datastore_manager", reason=str(error)) from None
    return name


def _changes(given):
    """The columns that a body sets; Glance is asked here, before any transaction.

    Raises BadValue for an unknown manager, image or set of tags, ServiceUnavailable.
    """
    values = {"name": given["name"]} if given.get("name") is not None else {}
    if given.get("version") not in (None, given.get("name")):
        raise exception.BadValue(field="version", reason="must be the name, or be left out: versions are told by name.")
    if given.get("active") is not None:
        values["active"] = bool(given["active"])
    if given.get("datastore_manager"):
        values["manager"] = _known_manager(given["datastore_manager"])
    if given.get("packages") is not None:
        packages = given["packages"]
        values["packages"] = packages if isinstance(packages, str) else ",".join(filter(None, packages))
    if given.get("image") or given.get("image_tags"):
        values["image_id"] = images.find_image(given.get("image"), given.get("image_tags") or ())
    return values


class DatastoreVersionController(wsgi.Controller):
    """/mgmt/datastore-versions and /mgmt/datastore-versions/{id}."""

    @contract(answer=views.LIST)
    def index(self, req):
        """Every version of every datastore, active or not."""
        with get_db_api().reader() as session:
            found = models.load_with_versions(session, only_active=False)
        return {"versions": [views.version(row, datastore) for datastore, versions in found for row in versions]}

    @contract(answer=views.SHOW)
    def show(self, req, version_id):
        """One version."""
        with get_db_api().reader() as session:
            row = models.DBDatastoreVersion.get(session, version_id)
            return {"version": views.version(row, session.get(models.DBDatastore, row.datastore_id))}

    @contract(body=schema.create, status=202, errors=(503,))
    def create(self, req, body):
        """Make a version, and its datastore if that is new. The answer is empty: clients fail on any other."""
        given = body["version"]
        values = _changes(given)
        if "image_id" not in values:
            raise exception.BadValue(field="image", reason="name an image, or tags that one has (image_tags).")
        if "manager" not in values:
            values["manager"] = _known_manager(given["datastore_name"])
        in_transaction(registration.create_version)(given["datastore_name"], values, bool(given.get("default")))
        LOG.info("version '%s' of datastore '%s' made by user %s", given["name"], given["datastore_name"],
                 req.context.user_id)

    @contract(body=schema.edit, status=202, errors=(503,))
    def edit(self, req, version_id, body):
        """Change what is named."""
        with get_db_api().reader() as session:
            models.DBDatastoreVersion.get(session, version_id)
        in_transaction(registration.change_version)(version_id, _changes(body), body.get("default"))

    @contract(status=202)
    def delete(self, req, version_id):
        """Delete a version that nothing uses or has used."""
        in_transaction(registration.delete_version)(version_id)
        LOG.info("datastore version %s deleted by user %s", version_id, req.context.user_id)
