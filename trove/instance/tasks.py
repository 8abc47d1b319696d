"""What the control plane is doing with an instance. Codes are stored; each occurs once."""
from dataclasses import dataclass


@dataclass(frozen=True)
class InstanceTask:
    """code: stored number; action: the word that decisions look at; description: text for people."""

    code: int
    action: str
    description: str
    is_error: bool = False


class InstanceTasks:
    """All tasks."""

    NONE = InstanceTask(0x01, "NONE", "No tasks for the instance.")
    DELETING = InstanceTask(0x02, "DELETING", "Deleting the instance.")
    REBOOTING = InstanceTask(0x03, "REBOOTING", "Rebooting the instance.")
    RESIZING = InstanceTask(0x04, "RESIZING", "Resizing the instance.")
    BUILDING = InstanceTask(0x05, "BUILDING", "The instance is building.")
    MIGRATING = InstanceTask(0x06, "MIGRATING", "Migrating the instance.")
    RESTART_REQUIRED = InstanceTask(0x07, "RESTART_REQUIRED", "Instance requires a restart.")
    PROMOTING = InstanceTask(0x08, "PROMOTING", "Promoting the instance to replica source.")
    EJECTING = InstanceTask(0x09, "EJECTING", "Ejecting the replica source.")
    LOGGING = InstanceTask(0x0A, "LOGGING", "Transferring guest logs.")
    DETACHING = InstanceTask(0x0B, "DETACHING", "Detaching the instance from its replica source.")
    BUILDING_ERROR_DNS = InstanceTask(0x50, "BUILDING", "Build error: DNS.", True)
    BUILDING_ERROR_SERVER = InstanceTask(0x51, "BUILDING", "Build error: Server.", True)
    BUILDING_ERROR_VOLUME = InstanceTask(0x52, "BUILDING", "Build error: Volume.", True)
    BUILDING_ERROR_SEC_GROUP = InstanceTask(0x53, "BUILDING", "Build error: Secgroup or rule.", True)
    BUILDING_ERROR_REPLICA = InstanceTask(0x54, "BUILDING", "Build error: Replica.", True)
    PROMOTION_ERROR = InstanceTask(0x55, "PROMOTING", "Replica Promotion Error.", True)
    EJECTION_ERROR = InstanceTask(0x56, "EJECTING", "Replica Source Ejection Error.", True)
    GROWING_ERROR = InstanceTask(0x57, "GROWING", "Growing Cluster Error.", True)
    SHRINKING_ERROR = InstanceTask(0x58, "SHRINKING", "Shrinking Cluster Error.", True)
    BUILDING_ERROR_TIMEOUT_GA = InstanceTask(0x5B, "ERROR", "Build error: guestagent timeout.", True)
    DELETING_ERROR = InstanceTask(0x5D, "ERROR", "Delete error.", True)

    @classmethod
    def all(cls):
        """Every task, in the order of the codes."""
        return tuple(sorted((t for t in vars(cls).values() if isinstance(t, InstanceTask)), key=lambda t: t.code))

    @classmethod
    def from_code(cls, code):
        """The task with a stored number. Raises KeyError."""
        return _BY_CODE[code]


_BY_CODE = {task.code: task for task in InstanceTasks.all()}
