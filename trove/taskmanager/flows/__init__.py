"""The flows of all kinds of operations, each in a module of its own that reads like a recipe."""
from trove.taskmanager.flows import (
    access,
    administer,
    backup_create,
    backup_delete,
    backup_snapshot,
    configure,
    create,
    delete,
    detach_replica,
    eject,
    promote,
    reboot,
    resize,
    restart,
    rotate,
    start,
    stop,
)

FLOWS = {flow.kind: flow for flow in (
    create.FLOW, configure.FLOW, restart.FLOW, reboot.FLOW, stop.FLOW, access.FLOW, delete.FLOW, backup_create.FLOW,
    backup_delete.FLOW, backup_snapshot.FLOW, detach_replica.FLOW, promote.FLOW, eject.FLOW, resize.FLAVOR,
    resize.VOLUME, resize.MIGRATION, start.FLOW, rotate.FLOW, *administer.FLOWS)}
