"""Creating an instance: what the request means (pure), whether it can be (rules), and one transaction that makes it so.

Called by ``instance.service``. After the transaction the task manager is only woken: if that fails, its sweep finds
the operation.
"""
import dataclasses

from oslo_log import log as logging

from trove.backup import actions as backup_actions
from trove.backup import archives, store
from trove.backup.models import DBBackup
from trove.common import cfg, crypto, exception
from trove.common.apischema import last_segment, one_of
from trove.common.cfg import CONF
from trove.common.instance import ServiceStatuses
from trove.configuration import models as configuration_models
from trove.datastore import models as datastore_models
from trove.db import get_db_api, in_transaction, models
from trove.flavor import models as flavor_models
from trove.guestagent.db import models as guest_models
from trove.instance import placement, replicas
from trove.instance.models import DBInstance, InstanceServiceStatus
from trove.instance.tasks import InstanceTasks
from trove.network import requested
from trove.operation import models as operations
from trove.quota import quota
from trove.taskmanager import api as taskmanager

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a create request asks for, with all spellings of the clients made one; ids and names as the user gave them.

    flavor_id: None for that of the source of a replica;
    volume_size: GB or None; nics: ``network.requested.Nic``s, and in what ``_check`` returns those for Nova, dicts of
    {"net-id", "port-id", "v4-fixed-ip", "v6-fixed-ip"}; point: the time to which a backup is to be brought, in seconds
    since the epoch, and in what ``_check`` returns the "point" of the operation's arguments; restored_id: the instance
    of which one is to be found for that time; access: the object of the request, and in what ``_check`` returns the
    CIDRs that may connect, None for the default; databases, users: value objects of ``guestagent.db.models``, not yet
    checked.
    """

    name: str
    flavor_id: str | None
    datastore: str | None = None
    version: str | None = None
    volume_size: int | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    nics: tuple = ()
    access: dict | list | None = None
    databases: tuple = ()
    users: tuple = ()
    backup_id: str | None = None
    point: int | dict | None = None
    restored_id: str | None = None
    configuration_id: str | None = None
    module_ids: tuple = ()
    source_id: str | None = None
    replica_count: int = 1


def _flavor_id(given):
    ref = one_of(given, "flavorRef", "flavor", "instance")
    if isinstance(ref, dict):
        ref = ref["id"]
    if ref is None:
        if given.get("replica_of") or given.get("slave_of"):
            return None
        raise exception.BadValue(field="instance.flavorRef", reason="is required: the id of a flavor.")
    return last_segment(int(ref) if isinstance(ref, float) else ref)


def parse(given):
    """The Spec of the ``instance`` object of a body that fits the schema. Raises BadRequest for what cannot be."""
    volume = given.get("volume") or {}
    datastore = given.get("datastore") or {}
    if given.get("region_name") not in (None, CONF.region, CONF.os_region_name):
        raise exception.BadValue(field="instance.region_name", reason=(
            f"instances are made in the region '{CONF.os_region_name}' here; ask the API of the other region."))
    source = one_of(given, "replica_of", "slave_of", "instance")
    count = given.get("replica_count") or 1
    if count > 1 and not source:
        raise exception.Forbidden("replica_count: more than one instance can only be made as replicas (replica_of).")
    if given.get("locality"):
        if not source:
            raise exception.BadValue(field="locality", reason="can only be given for replicas.")
        raise exception.NotImplementedHere("locality: where the servers of replicas run cannot be chosen here.")
    restore = given.get("restorePoint") or {}
    backup_ref, instance_ref = restore.get("backupRef"), restore.get("instanceRef")
    if restore and bool(backup_ref) == bool(instance_ref):
        raise exception.BadValue(field="restorePoint", reason="needs either backupRef or instanceRef.")
    if instance_ref and not restore.get("time"):
        raise exception.BadValue(field="restorePoint.time", reason="is required with instanceRef.")
    point = archives.parse(restore["time"]) if restore.get("time") else None
    configuration = given.get("configuration")
    nics = requested.parse(given.get("nics") or ())
    requested.check_count(nics, count)
    return Spec(
        name=given["name"],
        flavor_id=_flavor_id(given),
        datastore=datastore.get("type"),
        version=one_of(datastore, "version", "version_number", "instance.datastore"),
        volume_size=int(volume["size"]) if volume else None,
        volume_type=volume.get("type"),
        availability_zone=given.get("availability_zone"),
        nics=nics,
        access=given.get("access"),
        databases=tuple(map(guest_models.Database.from_request, given.get("databases") or ())),
        users=tuple(map(guest_models.User.from_request, given.get("users") or ())),
        backup_id=last_segment(backup_ref) if backup_ref else None,
        point=point,
        restored_id=last_segment(instance_ref) if instance_ref else None,
        configuration_id=last_segment(configuration) if configuration else None,
        module_ids=tuple(module["id"] for module in given.get("modules") or ()),
        source_id=last_segment(source) if source else None,
        replica_count=int(count),
    )


def check_volume(spec, settings):
    """Whether the volume fits the datastore and the largest size.

    settings: the datastore's options. Raises BadValue, NotImplementedHere (a volume where there are none) and
    VolumeSizeExceeded.
    """
    supported = CONF.trove_volume_support and settings.volume_support
    if not supported:
        if spec.volume_size is not None:
            raise exception.NotImplementedHere("volume: instances of this datastore have no volume; leave it out.")
        return
    if spec.volume_size is None:
        raise exception.BadValue(field="volume", reason="is required: an object with the size in GB.")
    if spec.volume_size <= 0:
        raise exception.BadValue(field="volume.size", reason="must be at least 1 GB.")
    if spec.volume_size > CONF.max_accepted_volume_size:
        raise exception.VolumeSizeExceeded(size=spec.volume_size, maximum=CONF.max_accepted_volume_size)


def check_users_and_databases(spec, manager, datastore):
    """Check the users and databases of a request: names, passwords, nothing twice, grants only on databases of it.

    datastore: its name. Raises BadValue naming the element, NotImplementedHere for a datastore without users.
    """
    if not spec.users and not spec.databases:
        return
    datastore_models.require_users(manager, datastore)
    names = guest_models.of(manager)
    known = {database.name for database in names.check_databases(spec.databases)}
    for number, user in enumerate(names.check_users(spec.users)):
        unknown = sorted({database.name for database in user.databases} - known)
        if unknown:
            raise exception.BadValue(field=f"users[{number}].databases",
                                     reason=f"'{unknown[0]}' is not among the databases of the request.")


def _overrides(session, context, spec, version):
    """The values of the configuration group, which is held until the instance is attached to it.

    Raises NotFound, BadRequest (group of another datastore version).
    """
    if not spec.configuration_id:
        return {}
    group = configuration_models.lock(session, spec.configuration_id, context)
    if group.tenant_id != context.project_id:
        raise exception.NotFound(resource=group.label, id=group.id)
    if group.datastore_version_id != version.id:
        raise exception.BadRequest(f"configuration: {group.id} is for another datastore version than the instance.")
    return configuration_models.load_values(session, group.id, configuration_models.load_rules(session, version.id))


@in_transaction
def _insert(session, context, spec, datastore, version, flavor, root_password):
    """Charge the quota, write the rows and begin the operations: all or nothing.

    Returns the Operations that were begun, and the id of the (last) instance.
    """
    source = replicas.lock_source(session, context, spec.source_id) if spec.source_id else None
    if source:
        replicas.check_size(spec.volume_size, source)  # it may have grown since the request was checked
    overrides = _overrides(session, context, spec, version)
    names = replicas.names(spec)
    quota.reserve(session, context.project_id,
                  {"instances": len(names), "volumes": len(names) * (spec.volume_size or 0)})
    ids = [models.new_id() for _ in names]
    begun, backup_id = [], spec.backup_id
    if source:
        operation = replicas.begin_snapshot(session, context, source, ids, spec.volume_size)
        backup_id = operation.resource_id
        begun.append(operation)
    secrets = {"users": [user.serialize() for user in spec.users], "root_password": root_password}
    for instance_id, name in zip(ids, names, strict=True):
        session.add(DBInstance(
            id=instance_id, name=name, tenant_id=context.project_id, flavor_id=flavor.id, slave_of_id=spec.source_id,
            volume_size=spec.volume_size, datastore_version_id=version.id, task=InstanceTasks.BUILDING,
            configuration_id=spec.configuration_id, guest_key_id=crypto.operation_key_ids()[0]))
        session.add(InstanceServiceStatus(instance_id=instance_id, status=ServiceStatuses.NEW))
        arguments = {
            "name": name,
            "flavor": dataclasses.asdict(flavor),
            "image_id": version.image_id,
            "datastore": {"name": datastore.name, "manager": version.manager, "version": version.name,
                          "version_id": version.id, "packages": version.package_list},
            "volume_size": spec.volume_size,
            "volume_type": spec.volume_type,
            "availability_zone": spec.availability_zone,
            "nics": list(spec.nics),
            "allowed_cidrs": spec.access,
            "databases": [database.serialize() for database in spec.databases],
            "user_names": [user.name for user in spec.users],
            "overrides": overrides,
            "configuration_id": spec.configuration_id,
            "backup_id": backup_id,
            "point": spec.point,
            "replica_of": spec.source_id,
            "root": bool(root_password),
        }
        begun.append(operations.begin(session, "instance.create", "instance", instance_id, context, arguments, secrets))
    return begun, ids[-1]


def _of_backup(session, context, spec):
    """Return the Spec of a restore with its backup, and with the backup's datastore and version if it names none.

    Raises NotFound, BadValue (no backup that can be brought to the time).
    """
    if spec.restored_id:
        spec = dataclasses.replace(spec, backup_id=archives.find_base(session, spec.restored_id, spec.point, context))
    if spec.datastore:
        return spec
    version = session.get(datastore_models.DBDatastoreVersion,
                          DBBackup.get(session, spec.backup_id, context).datastore_version_id)
    if version is None:  # it was deleted
        return spec
    return dataclasses.replace(spec, datastore=version.datastore_id, version=spec.version or version.id)


def _check(context, token, spec):
    """Check the request against our rows and the cloud. Return (Spec, datastore, version, settings, flavor).

    The cloud is asked last, after all other checks have passed.
    """
    with get_db_api().reader() as session:
        if spec.source_id:
            source = replicas.load_source(session, context, spec.source_id)
            datastore, version = replicas.datastore_of(session, source)
            bound = datastore_models.bound_flavors(session, version.id)
            spec = replicas.complete(spec, source, datastore, version)
        else:
            if spec.backup_id or spec.restored_id:
                spec = _of_backup(session, context, spec)
            datastore, version, bound = datastore_models.for_create(session, spec.datastore, spec.version)
        settings = cfg.datastore_options(version.manager)
        check_volume(spec, settings)
        check_users_and_databases(spec, version.manager, datastore.name)
        allowed_cidrs = placement.check_access(spec.access, version.manager)
        if spec.module_ids:
            raise exception.NotFound(resource="module", id=spec.module_ids[0])
    flavor = flavor_models.offered(spec.flavor_id, context.project_id, bound, settings, "instance.flavorRef")
    if spec.source_id:
        replicas.check_flavor(flavor, flavor_models.get_flavor(source.row.flavor_id))
        store.check_service()
    if spec.backup_id:
        with get_db_api().reader() as session:
            backup = backup_actions.restorable(session, context, spec.backup_id, version, spec.volume_size, flavor.disk)
            archive = None
            if spec.point is not None:
                if not settings.archive_strategy:
                    raise exception.NotImplementedHere(
                        f"restorePoint.time: logs are not archived for the datastore {datastore.name}.")
                archive = archives.check_point(session, backup, spec.point)
        store.check(backup)
        if archive is not None:
            archives.check_pieces(archive, backup.archive_piece)
            spec = dataclasses.replace(spec, point={"time": spec.point, "archive_id": archive.id,
                                                    "first": backup.archive_piece, "count": archive.pieces})
    spec = dataclasses.replace(spec, nics=tuple(placement.check(context, token, spec)), access=allowed_cidrs)
    return spec, datastore, version, settings, flavor


def create(context, token, spec):
    """Make the rows of an instance, or of several replicas, and wake the task manager.

    token: the caller's, with which Neutron is asked for the networks that spec names. Returns (id of the instance, the
    last one of several; password of root or None). Raises BadRequest, Forbidden, NotFound, Conflict,
    NotImplementedHere, OverLimit, UnprocessableEntity, Unauthorized or ServiceUnavailable; then nothing was written.
    """
    spec, datastore, version, settings, flavor = _check(context, token, spec)
    # A server that was restored or follows another has the root of that.
    keeps_root = spec.backup_id or spec.source_id
    root_password = None
    if settings.root_on_create and not keeps_root:
        root_password = guest_models.of(version.manager).generate_password()
    begun, instance_id = _insert(context, spec, datastore, version, flavor, root_password)
    for operation in begun:
        LOG.info("%s %s: %s is begun (%s %s, flavor %s, operation %s)", operation.resource_type, operation.resource_id,
                 operation.kind, datastore.name, version.name, flavor.id, operation.id)
        taskmanager.API(context).wake(operation.id)
    return instance_id, root_password
