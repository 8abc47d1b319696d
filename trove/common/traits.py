"""The facts about a datastore that are no options, since they follow from its code; a part of its identity card.

Cards (``trove/conf/datastores``) have them under the name TRAITS; ``cfg.traits(manager)`` finds them. Pure data: this
module imports nothing of the product but the forms of files.
"""
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

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
class ReplicaAccount:
    """The form of the account with which a replica logs in at its source.

    prefix: begins its name, which is reserved; id_length: hexadecimal digits of the replica's id that follow it, at
    most 32; password_length: hexadecimal digits of its password, at most 64.
    """

    prefix: str = "os_replica_"
    id_length: int = 32
    password_length: int = 64

    def user(self, instance_id):
        """Return the name of the account of a replica."""
        return self.prefix + instance_id.replace("-", "")[:self.id_length]


@dataclass(frozen=True)
class Traits:
    """manager: dotted path of the class that manages the server in a guest; file_format: of the server's configuration
    files; client_port: TCP port at which clients and replicas connect; port_option: name of the option that has it
    instead, in the group of the datastore, or None (``cfg.client_port`` tells which holds); maturity: Maturity; users:
    whether the datastore has databases and users; longest_user_name, longest_database_name: in the unit of ``models``,
    0 without users;
    models: dotted path of the class with the rules for databases, users and passwords, a ``guestagent.db.base.Names``,
    which is right for an engine without users; backup_suffixes: {class of a backup strategy: suffix that says what its
    stream is}; client: dotted path of the class whose methods send commands to the agent, a ``guestagent.api.API``: for
    a datastore with endpoints of its own (``Manager.endpoint_classes``), one that adds their commands; replica_account:
    ReplicaAccount; memory: ServerMemory for templates that compute with a plan of the guest's memory, None for others.
    """

    manager: str
    file_format: FileFormat
    client_port: int
    maturity: Maturity
    port_option: str | None = None
    users: bool = True
    longest_user_name: int = 0
    longest_database_name: int = 0
    backup_suffixes: Mapping[str, str] = field(default_factory=dict, hash=False)
    client: str = "trove.guestagent.api.API"
    models: str = "trove.guestagent.db.base.Names"
    replica_account: ReplicaAccount = ReplicaAccount()
    memory: ServerMemory | None = None
