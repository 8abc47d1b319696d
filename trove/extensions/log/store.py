"""Where the logs of a tenant's instances are published: a container of the caller's own account in Swift.

The API acts there with the caller's token, while the request lasts. A guest gets a signature (TempURL) for the names
of its own instance, good for one call.
"""
import contextlib
import time
from urllib import parse

from swiftclient import exceptions, utils

from trove.common import crypto, exception, remote
from trove.common.cfg import CONF


def prefix(instance_id, manager, name):
    """What the names of the pieces of a log begin with."""
    return f"{instance_id}/{manager}-{name}/"


@contextlib.contextmanager
def _account(req):
    """A connection to the caller's account. What Swift refuses is raised as Unauthorized, Forbidden or NotFound, what
    it cannot do now as ServiceUnavailable.
    """
    with remote.answering("object store"):
        try:
            yield remote.tenant_swift_client(req.headers.get("X-Auth-Token"), req.context.project_id)
        except exceptions.ClientException as error:
            if error.http_status == 401:
                raise exception.Unauthorized("The object store does not accept the token.") from error
            if error.http_status == 403:
                raise exception.Forbidden("The object store does not let you write into your account.") from error
            if remote.is_missing(error):
                raise exception.NotFound("There is no such account in the object store.") from error
            raise exception.ServiceUnavailable("The object store does not do it now.") from error


def grant(req, start):
    """What a guest needs to write objects whose names begin with ``start``: {"url", "PUT", "prefix"}.

    The container is made if it is missing. Raises as ``_account``.
    """
    key = crypto.log_key(req.context.project_id)
    with _account(req) as account:
        account.put_container(CONF.guest_log_container_name, {"X-Container-Meta-Temp-URL-Key": key})
        url = f"{account.url.rstrip('/')}/{parse.quote(CONF.guest_log_container_name)}"
    path = parse.urlsplit(url).path
    # The name of the description ends where the slash of the prefix stands.
    signed = utils.generate_temp_url(f"{path[path.index('/v1/'):]}/{start.rstrip('/')}",
                                     int(time.time() + CONF.agent_call_high_timeout), key, "PUT", absolute=True,
                                     prefix=True)
    return {"url": url, "PUT": signed.partition("?")[2], "prefix": start}


def discard(req, start):
    """Delete the pieces of a log; none is fine. Raises as ``_account``."""
    with _account(req) as account:
        try:
            _, entries = account.get_container(CONF.guest_log_container_name, prefix=start.rstrip("/"),
                                               full_listing=True)
        except exceptions.ClientException as error:
            if remote.is_missing(error):
                return
            raise
        names = [entry["name"] for entry in entries]
        for name in [name for name in names if name.startswith(start) or name == metafile(start)]:
            with contextlib.suppress(exceptions.ClientException):
                account.delete_object(CONF.guest_log_container_name, name)


def metafile(start):
    """The name of the object that describes what was published."""
    return f"{start.rstrip('/')}_metafile"
