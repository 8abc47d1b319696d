"""Steps that make a source and its replicas: accounts, the wait for the snapshot, the replica's connection settings.

A guest is asked about itself only; our rows say which instance replicates which. Calls are repeated until the deadline
of their step when a guest does not answer in time: each may come twice.
"""
import functools

from oslo_log import log as logging

from trove.backup import models as backup_models
from trove.common import cfg, crypto, exception, template
from trove.common.cfg import CONF
from trove.db import keys
from trove.instance import loading
from trove.instance.models import DBInstance, replica_ids
from trove.instance.tasks import InstanceTasks
from trove.operation import models as operations
from trove.taskmanager.work import Again

LOG = logging.getLogger(__name__)


def patient(step):
    """Decorator of a step: a guest that does not answer in time is asked again."""
    @functools.wraps(step)
    def attempt(work):
        try:
            return step(work)
        except exception.GuestTimeout as error:
            LOG.warning("%s of %s: asked again: %s", work.operation.kind, work.resource_id, error)
            return Again(CONF.operation_retry_interval)
    return attempt


def account(manager, instance_id):
    """Return the account of a replica at its source: {"user", "password"}, in the form that the datastore's card has.

    manager: name of the datastore manager of both. The password is derived from the same operation_key as the guest's
    key, so it is stored nowhere.
    """
    form = cfg.traits(manager).replica_account
    return {"user": form.user(instance_id),
            "password": crypto.replication_password(instance_id, form.password_length, keys.of_guest(instance_id))}


def load(work, instance_id):
    """Return the Loaded of an instance. Raises NotFound when it is gone."""
    with work.reading() as session:
        return loading.load(session, instance_id)


def client(work, instance_id):
    """Return the client that sends commands to the guest of an instance."""
    return work.guest(instance_id)


def config(loaded, role):
    """Return the settings text of a role ("replica" or "replica_source") for the server of an instance.

    They do not depend on the flavor: they outlast a resize, and a failover must not wait for Nova.
    """
    return template.render(loaded.manager, loaded.datastore, loaded.version, {}, loaded.id,
                           name=f"{role}.config.template")


def replica_info(source, replica_id, **more):
    """Return the connection settings of a replica for its source (Loaded).

    more: further entries. Raises TroveError while the source has no address.
    """
    addresses = source.row.address_list
    if not addresses:
        raise exception.TroveError(f"The source {source.id} has no address.")
    private = next((entry for entry in addresses if entry["type"] == "private"), addresses[0])
    port = cfg.client_port(source.manager)
    return {"master": {"host": private["address"], "port": port, **account(source.manager, replica_id)},
            "log_position": None, "must_connect": True, **more}


# The snapshot of a source, and a replica made from it

@patient
def prepare_source(work):
    """Make the server a source that knows its old replicas and the new ones, before its data are taken."""
    source = load(work, work.args["instance_id"])
    with work.reading() as session:
        everyone = sorted({*replica_ids(session, source.id), *work.args["replica_ids"]})
    snapshot = client(work, source.id).get_replication_snapshot(
        {"accounts": [account(source.manager, instance_id) for instance_id in everyone]},
        config(source, "replica_source"))
    used, room = snapshot["dataset"]["dataset_size"], work.args["volume_size"]
    if room is not None and used > room:
        raise exception.TroveError(f"The source has {used:g} GB of data, more than the {room} GB of its replicas.")


def release(work):
    """The snapshot is taken: the source may go on with other things. The backup is none that a user could use."""
    with work.writing(lock_key=f"backup:{work.resource_id}") as session:
        row = session.get(backup_models.DBBackup, work.resource_id)
        if row.state == backup_models.FAILED:
            raise exception.TroveError("The snapshot was given up.")
        row.state = backup_models.COMPLETED
        row.location = work.data["location"]
        if not row.deleted:
            row.soft_delete()


def wait_for_users(work):
    """Look again until no replica is being made from the snapshot any more."""
    with work.reading() as session:
        live = [one for instance_id in work.args["replica_ids"]
                for one in operations.live_for(session, "instance", instance_id) if one.kind == "instance.create"]
    return work.again() if live else None


def wait_for_snapshot(work):
    """Look again until the snapshot of the source is there; nothing for an instance that is no replica."""
    if not work.args.get("replica_of"):
        return None
    with work.reading() as session:
        row = session.get(backup_models.DBBackup, work.args["backup_id"])
        if row.state == backup_models.COMPLETED:
            return None
        cause = operations.newest_for(session, "backup", row.id).error
    if row.state == backup_models.FAILED:
        raise exception.GuestError(f"The snapshot of the source {work.args['replica_of']} failed: "
                                   f"{cause or 'it was given up.'}")
    return work.again()


def snapshot(work):
    """Return the replica settings that prepare takes, or None when the new instance is not a replica."""
    if not work.args.get("replica_of"):
        return None
    source = load(work, work.args["replica_of"])
    return {**replica_info(source, work.resource_id), "config": config(load(work, work.resource_id), "replica")}


# The end of a replica

def forget_replica(work):
    """Remove the account of a replica at its source, if that answers; else it goes when the source has another role."""
    with work.reading() as session:
        row = session.get(DBInstance, work.resource_id)
        try:
            source = row.slave_of_id and loading.load(session, row.slave_of_id)
        except exception.NotFound:
            source = None
    remove_account(work, source or None, work.resource_id)


def remove_account(work, source, replica_id):
    """The same for a given source (Loaded or None)."""
    if source is None or not source.guest_answers:
        return
    guest = client(work, source.id)
    try:
        guest.cleanup_source_on_replica_detach({"user": cfg.traits(source.manager).replica_account.user(replica_id)})
        if source.row.slave_of_id is None and source.row.task not in (InstanceTasks.PROMOTING, InstanceTasks.EJECTING):
            guest.make_read_only(False)  # a promotion that could be neither finished nor undone has left it so
    except exception.GuestError as error:
        LOG.warning("instance %s: the account of its replica %s was not removed: %s", source.id, replica_id, error)
