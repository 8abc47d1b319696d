"""The door to a guest for calls about its databases and users: only to one whose database runs and that reports."""
from trove.common import exception
from trove.datastore import models as datastore_models
from trove.db import get_db_api
from trove.instance import administration, loading
from trove.instance.guests import client
from trove.operation import answer

__all__ = ["ACCEPTED", "change", "client", "load_running", "load_writable"]

# The contract of a method that changes databases or users.
ACCEPTED = {"status": 202, "errors": (501,), "waits": True}


def load_running(context, instance_id, users=True):
    """Return the Loaded of an instance whose guest can be asked.

    users: whether the call is about databases and users. Raises NotFound, NotImplementedHere for a datastore without
    them, and UnprocessableEntity when its database does not run, is about to be stopped, or its guest is silent.
    """
    with get_db_api().reader() as session:
        loaded = loading.load(session, instance_id, context)
    if users:
        datastore_models.require_users(loaded.manager, loaded.datastore)
    if loaded.why_unanswered:
        raise exception.UnprocessableEntity(f"Instance {instance_id} cannot do this now: {loaded.why_unanswered}.")
    return loaded


def load_writable(context, instance_id, users=True):
    """Return the same for what is to be changed: databases and users of a replica are those of its source.

    Raises UnprocessableEntity for a replica too.
    """
    loaded = load_running(context, instance_id, users)
    if loaded.row.slave_of_id:
        raise exception.UnprocessableEntity(f"Instance {instance_id} is a replica: its databases and users are those "
                                            f"of its source {loaded.row.slave_of_id}; change them there.")
    return loaded



def change(req, loaded, kind, arguments, **facts):
    """Change databases or users of an instance (Loaded); see ``administration.begin``. Returns the answer.

    facts: what is notified of it.
    """
    begun = administration.begin(req.context, client(req.context, loaded), loaded.id, kind, arguments, **facts)
    return answer.when_done(req, begun)
