"""Give an instance another flavor, a larger volume, or another host. After any failure the instance is as it was.

FLAVOR: the server gets the flavor, and the database the settings that fit it, below the values of the configuration
group. Until Nova is told yes all of it can be taken back.
VOLUME: the volume grows under the running database where cloud, kernel and file system can do that. Else the database
is stopped, and the volume detached only if Cinder wants that. What Cinder has extended cannot be shrunk: after a
failure the larger volume waits for the next attempt, the instance has the size that its file system has.
MIGRATION: as FLAVOR, with a host that Nova chooses instead, and no new settings.
"""
from trove.instance import models
from trove.instance.tasks import InstanceTasks
from trove.taskmanager.flow import Flow, Step
from trove.taskmanager.steps import configuration, flavor, guest, volume

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
    """The instance has the new size, which was reserved until now."""
    _finish(session, work, _task(work), volume_size=work.args["size"])
    models.clear_faults(session, work.resource_id)


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


def _unless_grown(function):
    """The step is left out when the file system has grown under the running database."""
    return lambda work: None if work.data.get("grown") else function(work)


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

VOLUME = Flow("instance.resize_volume", done=volume_done, failed=failed, undone=undone, steps=(
    Step("extend_attached", volume.extend_attached, "volume_time_out", InstanceTasks.NONE),
    Step("grow_mounted", guest.grow_mounted, "resize_time_out", InstanceTasks.NONE),
    Step("configuration", _unless_grown(configuration.write_before_restart), "operation_cancel_time_out",
         InstanceTasks.NONE),
    Step("stop_database", _unless_grown(guest.stop_for_resize), "resize_time_out", InstanceTasks.NONE,
         undo=guest.start_again),
    Step("unmount", _unless_grown(guest.unmount_volume), "resize_time_out", InstanceTasks.NONE,
         undo=guest.mount_volume),
    Step("detach", _unless_grown(volume.detach), "volume_time_out", InstanceTasks.NONE, undo=volume.attach),
    Step("extend", _unless_grown(volume.extend), "volume_time_out", InstanceTasks.NONE),
    Step("attach", _unless_grown(volume.attach), "volume_time_out", InstanceTasks.NONE),
    Step("grow", _unless_grown(guest.grow_unmounted), "resize_time_out", InstanceTasks.NONE),
    Step("start_database", _unless_grown(guest.start_again), "resize_time_out", InstanceTasks.NONE),
))
