"""Where the logs of a tenant's instances are published: a container of the caller's own account in the object store.

The API acts there with the caller's token, while the request lasts. A guest gets a signature (TempURL) for the names
of its own instance, valid for one call. Which names it gave is not believed: only those that fit the exact pattern of
the agent's are used.
"""
import contextlib
import re

from trove.common import crypto, exception, object_store, remote, security
from trove.common.cfg import CONF

# The name of one piece, behind the prefix; ``guestagent.logs`` makes it.
_PIECE = re.compile(r"log-[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}")


def prefix(instance_id, manager, name):
    """Return the beginning of the names of all pieces of a log."""
    return f"{instance_id}/{manager}-{name}/"


@contextlib.contextmanager
def _account(req):
    """The caller's object_store.Account. What the object store refuses is raised as Unauthorized, Forbidden or
    NotFound, what it cannot do now as ServiceUnavailable.
    """
    with remote.answering("object store"):
        try:
            yield object_store.tenant_account(req.headers.get("X-Auth-Token"), req.context.project_id)
        except object_store.Error as error:
            if error.http_status == 401:
                raise exception.Unauthorized("The object store does not accept the token.") from error
            if error.http_status == 403:
                raise exception.Forbidden("The object store does not let you write into your account.") from error
            if remote.is_missing(error):
                raise exception.NotFound("There is no such account in the object store.") from error
            raise exception.ServiceUnavailable("The object store does not do it now.") from error


def grant(req, start):
    """Return what a guest needs to write objects whose names begin with ``start``: {"url", "PUT", "prefix"}.

    The container is made if it is missing. Raises as ``_account``.
    """
    keys, container = crypto.log_keys(req.context.project_id), CONF.guest_log_container_name
    with _account(req) as account:
        account.put_container(container, crypto.container_headers(keys))
        # The name of the description ends where the slash of the prefix stands.
        query = object_store.sign(account.url(), container, start.rstrip("/"), "PUT", keys[0],
                                  CONF.agent_call_high_timeout)
        return {"url": account.container_url(container), "PUT": query, "prefix": start}


def discard(req, start):
    """Delete the pieces of a log and its description; succeed if there are none. Raises as ``_account``.

    start: as ``prefix`` gives it. Objects with names that no agent gives are left and reported (path.refused).
    """
    container = CONF.guest_log_container_name
    with _account(req) as account:
        while True:
            try:
                found = [each.name for each in account.list(container, start)]
            except object_store.Error as error:
                if remote.is_missing(error):
                    return
                raise
            ours = [name for name in found if name.startswith(start) and _PIECE.fullmatch(name, len(start))]
            if not ours:
                break
            for name in ours:
                account.delete(container, name)
        if found:
            security.report("path.refused", f"{len(found)} objects below {start} in the container of logs have names "
                                            f"that no agent gives, such as {found[0]!r}")
        account.delete(container, metafile(start))


def metafile(start):
    """The name of the object that describes what was published."""
    return f"{start.rstrip('/')}_metafile"
