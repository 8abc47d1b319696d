"""[valkey] identity card of the Valkey datastore, known to Trove by the entry point ``trove.datastores``."""
from pathlib import Path

from trove.common.files.directives import Directives
from trove.common.traits import Maturity, ServerMemory, Traits
from trove.conf import datastore

GROUP = "valkey"
TEMPLATES = Path(__file__).resolve().parent / "templates"

opts = datastore.datastore_opts(
    tcp_ports=("6379", "16379"),
    mount_point="/var/lib/valkey",
    usage_timeout=450,
    root_controller="trove.extensions.common.service.DefaultRootController",
    backup_strategy="ValkeyBackup",
    backup_namespace="trove_valkey.backup",
    restore_namespace="trove_valkey.restore",
    replication_strategy="ValkeySyncReplication",
    replication_namespace="trove_valkey.replication",
)

TRAITS = Traits(
    manager="trove_valkey.manager.Manager", file_format=Directives(), client_port=6379,
    maturity=Maturity.TECHNICAL_PREVIEW, users=False,
    memory=ServerMemory(empty=(10, 16), pool_shares=(0.35, 0.45, 0.5), lean_strategies=("ValkeyBackup",)))
