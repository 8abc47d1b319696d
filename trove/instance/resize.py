"""Another flavor, a larger volume or another host for an instance: each function checks, begins the operation in one
transaction and then wakes the task manager. Called by ``instance.service`` and the management API. What may be done
when is ``instance.states``'.
"""
import dataclasses

from oslo_log import log as logging

from trove.common import cfg, exception
from trove.common.apischema import last_segment
from trove.common.cfg import CONF
from trove.configuration import actions as configuration
from trove.datastore import models as datastore_models
from trove.db import get_db_api, in_transaction
from trove.flavor import models as flavor_models
from trove.instance import loading, models, replicas
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.quota import quota
from trove.taskmanager import api as taskmanager

LOG = logging.getLogger(__name__)

_FIELD = "resize.flavorRef"
# From this version of its API on Nova can be told where a server is to go.
_CHOOSES_HOST = (2, 56)


def _check(session, context, instance_id, action):
    """The instance as Loaded. Raises NotFound, NotImplementedHere (cluster member), UnprocessableEntity."""
    loaded = loading.load(session, instance_id, context)
    models.refuse_member(loaded.row)
    loaded.check_action(action)
    return loaded


def _begin(session, context, loaded, action, arguments, restart_due=False):
    """Take the task and begin the operation within the caller's transaction. Returns the operation's id.

    restart_due: whether the database has to start anew for changes of its configuration group, beside what the task
    says.
    """
    row = loaded.row
    arguments = {
        "datastore": {"name": loaded.datastore, "manager": loaded.manager, "version": loaded.version},
        **_restart_of(loaded, restart_due), **arguments}
    row.task = InstanceTasks.MIGRATING if action == "migrate" else InstanceTasks.RESIZING
    return operations.begin(session, f"instance.{action}", "instance", row.id, context, arguments).id


def _restart_of(loaded, restart_due=False):
    """Return the arguments that say what a restart of the database of an instance (Loaded) includes."""
    restart_due = restart_due or loaded.row.task is InstanceTasks.RESTART_REQUIRED
    return {
        # Whether the values of its configuration group are to be written before the database starts again.
        "configuration": loaded.row.configuration_id is not None or restart_due, "restart_required": restart_due}


def _flavors(loaded, wanted, bound):
    """(present Flavor, new Flavor). Raises BadRequest, NotImplementedHere and ServiceUnavailable (Nova is away)."""
    if wanted == loaded.row.flavor_id:
        raise exception.BadValue(field=_FIELD, reason=f"the instance has the flavor '{wanted}' already.")
    settings = cfg.datastore_options(loaded.manager)
    new = flavor_models.offered(wanted, loaded.row.tenant_id, bound, settings, _FIELD)
    if loaded.row.volume_size and new.ephemeral:
        raise exception.NotImplementedHere(
            f"{_FIELD}: flavor '{new.id}' has an ephemeral disk, which an instance with a volume cannot use.")
    try:
        return flavor_models.get_flavor(loaded.row.flavor_id), new
    except exception.NotFound:
        raise exception.BadRequest(f"The present flavor '{loaded.row.flavor_id}' of the instance is not offered any "
                                   "more, so a failed resize could not be taken back; ask the operator.") from None


@in_transaction
def _begin_flavor(session, context, instance_id, old, new):
    models.lock(session, instance_id, context)
    loaded = _check(session, context, instance_id, "resize_flavor")
    if loaded.row.flavor_id != old.id:
        raise exception.UnprocessableEntity(f"Instance {instance_id}: another request changed its flavor.")
    return _begin(session, context, loaded, "resize_flavor",
                  {"old_flavor": dataclasses.asdict(old), "flavor": dataclasses.asdict(new)},
                  restart_due=_stop_changes(session, instance_id))


def _stop_changes(session, instance_id):
    """Stop changes of the configuration group that are still under way: what they were to do is done when the database
    starts. Returns whether there were any.
    """
    pending = any(live.kind == configuration.KIND for live in operations.live_for(session, "instance", instance_id))
    configuration.stop(session, instance_id)
    return pending


