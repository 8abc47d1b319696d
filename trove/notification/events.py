"""dbaas.<operation>.<start, end or error>: which operation is told under which name, with which traits.

Long operations are told by ``operation.models.begin`` and by the runner, whatever their flow; what the API does by
itself is told by ``told``.
"""
import contextlib

from trove.common import exception
from trove.db import get_db_api
from trove.notification import models

START, END, ERROR = "start", "end", "error"


def _instance(operation, **traits):
    return {"instance_id": operation.resource_id, **traits}


def _create(operation):
    args = operation.args
    traits = {"instance_id": operation.resource_id, "name": args["name"], "flavor_id": args["flavor"]["id"],
              "datastore": args["datastore"]["name"], "datastore_version": args["datastore"]["version"],
              "image_id": args["image_id"], "availability_zone": args.get("availability_zone")}
    more = {"databases": [database["_name"] for database in args.get("databases") or ()],
            "users": args.get("user_names"), "nics": args.get("nics"),
            **{name: args.get(name) for name in ("volume_size", "backup_id", "replica_of", "replica_count",
                                                 "cluster_id")}}
    return {**traits, **{name: value for name, value in more.items() if value}}


def _administer(operation):
    return _instance(operation, **operation.args["traits"])


def _configure(operation):
    group = operation.args.get("configuration_id")
    return _instance(operation, **({"configuration_id": group} if group else {}))


def _backup(operation):
    args = operation.args
    return {"backup_id": operation.resource_id, "name": args["name"], "instance_id": args["instance_id"],
            "description": args["description"], "parent_id": args["parent_id"]}


def _resize_volume(operation):
    replicas = sorted(operation.args.get("replicas", ()))
    return _instance(operation, new_size=operation.args["size"], **({"replicas": replicas} if replicas else {}))


def _resource(operation):
    return {f"{operation.resource_type}_id": operation.resource_id}


# Parts of other operations, and the deployment's own care of guests: of these alone nobody wants to know.
INTERNAL = frozenset(("backup.snapshot", "guest.rotate"))
# Kind of an operation -> (name of its events or a function that gives it, function that gives its traits). A kind that
# is not here is told under its own name.
OPERATIONS = {
    "instance.create": ("instance_create", _create),
    "instance.delete": ("instance_delete", _instance),
    "instance.restart": ("instance_restart", _instance),
    "instance.resize_flavor": ("instance_resize_instance", lambda operation: _instance(
        operation, new_flavor_id=operation.args["flavor"]["id"])),
    "instance.resize_volume": ("instance_resize_volume", _resize_volume),
    "instance.promote": ("instance_promote", _instance),
    "instance.eject": ("instance_eject", _instance),
    "instance.detach": ("instance_detach", _instance),
    "instance.configure": (lambda operation: operation.args.get("event") or "instance_configure", _configure),
    **{f"{noun}.{verb}": (f"{noun}_{verb}", _administer) for noun, verb in (
        ("database", "create"), ("database", "delete"), ("user", "create"), ("user", "delete"),
        ("user", "change_password"), ("user", "update_attributes"), ("user", "grant"), ("user", "revoke"))},
    "backup.create": ("backup_create", _backup),
    "backup.delete": ("backup_delete", _resource),
    # Not in the documents, and told in the same form.
    "instance.reboot": ("instance_reboot", _instance),
    "instance.start": ("instance_start", _instance),
    "instance.stop": ("instance_stop", _instance),
    "instance.access": ("instance_access", _instance),
    "instance.migrate": ("instance_migrate", _instance),
}


def of_operation(operation):
    """(name, traits) of the events of an operation."""
    name, traits = OPERATIONS.get(operation.kind, (operation.kind.replace(".", "_"), _resource))
    return (name(operation) if callable(name) else name), traits(operation)


def _base(context, server_type):
    """The traits of every event. context: what ``TroveContext.to_durable_dict`` gives."""
    return {"tenant_id": context.get("project_id"), "client_ip": context.get("client_ip"),
            "server_ip": context.get("server_ip"), "server_type": server_type, "request_id": context.get("request_id")}


def _failure(error, message):
    return {"message": message, "exception": type(error).__name__ if error is not None else None}


def begun(session, operation):
    """Tell in the caller's transaction that an operation begins: one that nobody asked the API for is our own."""
    _put(session, operation, START, "api" if operation.request.get("server_ip") else "taskmanager")


def ended(session, operation):
    """Tell in the caller's transaction that an operation has succeeded."""
    _put(session, operation, END, "taskmanager")


def failed(session, operation, message, error=None):
    """Tell in the caller's transaction that an operation has failed: message for the user, the exception if known."""
    _put(session, operation, ERROR, "taskmanager", _failure(error, message))


def _put(session, operation, phase, server_type, more=()):
    if models.enabled() and operation.kind not in INTERNAL:
        name, traits = of_operation(operation)
        models.put(session, f"dbaas.{name}.{phase}", {**_base(operation.request, server_type), **traits, **dict(more)})


@contextlib.contextmanager
def told(context, event, /, **traits):
    """Around what the API does by itself: tells its start, and its end or its error.

    event: name of the operation; traits: of its start. Gives a dict for the traits of the end.
    """
    more = {}
    if not models.enabled():
        yield more
        return
    payload = {**_base(context.to_durable_dict(), "api"), **traits}
    _tell(f"dbaas.{event}.{START}", payload)
    try:
        yield more
    except Exception as error:
        _tell(f"dbaas.{event}.{ERROR}", {**payload, **_failure(error, exception.sentence(error))})
        raise
    _tell(f"dbaas.{event}.{END}", {**payload, **more})


def _tell(event_type, payload):
    with get_db_api().writer() as session:
        models.put(session, event_type, payload)
