"""The recipe of prepare, the same for every datastore: how a guest becomes an instance with a server that runs.

Install, volume, configuration, data or restore, start, secure, follow. The datastore does the parts, in this order.
"""
from dataclasses import dataclass, field

from trove.common import exception
from trove.guestagent import pkg, secrets


@dataclass(frozen=True)
class PrepareRequest:
    """The arguments of prepare as they came over the bus; secrets are kept out of the repr."""

    packages: list
    databases: list
    memory_mb: int
    users: list = field(repr=False)
    device_path: str | None
    mount_point: str | None
    backup_info: dict | None
    config_contents: str | None = field(repr=False)
    root_password: str | None = field(repr=False)
    overrides: dict
    cluster_config: dict | None
    snapshot: dict | None
    modules: list


def check(request, manager):
    """Refuse what this datastore cannot do, before anything is made. Raises DatastoreOperationNotSupported."""
    wanted = {
        "prepare with cluster_config": request.cluster_config and not manager.joins_clusters,
        "restore": request.backup_info and manager.backups is None,
        "restore to a point in time": (request.backup_info or {}).get("archive") and manager.archiver is None,
        "attach_replica": request.snapshot and manager.replication is None,
    }
    for operation, is_missing in wanted.items():
        if is_missing:
            raise exception.DatastoreOperationNotSupported(operation=operation, datastore=manager.manager)


def carry_out(request, manager):
    """Make a server that runs. Every line may be repeated after a death anywhere.

    request: PrepareRequest; manager: the Manager, whose app, backups and replication do the work.
    """
    check(request, manager)
    app, backups, replication = manager.app, manager.backups, manager.replication
    snapshot, info = request.snapshot, request.backup_info
    from_dump = bool(info) and backups.needs_server(info)
    archive = (info or {}).get("archive")
    if archive and from_dump:
        raise exception.TroveError("A dump cannot be brought to a later point in time.")
    if snapshot and from_dump:
        raise exception.TroveError("A replica cannot be made from a dump, which does not tell where to go on: "
                                   f"set [{manager.manager}] backup_strategy to one that copies files.")
    pkg.install(request.packages)
    app.service.leave_to_agent()
    app.stop()
    if request.device_path:
        app.prepare_volume(request.device_path)
    held = app.held_back(request.overrides) if info else set()
    app.write_configuration(request.config_contents, {
        name: value for name, value in request.overrides.items() if name not in held})
    if manager.archiver:
        manager.archiver.strategy.configure()
    certificate = secrets.first_server_certificate()
    if certificate:
        app.write_certificate(certificate)
    if snapshot:
        replication.configure(snapshot["config"])
    elif info and replication:
        replication.hold_still(True)
    if info is None or from_dump:
        app.prepare_data()
    else:
        app.prepare_data(lambda directory: _restore(manager, info, directory))
    app.start()
    app.secure(keep_root=bool(info))
    if from_dump:
        backups.restore(info)
        # The dump has brought the administrator of the server that was backed up.
        app.secure(keep_root=True)
    app.complete()
    if held:
        app.update_overrides(request.overrides)
        app.restart()
    if snapshot:
        replication.attach_replica(snapshot, snapshot["config"])
    elif info and replication:
        replication.detach_replica(for_failover=True)
        replication.hold_still(False)


def _restore(manager, info, directory):
    """Make a data directory of a backup, and replay logs into it if a point in time was asked for."""
    manager.backups.restore(info, directory)
    if info.get("archive"):
        manager.archiver.replay(info["archive"], directory)
