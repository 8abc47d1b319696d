"""Changes of the databases and users of an instance: what kinds there are, and how one begins.

The API checks a change at once, unless others of the same instance wait before it; the flow checks it again in its turn
(``taskmanager.steps.administration``). They are carried out one after the other, in the order of their requests.
"""
import dataclasses
from collections.abc import Callable

from oslo_log import log as logging

from trove.common import exception
from trove.common.cfg import CONF
from trove.db import get_db_api, in_transaction
from trove.db import models as db_models
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.taskmanager import api as taskmanager

LOG = logging.getLogger(__name__)

DATABASE_CREATE, DATABASE_DELETE = "database.create", "database.delete"
USER_CREATE, USER_DELETE, USER_UPDATE = "user.create", "user.delete", "user.update_attributes"
USER_PASSWORD, USER_GRANT, USER_REVOKE = "user.change_password", "user.grant", "user.revoke"


def existing_user(guest, name, host):
    """Return the user (dict) as its guest gives it. Raises NotFound."""
    found = guest.get_user(name, host)
    if not found:
        raise exception.NotFound(resource="user", id=f"{name}@{host}")
    return found


def _refuse_databases(guest, databases):
    for database in databases:
        # The first database from that name on is the name itself, if there is such a database.
        page, _ = guest.list_databases(1, database["_name"], True)
        if any(entry["_name"] == database["_name"] for entry in page):
            raise exception.BadRequest(f"The database '{database['_name']}' exists already.")


def _refuse_user(guest, name, host):
    if guest.get_user(name, host):
        raise exception.BadRequest(f"The user '{name}@{host}' exists already.")


def _refuse_users(guest, users):
    for user in users:
        _refuse_user(guest, user["_name"], user["_host"])


def _require_users(guest, users):
    for user in users:
        existing_user(guest, user["name"], user["host"])


def _check_update(guest, username, hostname, user_attrs):
    existing_user(guest, username, hostname)
    new = (user_attrs.get("name", username), user_attrs.get("host", hostname))
    if new != (username, hostname):
        _refuse_user(guest, *new)


def _check_revoke(guest, username, hostname, database):
    existing_user(guest, username, hostname)
    if not any(entry["_name"] == database for entry in guest.list_access(username, hostname)):
        raise exception.NotFound(f"The user '{username}@{hostname}' has no access to the database '{database}'.")


def _revoke(guest, **arguments):
    try:
        guest.revoke_access(**arguments)
    except exception.NotFound as error:
        # It was there when this was checked: an earlier try, whose answer was lost, has revoked it.
        LOG.info("There is nothing left to revoke: %s", error)


@dataclasses.dataclass(frozen=True)
class Change:
    """One kind of change. Both functions are called with the client of the guest and the arguments by name.

    check: raises BadRequest or NotFound when the databases and users as they are do not allow it; send: lets the guest
    do it, and may be repeated; each: name of the argument whose items are sent one at a time, as a guest must answer
    in time.
    """

    check: Callable
    send: Callable
    each: str | None = None


CHANGES = {
    DATABASE_CREATE: Change(_refuse_databases, lambda guest, databases: guest.create_database(databases),
                            each="databases"),
    # Whether it exists is not checked: the API's documents want it so.
    DATABASE_DELETE: Change(lambda guest, database: None,
                            lambda guest, **arguments: guest.delete_database(**arguments)),
    USER_CREATE: Change(_refuse_users, lambda guest, users: guest.create_user(users), each="users"),
    USER_DELETE: Change(lambda guest, user: existing_user(guest, user["_name"], user["_host"]),
                        lambda guest, **arguments: guest.delete_user(**arguments)),
    USER_PASSWORD: Change(_require_users, lambda guest, users: guest.change_passwords(users), each="users"),
    USER_UPDATE: Change(_check_update, lambda guest, **arguments: guest.update_attributes(**arguments)),
    USER_GRANT: Change(lambda guest, username, hostname, databases: existing_user(guest, username, hostname),
                       lambda guest, **arguments: guest.grant_access(**arguments)),
    USER_REVOKE: Change(_check_revoke, _revoke),
}


def _waiting(session, instance_id, limit):
    return operations.live_ids(session, "instance", instance_id, CHANGES, limit)


def is_next(session, operation):
    """Return whether no older change of the same instance is live."""
    return _waiting(session, operation.resource_id, 1) == [operation.id]


@in_transaction
def _begin(session, context, instance_id, kind, arguments, traits):
    # The lock also gives the changes of an instance the order of their commits.
    row = models.lock(session, instance_id, context)
    if row.task in (InstanceTasks.DELETING, InstanceTasks.DELETING_ERROR):
        raise exception.UnprocessableEntity(f"Instance {instance_id} is being deleted.")
    longest = CONF.administration_queue_length
    if len(_waiting(session, instance_id, longest)) >= longest:
        raise exception.UnprocessableEntity(
            f"{longest} changes of databases and users of instance {instance_id} wait to be carried out; try again "
            "when one of them has ended.")
    return operations.begin(session, kind, "instance", instance_id, context, {"traits": traits},
                            secrets={"arguments": arguments},
                            lock=f"instance:{instance_id}:administer:{db_models.new_id()}").id


def begin(context, guest, instance_id, kind, arguments, **traits):
    """Begin a change of databases or users; returns [(instance id, operation id)].

    guest: client of its guest; kind: key of CHANGES; arguments: of the guest's command, by name, stored encrypted;
    traits: what is notified of it. Raises what the check of the kind raises, and UnprocessableEntity when the instance
    is being deleted or too many changes wait.
    """
    with get_db_api().reader() as session:
        waiting = _waiting(session, instance_id, 1)
    if not waiting:  # else what is there now is not what will be there
        CHANGES[kind].check(guest, **arguments)
    operation_id = _begin(context, instance_id, kind, arguments, traits)
    LOG.info("instance %s: %s (operation %s)", instance_id, kind, operation_id)
    taskmanager.API(context).wake(operation_id)
    return [(instance_id, operation_id)]
