"""JSON schemas of the bodies of database, user, grant and root requests; most clients send none to enable root."""
from trove.common import apischema
from trove.common.apischema import compiled, or_null, wrapped
from trove.instance.schema import databases_def, user_databases, users_def

enable_root = compiled({"type": "object", "properties": {"password": or_null(apischema.password)}})

# openstacksdk sends one database alone, under the key "database", with the instance that the address names.
_database = {**databases_def["items"], "properties": {
    **databases_def["items"]["properties"], "instance_id": or_null(apischema.uuid)}}
create_databases = compiled({
    "type": "object", "anyOf": [{"required": ["databases"]}, {"required": ["database"]}], "maxProperties": 1,
    "properties": {"databases": {**databases_def, "minItems": 1}, "database": _database}})
create_users = compiled(wrapped("users", {**users_def, "minItems": 1}))
# The address has the name, too.
_user = {**users_def["items"], "required": ["password"]}
create_user = compiled(wrapped("users", {"anyOf": [
    _user, {"type": "array", "minItems": 1, "maxItems": 1, "items": _user}]}))
change_passwords = compiled(wrapped("users", {"type": "array", "minItems": 1, "items": {
    "type": "object", "required": ["name", "password"],
    "properties": {"name": apischema.name, "password": apischema.password, "host": or_null(apischema.host)}}}))
update_user = compiled(wrapped("user", {"type": "object", "properties": {
    "name": or_null(apischema.name), "password": or_null(apischema.password), "host": or_null(apischema.host)}}))
grant = compiled(wrapped("databases", {**user_databases, "minItems": 1}))
