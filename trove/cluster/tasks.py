"""What the control plane is doing with a cluster. Codes are stored; each occurs once."""
from dataclasses import dataclass


@dataclass(frozen=True)
class ClusterTask:
    """code: stored number; name: word for programs; description: text for people."""

    code: int
    name: str
    description: str


class ClusterTasks:
    """All tasks."""

    NONE = ClusterTask(0x01, "NONE", "No tasks for the cluster.")
    BUILDING = ClusterTask(0x02, "BUILDING", "Building the initial cluster.")
    DELETING = ClusterTask(0x03, "DELETING", "Deleting the cluster.")
    ADDING_SHARD = ClusterTask(0x04, "ADDING_SHARD", "Adding a shard to the cluster.")
    GROWING = ClusterTask(0x05, "GROWING_CLUSTER", "Increasing the size of the cluster.")
    SHRINKING = ClusterTask(0x06, "SHRINKING_CLUSTER", "Decreasing the size of the cluster.")

    @classmethod
    def from_code(cls, code):
        """The task with a stored number. Raises KeyError."""
        return _BY_CODE[code]


_BY_CODE = {task.code: task for task in vars(ClusterTasks).values() if isinstance(task, ClusterTask)}
