"""The service statuses that a guest reports and the control plane stores."""
from dataclasses import dataclass


@dataclass(frozen=True)
class ServiceStatus:
    """code: stored number; description: text on the wire; api_status: the word shown to users."""

    code: int
    description: str
    api_status: str

    @property
    def action_is_allowed(self):
        """Whether a database in this status may be worked on."""
        return self in (ServiceStatuses.RUNNING, ServiceStatuses.SHUTDOWN,
                        ServiceStatuses.CRASHED, ServiceStatuses.BLOCKED)


class ServiceStatuses:
    """All statuses; each code and each description occurs once."""

    RUNNING = ServiceStatus(0x01, "running", "ACTIVE")
    BLOCKED = ServiceStatus(0x02, "blocked", "BLOCKED")
    PAUSED = ServiceStatus(0x03, "paused", "SHUTDOWN")
    SHUTDOWN = ServiceStatus(0x04, "shutdown", "SHUTDOWN")
    DELETED = ServiceStatus(0x05, "deleted", "DELETED")
    CRASHED = ServiceStatus(0x06, "crashed", "SHUTDOWN")
    FAILED = ServiceStatus(0x08, "failed to spawn", "FAILED")
    BUILDING = ServiceStatus(0x09, "building", "BUILD")
    PROMOTING = ServiceStatus(0x10, "promoting replica", "PROMOTE")
    EJECTING = ServiceStatus(0x11, "ejecting replica source", "EJECT")
    LOGGING = ServiceStatus(0x12, "transferring guest logs", "LOGGING")
    UNKNOWN = ServiceStatus(0x16, "unknown", "ERROR")
    NEW = ServiceStatus(0x17, "new", "NEW")
    FAILED_TIMEOUT_GUESTAGENT = ServiceStatus(0x18, "guestagent error", "ERROR")
    INSTANCE_READY = ServiceStatus(0x19, "instance ready", "BUILD")
    RESTART_REQUIRED = ServiceStatus(0x20, "restart required", "RESTART_REQUIRED")

    @classmethod
    def all(cls):
        """Every status, in the order of the codes."""
        return tuple(sorted((s for s in vars(cls).values() if isinstance(s, ServiceStatus)), key=lambda s: s.code))

    @classmethod
    def from_code(cls, code):
        """The status with a stored number. Raises KeyError."""
        return _BY_CODE[code]

    @classmethod
    def from_description(cls, description):
        """The status with a text of the wire. Raises KeyError."""
        return _BY_DESCRIPTION[description]


_BY_CODE = {status.code: status for status in ServiceStatuses.all()}
_BY_DESCRIPTION = {status.description: status for status in ServiceStatuses.all()}
# An older agent's word for INSTANCE_READY.
_BY_DESCRIPTION["build pending"] = ServiceStatuses.INSTANCE_READY
