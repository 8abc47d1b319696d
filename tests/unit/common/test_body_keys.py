"""What each key of each body does. A key without a line here fails, and so does a line without a key."""
import importlib
import pkgutil

import jsonschema
import pytest

import trove
from trove.common import apischema, exception

# Schema module -> lines "key: what it does"; a key that several schemas of a module have stands once.
TABLE = {
    "backup": """
backup.instance: the instance that is backed up
backup.name: kept and shown
backup.description: kept and shown
backup.parent_id: the backup that the new one is an increment of
backup.incremental: an increment of the newest backup
backup.storage_driver: refused unless it is swift
backup.swift_container: refused unless it is the operator's
backup.restore_from: refused, 501
backup_strategy.instance_id: checked and shown
backup_strategy.storage_driver: refused unless it is swift
backup_strategy.swift_container: refused unless it is the operator's""",
    "cluster": """
cluster.*: refused as a whole, 501: no datastore has a strategy
add_shard: refused, 501
grow.*: refused, 501
shrink.*: refused, 501
upgrade: refused, 501
reset-status: resets the task
password: refused, 501""",
    "configuration": """
configuration.name: kept and shown
configuration.description: kept and shown
configuration.values: written into the servers of the instances
configuration.datastore.type: the datastore of the group
configuration.datastore.version: the version of the group""",
    "extensions.common": """
password: the password of root
databases[].name: the database
databases[].character_set: of the database
databases[].collate: of the database
database.name: the same, for one
database.character_set: the same
database.collate: the same
database.instance_id: refused unless the address says the same
users[].name: the user
users[].host: where the user connects from
users[].password: of the user
users[].databases[].name: what is granted
users.name: the same, for one
users.host: the same
users.password: the same
users.databases[].name: the same
user.name: the new name
user.host: the new host
user.password: the new password""",
    "extensions.log": """
name: the log
enable: the server writes it
disable: the server does not write it
publish: what is new goes into the tenant's account
discard: what was published is deleted""",
    "extensions.mgmt.clusters": "reset-task: resets the task",
    "extensions.mgmt.configuration": """
configuration-parameter.name: the parameter; in an update the one of the address
configuration-parameter.restart_required: kept and obeyed
configuration-parameter.data_type: kept and obeyed
configuration-parameter.max_size: the largest value
configuration-parameter.max: the same; refused if it says something else
configuration-parameter.min_size: the smallest value
configuration-parameter.min: the same; refused if it says something else""",
    "extensions.mgmt.datastore": """
version.name: the name of the version
version.datastore_name: its datastore, made if it is new
version.datastore_manager: the manager in guests
version.packages: what guests install
version.image: the image of servers
version.image_tags: the image by its tags
version.version: refused unless it is the name
version.active: whether instances can be made of it
version.default: the default of the datastore
name: the same as in a create
datastore_manager: the same
packages: the same
image: the same
image_tags: the same
version: the same
active: the same
default: the same""",
    "extensions.mgmt.host": "update: asks for an update of agents: refused, 501",
    "extensions.mgmt.instances": """
stop: stops the database
reboot: reboots the server
migrate.host: where the server goes
reset-task-status: resets the task
rebuild.image_id: refused, 501
upgrade.instance_version: refused, 501
upgrade.location: refused, 501""",
    "extensions.mgmt.quota": "quotas: each limit by its resource; others are refused",
    "extensions.security_group": """
security_group_rule.group_id: the group
security_group_rule.cidr: who may connect""",
    "instance": """
instance.name: the name
instance.flavorRef: the flavor, if the caller may use it
instance.flavor.id: the same; refused if it says something else
instance.volume.size: of the data volume
instance.volume.type: of the data volume, if the caller may use it
instance.databases[].name: made
instance.databases[].character_set: of the database
instance.databases[].collate: of the database
instance.users[].name: made
instance.users[].host: where the user connects from
instance.users[].password: of the user
instance.users[].databases[].name: granted
instance.restorePoint.backupRef: the backup that is restored
instance.restorePoint.instanceRef: the instance of which the newest backup before the time is restored
instance.restorePoint.time: the time to which logs are replayed into it
instance.availability_zone: where the server is made
instance.datastore.type: the datastore
instance.datastore.version: the version
instance.datastore.version_number: the same; refused if it says something else
instance.nics[].net-id: the network of a card, if the caller may use it
instance.nics[].network_id: the same
instance.nics[].subnet-id: the subnet of a card
instance.nics[].subnet_id: the same
instance.nics[].port-id: the port that is a card
instance.nics[].port_id: the same
instance.nics[].v4-fixed-ip: the address of a card
instance.nics[].v6-fixed-ip: the same
instance.nics[].ip_address: the same
instance.nics[].ip-address: the same
instance.configuration: the group; in an update null detaches it
instance.replica_of: the source; in an update null detaches it
instance.slave_of: the same; refused if it says something else
instance.replica_count: how many replicas
instance.modules[].id: refused, 404: no instance can have modules
instance.locality: refused, 501
instance.region_name: refused unless it is this region
instance.access.is_public: refused when true, 501
instance.access.allowed_cidrs: who may connect
instance.datastore_version: refused in an update, 501
restart: restarts the database
resize.flavorRef: the new flavor
resize.volume.size: the new size
reset_password: refused, 501
promote_to_replica_source: promotes
eject_replica_source: ejects
reset_status: resets the task""",
    "module": """
module.name: kept and shown
module.module_type: the type
module.type: the same; refused if it says something else
module.contents: kept, encrypted
module.description: kept and shown
module.datastore.type: which datastore it is for
module.datastore.version: which version it is for
module.auto_apply: kept; for administrators
module.all_tenants: whose it is; for administrators
module.visible: who sees it; for administrators
module.live_update: kept and shown
module.all_datastores: for every datastore
module.all_datastore_versions: for every version
module.priority_apply: refused when true
module.full_access: refused when true
module.apply_order: refused unless it is the client's default
modules[].id: refused, 501""",
}


