"""The facts about a datastore that are no options, since they follow from its code; a part of its identity card.

Cards (``trove/conf/datastores``) have them under the name TRAITS; ``cfg.traits(manager)`` finds them. Pure data: this
module imports nothing of the product but the forms of files.
"""
import enum
from dataclasses import dataclass

from trove.common.files.base import FileFormat


class Maturity(enum.Enum):
    """How far a datastore can be relied on."""

    STABLE = "stable"
    TECHNICAL_PREVIEW = "technical-preview"
    EXPERIMENTAL = "experimental"

    @property
    def meaning(self):
        """A clause that says what a user can expect."""
        return _MEANINGS[self]


_MEANINGS = {
    Maturity.STABLE: "all of its features are tested with a real server, also when processes are killed",
    Maturity.TECHNICAL_PREVIEW: "its features are tested with a real server, but its options may change",
    Maturity.EXPERIMENTAL: "it may not have been tested with a real server",
}


@dataclass(frozen=True)
class ServerMemory:
    """What a plan of a guest's memory (``trove.common.memory``) must know of a server; sizes in MB.

    empty: the server without its buffer pool, with less than 2 GB in the guest and with more; pool_shares: most of the
    guest's memory that the pool may take, with less than 2 GB, less than 8 GB, and more; lean_strategies: names of the
    backup strategies that let the server itself read its data.
    """

    empty: tuple
    pool_shares: tuple
    lean_strategies: tuple


@dataclass(frozen=True)
class Traits:
    """manager: dotted path of the class that manages the server in a guest; file_format: of the server's configuration
    files; client_port: TCP port at which clients and replicas connect; maturity: Maturity; users: whether the datastore
    has databases and users; longest_user_name, longest_database_name: in characters, 0 without users;
    memory: ServerMemory for templates that compute with a plan of the guest's memory, None for others.
    """

    manager: str
    file_format: FileFormat
    client_port: int
    maturity: Maturity
    users: bool = True
    longest_user_name: int = 0
    longest_database_name: int = 0
    memory: ServerMemory | None = None