def resize_flavor(context, instance_id, flavor_ref):
    """Give an instance another flavor; flavor_ref: its id or URL.

    Raises NotFound, BadRequest (flavor), NotImplementedHere (cluster member, ephemeral disk), UnprocessableEntity.
    """
    with get_db_api().reader() as session:
        loaded = _check(session, context, instance_id, "resize_flavor")
        bound = datastore_models.bound_flavors(session, loaded.row.datastore_version_id)
    old, new = _flavors(loaded, last_segment(int(flavor_ref) if isinstance(flavor_ref, float) else flavor_ref), bound)
    operation_id = _begin_flavor(context, instance_id, old, new)
    LOG.info("instance %s: -> RESIZING from flavor %s to %s (operation %s)", instance_id, old.id, new.id, operation_id)
    taskmanager.API(context).wake(operation_id)


@in_transaction
def _begin_volume(session, context, instance_id, size):
    models.lock(session, instance_id, context)
    loaded = _check(session, context, instance_id, "resize_volume")
    row = loaded.row
    if not row.volume_size:
        raise exception.BadRequest(f"Instance {instance_id} has no volume that could be resized.")
    smaller = replicas.smaller_than(session, row.id, size)
    if size < row.volume_size or (size == row.volume_size and not smaller):
        raise exception.BadValue(field="resize.volume.size",
                                 reason=f"must be more than the {row.volume_size} GB that the volume has.")
    if size > CONF.max_accepted_volume_size:
        raise exception.VolumeSizeExceeded(size=size, maximum=CONF.max_accepted_volume_size)
    growing = [loaded, *sorted(smaller, key=lambda replica: replica.row.name)]
    operation_id = _begin(session, context, loaded, "resize_volume", {
        "old_size": row.volume_size, "size": size,
        "replicas": {each.id: {"old_size": each.row.volume_size, **_restart_of(each)} for each in smaller}})
    replicas.take_to_resize(session, smaller)
    _reserve(session, growing, size, operation_id)
    return operation_id


def _reserve(session, growing, size, operation_id):
    """Reserve the growth of the volumes of instances (Loaded) to ``size`` GB. Raises QuotaExceeded that names them."""
    growths = {}
    for each in growing:
        growths.setdefault(each.row.tenant_id, []).append((each.row.name, size - each.row.volume_size))
    for tenant, deltas in sorted(growths.items()):
        total = sum(delta for _, delta in deltas)
        try:
            quota.reserve(session, tenant, {"volumes": total}, operation_id)
        except exception.QuotaExceeded as error:
            if len(growing) == 1:
                raise
            each = ", ".join(f"'{name}' {delta} GB" for name, delta in deltas if delta)
            raise exception.QuotaExceeded(
                f"{error} The instance and its replicas need {total} GB more: {each}.") from error


def resize_volume(context, instance_id, size):
    """Let the data volume of an instance, and those of its replicas that are smaller, have ``size`` GB.

    Raises NotFound, BadRequest (no volume, not larger), VolumeSizeExceeded, QuotaExceeded, NotImplementedHere (cluster
    member), UnprocessableEntity, Conflict (a replica cannot grow now).
    """
    operation_id = _begin_volume(context, instance_id, size)
    LOG.info("instance %s: -> RESIZING its volume to %d GB (operation %s)", instance_id, size, operation_id)
    taskmanager.API(context).wake(operation_id)


@in_transaction
def _begin_migration(session, context, instance_id, host):
    models.lock(session, instance_id, context)
    loaded = _check(session, context, instance_id, "migrate")
    return _begin(session, context, loaded, "migrate", {"host": host}, restart_due=_stop_changes(session, instance_id))


def migrate(context, instance_id, host=None):
    """Bring the server of an instance to another host (management API); host: its name, None lets Nova choose.

    Raises NotFound, BadValue (a host, with a Nova that cannot be told one), NotImplementedHere (cluster member),
    UnprocessableEntity.
    """
    if host and tuple(map(int, CONF.nova_client_version.split("."))) < _CHOOSES_HOST:
        raise exception.BadValue(
            field="migrate.host",
            reason="can only be chosen with the option nova_client_version at 2.56 or later; leave it out.")
    operation_id = _begin_migration(context, instance_id, host)
    LOG.info("instance %s: -> MIGRATING (operation %s)", instance_id, operation_id)
    taskmanager.API(context).wake(operation_id)
