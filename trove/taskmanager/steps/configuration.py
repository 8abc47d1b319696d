"""What a configuration group says, in a guest: its file, and the variables of the running server."""
from oslo_log import log as logging

from trove.common import exception, template
from trove.configuration import changes, models
from trove.configuration.actions import KIND
from trove.flavor import models as flavor_models
from trove.instance import administration, loading
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations

LOG = logging.getLogger(__name__)

_IDLE = (InstanceTasks.NONE, InstanceTasks.RESTART_REQUIRED)


def wait_for_turn(work):
    """Look again until the instance does nothing else and its guest is heard of; an instance in an error has no turn.

    An operation of this kind that is younger has told this one to stop.
    Changes of databases and users are no hindrance.
    """
    with work.reading() as session:
        loaded = loading.load(session, work.resource_id)
        others = [live for live in operations.live_for(session, "instance", work.resource_id)
                  if live.id != work.operation.id and live.kind not in administration.CHANGES]
    if loaded.row.task.is_error and not loaded.guest_answers and not others:
        work.data["skipped"] = True
        return None
    return work.again() if others or loaded.row.task not in _IDLE or loaded.silent else None


def write(work):
    """Write the values of the group as they are now, and note what is left to be done with the running server."""
    if work.data.get("skipped"):
        return
    with work.reading() as session:
        loaded = loading.load(session, work.resource_id)
        rules = models.load_rules(session, loaded.row.datastore_version_id)
        values = models.load_values(session, loaded.row.configuration_id, rules)
    gone = [name for name in work.args["removed"] if name not in values]
    work.data["restart_required"] = changes.needs_restart(values, gone, rules)
    work.data["dynamic"] = {}
    if not work.data["restart_required"]:
        work.data["dynamic"] = changes.dynamic(values, gone, _defaults(loaded) if gone else {})
    _client(work).update_overrides(values, not values)


def _defaults(loaded):
    flavor = flavor_models.get_flavor(loaded.row.flavor_id)
    return template.defaults(loaded.manager, loaded.datastore, loaded.version, {"ram": flavor.ram}, loaded.id)


def apply(work):
    """Set in the running server what can be set there; what it does not take waits for a restart."""
    if work.data.get("skipped") or not work.data["dynamic"]:
        return
    refused = _client(work).apply_overrides(work.data["dynamic"])
    if refused:
        LOG.warning("instance %s: needs a restart for %s", work.resource_id, ", ".join(sorted(refused)))
        work.data.update(restart_required=True, refused=refused)


def write_before_restart(work):
    """Write the values of the group, so that a restart always ends with them, whatever became of earlier operations.

    Those are told to stop when a restart is asked for; one that is just at the guest is waited for.
    """
    if not work.args.get("configuration"):
        return None
    with work.reading() as session:
        if any(live.kind == KIND and live.cancel
               for live in operations.live_for(session, "instance", work.resource_id)):
            return work.again()
        loaded = loading.load(session, work.resource_id)
        values = models.load_values(session, loaded.row.configuration_id,
                                    models.load_rules(session, loaded.row.datastore_version_id))
    _client(work).update_overrides(values, not values)
    return None


def try_to_write(work):
    """The same before a reboot, which a guest that does not answer may need most: what fails is only noted."""
    with work.reading() as session:
        silent = loading.load(session, work.resource_id).silent
    try:
        if not silent or not work.args.get("configuration"):
            return write_before_restart(work)
    except exception.GuestError as error:
        LOG.warning("instance %s: its configuration was not written before the reboot: %s", work.resource_id, error)
    work.data["unwritten"] = True
    return None


def _client(work):
    return work.guest(work.resource_id)
