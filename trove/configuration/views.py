"""What users see of a configuration group."""
from trove.common import apischema
from trove.db import models

_string, _nothing = apischema.string, apischema.or_null(apischema.string)
_SHORT = {"id": apischema.uuid, "name": _string, "description": _nothing, "created": apischema.timestamp,
          "updated": apischema.timestamp, "project_id": _string, **dict.fromkeys(
              ("datastore_name", "datastore_version_id", "datastore_version_name", "datastore_version_number"),
              _string)}
_VALUES = {"type": "object", "additionalProperties": {"type": ["boolean", "number", "string"]}}
LIST = apischema.page("configurations", apischema.view("ConfigurationInList", _SHORT))
SHOW = apischema.answer("configuration", apischema.view(
    "Configuration", {**_SHORT, "values": _VALUES, "instance_count": apischema.integer}))
INSTANCES = apischema.page("instances", apischema.view("AttachedInstance", {"id": apischema.uuid, "name": _string}))
DEFAULTS = apischema.answer("instance", apischema.view(
    "DefaultConfiguration", {"configuration": {"type": "object", "additionalProperties": _string}}))


def short(loaded):
    """The view of a group in a list.

    loaded: configuration.models.Loaded.
    """
    row = loaded.row
    return {"id": row.id, "name": row.name, "description": row.description, "created": models.iso(row.created),
            "updated": models.iso(row.updated), "project_id": row.tenant_id, "datastore_name": loaded.datastore,
            "datastore_version_id": row.datastore_version_id, "datastore_version_name": loaded.version,
            "datastore_version_number": loaded.version}


def full(loaded):
    """The view of one group, with its values."""
    return {**short(loaded), "values": loaded.values, "instance_count": loaded.instance_count}
