"""Give an instance another flavor, a larger volume, or another host. After any failure the instance is as it was.

FLAVOR: the server gets the flavor, and the database the settings that fit it, below the values of the configuration
group. Until Nova is told yes all of it can be taken back.
VOLUME: the volume grows under the running database where cloud, kernel and file system can do that. Else the database
is stopped, and the volume detached only if Cinder wants that. The smaller replicas of the instance grow first, all at
the same time, then the instance itself: no replica is ever smaller than its source. What Cinder has extended cannot be
shrunk: after a failure the larger volumes wait for the next attempt, and all instances keep the sizes that they had.
MIGRATION: as FLAVOR, with a host that Nova chooses instead, and no new settings.
"""
from oslo_log import log as logging

from trove.common import exception
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.taskmanager.flow import Flow, LeaseLost, Step, message_of
from trove.taskmanager.steps import configuration, flavor, guest, volume

LOG = logging.getLogger(__name__)

_BUSY = (InstanceTasks.RESIZING, InstanceTasks.MIGRATING)


def _finish(session, work, task, **columns):
    """Free the instance, if it was not given to another operation meanwhile, and write ``columns``."""
    instance = models.DBInstance.get(session, work.resource_id)
    for name, value in columns.items():
        setattr(instance, name, value)
    session.flush()
    models.compare_and_set_task(session, work.resource_id, _BUSY, task)


def _task(work):
    """A restart that was needed before still is, unless the database was started anew."""
    due = work.args["restart_required"] and not work.data.get("restarted")
    return InstanceTasks.RESTART_REQUIRED if due else InstanceTasks.NONE


def flavor_done(session, work):
    """The instance has the new flavor."""
    _finish(session, work, InstanceTasks.NONE, flavor_id=work.args["flavor"]["id"])
    models.clear_faults(session, work.resource_id)


def volume_done(session, work):
    """The instances have the new size, which was reserved until now."""
    for each in _live(session, work):
        _finish(session, each, _task(each), volume_size=each.args["size"])
        models.clear_faults(session, each.resource_id)


def migration_done(session, work):
    """The instance is on another host."""
    _finish(session, work, _task(work))
    models.clear_faults(session, work.resource_id)


def failed(session, work, step, _error, message):
    """Keep why; the instance stays busy until everything is as it was."""
    models.record_fault(session, work.resource_id, message, step.name, work.context.request_id)
    return True


def undone(session, work):
    """Free the instance: its status tells whether the database runs. What could not be taken back is told as well."""
    _finish(session, work, _task(work))
    remains = "; ".join(f"step {entry['step']}: {entry['message']}" for entry in work.data.get("not_undone", ()))
    if remains:
        models.clear_faults(session, work.resource_id)
        models.record_fault(session, work.resource_id, f"{work.operation.error} Not all of it could be taken back: "
                                                       f"{remains}", "undo", work.context.request_id)


def volume_undone(session, work):
    """The same for the instance and its replicas."""
    undone(session, work)
    volume_cancelled(session, work)


def volume_cancelled(session, work):
    """Free the replicas; whoever cancelled has freed the instance itself."""
    for each in _live(session, work)[1:]:
        _finish(session, each, _task(each))


def _live(session, work):
    """Return the Work, and the Members whose instances are still there and were not reset."""
    return [work, *(each for each in work.members() if _belongs(session, work, each))]


def _belongs(session, work, member):
    """Return whether a replica still takes part: it may have been deleted, or reset and begun something else."""
    return (not session.get(models.DBInstance, member.resource_id).deleted
            and member.resource_id in operations.load(session, work.operation.id).args.get("replicas", {}))


def _unless_grown(function):
    """Return the step without effect for a file system that has grown under the running database."""
    return lambda work: None if work.data.get("grown") else function(work)


def _of_source(function):
    """Return the step without effect for an instance that has the size already: only its replicas grow."""
    return lambda work: None if work.args["old_size"] >= work.args["size"] else function(work)


def _unless_back(function):
    """Return the undo without effect for a replica whose database runs again, or was never stopped."""
    return lambda work: None if work.data.get("restarted") or work.data.get("grown") else function(work)


