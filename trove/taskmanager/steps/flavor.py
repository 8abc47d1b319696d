"""Another flavor, or another host, for the server of an instance. Every function looks at the server and asks Nova for
its next move.
"""
from oslo_log import log as logging

from trove.common import exception, remote
from trove.instance.models import DBInstance
from trove.taskmanager.steps import compute

LOG = logging.getLogger(__name__)

_AT_REST = ("ACTIVE", "SHUTOFF")


def ask(work):
    """Ask for the new flavor, unless the server has it or is on its way to it."""
    server = compute.check_server(work)
    if server.status in _AT_REST and not _has(server, work.args["flavor"]):
        return _try_to(work, server.resize, work.args["flavor"]["id"])
    return None


def wait(work):
    """Look again until the server has the new flavor and waits for a yes or no. Raises CloudError when Nova gave up."""
    server = compute.check_server(work)
    if server.status == "VERIFY_RESIZE" or server.status in _AT_REST:
        if _has(server, work.args["flavor"]):
            return None  # at rest: Nova has said yes by itself (its option resize_confirm_window)
        raise exception.CloudError(reason=f"the server {server.id} did not get the flavor "
                                          f"'{work.args['flavor']['name']}'; it keeps the one it had.")
    return work.again()


def confirm(work):
    """Say yes and look again until that is done."""
    server = compute.check_server(work)
    if server.status == "VERIFY_RESIZE":
        return _try_to(work, server.confirm_resize) or work.again()
    if server.status != "ACTIVE":
        return work.again()
    return _record(work, server)


def revert(work):
    """Bring the server back to the flavor that it had, wherever it is, and look again until it is there.

    Raises CloudError for a server in an error: only an administrator of the cloud can mend that.
    """
    server, old = compute.check_server(work), work.args["old_flavor"]
    if server.status == "VERIFY_RESIZE":
        return _try_to(work, server.confirm_resize if _has(server, old) else server.revert_resize) or work.again()
    if server.status not in _AT_REST:
        return work.again()
    if _has(server, old):
        return _record(work, server)
    return _try_to(work, server.resize, old["id"]) or work.again()  # it was confirmed already


def ask_for_host(work):
    """Ask for another host, once; what a process that died asked for is looked at first."""
    server = compute.check_server(work)
    if server.status != "ACTIVE":
        return None
    host = work.args["host"]
    work.note(old_host=server.hostId)
    return _try_to(work, server.migrate, **({"host": host} if host else {}))


def wait_for_host(work):
    """Look again until the server is on another host and waits for a yes or no. Raises CloudError when Nova gave up."""
    server = compute.check_server(work)
    if server.status == "VERIFY_RESIZE":
        return None
    if server.status not in _AT_REST:
        return work.again()
    if server.hostId != work.data["old_host"]:
        return None  # Nova has said yes by itself
    raise exception.CloudError(reason=f"the server {server.id} was not migrated; it stays where it was.")


def revert_host(work):
    """Bring a server that is not confirmed yet back to its host; one that is stays where it is."""
    server = compute.check_server(work)
    if server.status == "VERIFY_RESIZE":
        return _try_to(work, server.revert_resize) or work.again()
    return _record(work, server) if server.status in _AT_REST else work.again()


def _try_to(work, request, *args, **kwargs):
    """Make a request; Again when the server is busy now."""
    try:
        request(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - told apart by their status
        if not remote.is_conflict(error):
            raise
        LOG.info("instance %s: Nova is busy with its server: %s", work.resource_id, error)
        return work.again()
    return None


def _has(server, flavor):
    """Whether a server has a flavor; from 2.47 on Nova tells its name instead of its id."""
    if "id" in server.flavor:
        return server.flavor["id"] == flavor["id"]
    return server.flavor["original_name"] == flavor["name"]


def _record(work, server):
    with work.writing() as session:
        compute.record(DBInstance.get(session, work.resource_id), server)
