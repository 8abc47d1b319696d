"""[postgresql] identity card of the PostgreSQL datastore."""
from oslo_config import cfg

from trove.common.files.pairs import Pairs
from trove.common.traits import Maturity, ServerMemory, Traits
from trove.conf import datastore

GROUP = "postgresql"

opts = [
    *datastore.datastore_opts(
        tcp_ports=("5432",),
        mount_point="/var/lib/postgresql",
        usage_timeout=400,
        root_controller="trove.extensions.common.service.DefaultRootController",
        ignore_users=("os_admin", "postgres", "root"),
        ignore_dbs=("postgres",),
        backup_strategy="PgBaseBackup",
        backup_incremental_strategy={"PgBaseBackup": "PgBaseBackupIncremental"},
        backup_namespace=f"{datastore.BACKUP}.experimental.postgresql_impl",
        restore_namespace=f"{datastore.RESTORE}.experimental.postgresql_impl",
        replication_strategy="PgStreamingReplication",
        replication_namespace=f"{datastore.REPLICATION}.experimental.postgresql_impl",
        archive_strategy="PgWalArchive",
        archive_namespace=f"{datastore.ARCHIVE}.experimental.postgresql_impl",
        guest_log_exposed_logs="general",
        guest_log_long_query_time=0,
    ),
    cfg.PortOpt("postgresql_port", default=5432, help="TCP port at which the server listens."),
]

TRAITS = Traits(
    manager="trove.guestagent.datastore.experimental.postgresql.manager.Manager",
    file_format=Pairs(), client_port=5432, port_option="postgresql_port",
    maturity=Maturity.TECHNICAL_PREVIEW, longest_user_name=63, longest_database_name=63,
    models="trove.guestagent.db.postgresql.PostgreSqlNames",
    backup_suffixes={"PgBaseBackup": ".tar", "PgBaseBackupIncremental": ".tar", "PgDump": ".sql"},
    memory=ServerMemory(empty=(48, 64), pool_shares=(0.25, 0.25, 0.25), lean_strategies=()))