def _of_replicas(function):
    """Return the step, or undo, that does ``function`` with each replica at the same time.

    A replica that is being deleted is left out. An undo goes on with the others before it fails.
    """
    def step(work):
        undoing = work.operation.state == operations.UNDOING
        name = f"undo {work.operation.step}" if undoing else work.operation.step
        waits, errors = [], []
        for member in work.members():
            if member.data.get("did") == name or not _takes_part(work, member):
                continue
            try:
                outcome = function(member)
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - the boundary of one replica's step; the flow looks at its cause
                if _takes_part(work, member):
                    errors.append((member, error))
                continue
            if outcome is None:
                member.note(did=name)
            else:
                waits.append(outcome)
        if errors and not (undoing and waits):
            member, error = errors[0]
            raise exception.TroveError(f"Replica {member.resource_id}: {message_of(error)}") from error
        return min(waits, key=lambda again: again.seconds, default=None)
    return step


def _takes_part(work, member):
    with work.reading() as session:
        if _belongs(session, work, member):
            return True
    LOG.info("instance %s: its replica %s does not take part any more", work.resource_id, member.resource_id)
    return False


FLAVOR = Flow("instance.resize_flavor", done=flavor_done, failed=failed, undone=undone, steps=(
    Step("configuration", configuration.write_before_restart, "operation_cancel_time_out", InstanceTasks.NONE),
    Step("stop_database", guest.stop_for_resize, "resize_time_out", InstanceTasks.NONE,
         undo=guest.start_with_old_flavor),
    Step("resize", flavor.ask, "revert_time_out", InstanceTasks.NONE, undo=flavor.revert),
    Step("resized", flavor.wait, "resize_time_out", InstanceTasks.NONE),
    Step("agent", guest.wait_for_agent, "resize_time_out", InstanceTasks.NONE),
    Step("start_database", guest.start_with_new_flavor, "resize_time_out", InstanceTasks.NONE),
    Step("guest", guest.wait_for_running, "resize_time_out", InstanceTasks.NONE),
    Step("confirm", flavor.confirm, "resize_time_out", InstanceTasks.NONE),
))

MIGRATION = Flow("instance.migrate", done=migration_done, failed=failed, undone=undone, steps=(
    Step("configuration", configuration.write_before_restart, "operation_cancel_time_out", InstanceTasks.NONE),
    Step("stop_database", guest.stop_for_resize, "resize_time_out", InstanceTasks.NONE, undo=guest.start_again),
    Step("migrate", flavor.ask_for_host, "revert_time_out", InstanceTasks.NONE, undo=flavor.revert_host),
    Step("migrated", flavor.wait_for_host, "resize_time_out", InstanceTasks.NONE),
    Step("agent", guest.wait_for_agent, "resize_time_out", InstanceTasks.NONE),
    Step("start_database", guest.start_again, "resize_time_out", InstanceTasks.NONE),
    Step("guest", guest.wait_for_running, "resize_time_out", InstanceTasks.NONE),
    Step("confirm", flavor.confirm, "resize_time_out", InstanceTasks.NONE),
))

# (name, do, name of its deadline, undo) of the steps with which the volume of one instance grows.
_GROWING = (
    ("extend_attached", volume.extend_attached, "volume_time_out", None),
    ("grow_mounted", guest.grow_mounted, "resize_time_out", None),
    ("configuration", _unless_grown(configuration.write_before_restart), "operation_cancel_time_out", None),
    ("stop_database", _unless_grown(guest.stop_for_resize), "resize_time_out", guest.start_again),
    ("unmount", _unless_grown(guest.unmount_volume), "resize_time_out", guest.mount_volume),
    ("detach", _unless_grown(volume.detach), "volume_time_out", volume.attach),
    ("extend", _unless_grown(volume.extend), "volume_time_out", None),
    ("attach", _unless_grown(volume.attach), "volume_time_out", None),
    ("grow", _unless_grown(guest.grow_unmounted), "resize_time_out", None),
    ("start_database", _unless_grown(guest.start_again), "resize_time_out", None),
)

VOLUME = Flow(
    "instance.resize_volume", done=volume_done, failed=failed, undone=volume_undone, cancelled=volume_cancelled, steps=(
        *(Step(f"replicas_{name}", _of_replicas(do), deadline, InstanceTasks.NONE,
               undo=undo and _of_replicas(_unless_back(undo))) for name, do, deadline, undo in _GROWING),
        *(Step(name, _of_source(do), deadline, InstanceTasks.NONE, undo=undo and _of_source(undo))
          for name, do, deadline, undo in _GROWING)))