def keys(schema, path=""):
    """The paths of the innermost keys that a schema knows."""
    inner = [found for name in ("anyOf", "oneOf", "allOf") for each in schema.get(name, ())
             for found in keys(each, path)]
    inner += keys(schema["items"], f"{path}[]") if "items" in schema else []
    for name, each in schema.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        inner += keys(each, here) or [here]
    return inner


def schemas():
    """{module without its ends: [validators]} of all bodies."""
    found = {}
    for module in pkgutil.walk_packages(trove.__path__, "trove."):
        if module.name.endswith(".schema"):
            validators = [each for each in vars(importlib.import_module(module.name)).values()
                          if isinstance(each, jsonschema.Draft202012Validator)]
            found[module.name.removeprefix("trove.").removesuffix(".schema")] = validators
    return found


def test_every_module_of_schemas_is_in_the_table():
    assert set(schemas()) == set(TABLE)


@pytest.mark.parametrize("module", TABLE)
def test_every_key_has_an_effect_or_is_refused(module):
    known = {line.partition(": ")[0] for line in TABLE[module].strip().splitlines()}
    found = {key for validator in schemas()[module] for key in keys(validator.schema)}
    whole = {key.removesuffix(".*") for key in known if key.endswith(".*")}
    left = {key for key in found if not any(key.startswith((f"{each}.", f"{each}[")) for each in whole)}
    assert left == {key for key in known if not key.endswith(".*")} | (left & whole)


def objects(schema):
    """All schemas within one that name properties."""
    if isinstance(schema, dict):
        if "properties" in schema and isinstance(schema["properties"], dict):
            yield schema
        for each in schema.values():
            yield from objects(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from objects(each)


def test_no_body_takes_a_key_that_it_does_not_know():
    for validators in schemas().values():
        for validator in validators:
            for each in objects(validator.schema):
                assert each["additionalProperties"] is False, each


def test_an_unknown_key_is_refused_by_its_name():
    schema = apischema.compiled(apischema.wrapped("thing", {"type": "object", "properties": {
        "inner": apischema.or_null({"type": "object", "properties": {"a": {"type": "string"}}})}}))
    apischema.check(schema, {"thing": {"inner": None}})
    for body, text in (({"thing": {"inner": {"b": 1}}}, "thing.inner: 'b' is not known here; known are a"),
                       ({"thing": {"outer": 1}}, "'outer' is not known here"), ({"thing": {}, "other": 1}, "'other'")):
        with pytest.raises(exception.ValidationError, match=text):
            apischema.check(schema, body)
