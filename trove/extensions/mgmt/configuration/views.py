"""Parameters of datastore versions as administrators see them: also those that were deleted."""
from trove.common import apischema
from trove.datastore import views
from trove.db import models

PARAMETER = apischema.view("ManagedParameter", {
    **views.PARAMETER_HAS, "deleted": apischema.boolean, "deleted_at": apischema.or_null(apischema.timestamp)},
    views.PARAMETER_MAY)
PARAMETERS = apischema.answer("configuration-parameters", apischema.array(PARAMETER))


def parameter(row):
    """The dict of a DBDatastoreConfigurationParameter."""
    return {**views.parameter(row), "deleted": bool(row.deleted), "deleted_at": models.iso(row.deleted_at)}
