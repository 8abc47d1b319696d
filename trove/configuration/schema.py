"""JSON schemas of the bodies of configuration group requests."""
from trove.common import apischema
from trove.common.apischema import compiled, or_null, wrapped
from trove.db.sqlalchemy import tables

_columns = tables.configurations.c
_name = {**apischema.text255, "maxLength": _columns.name.type.length}
_description = or_null({"type": "string", "maxLength": _columns.description.type.length})
_values = {"type": "object"}
_text = or_null(apischema.text255)

create = compiled(wrapped("configuration", {
    "type": "object", "required": ["name", "values"],
    "properties": {"name": _name, "description": _description, "values": _values,
                   "datastore": or_null({"type": "object", "properties": {"type": _text, "version": _text}})}}))
# What is absent stays as it is, in PUT too: a rename must not empty the group.
update = compiled(wrapped("configuration", {
    "type": "object", "properties": {"name": _name, "description": _description, "values": _values}}))
