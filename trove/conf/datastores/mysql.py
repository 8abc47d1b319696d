"""[mysql] identity card of the MySQL datastore."""
from trove.common.traits import Maturity
from trove.conf import datastore, mysql_family

GROUP = "mysql"

opts = datastore.datastore_opts(
    tcp_ports=("3306",),
    mount_point="/var/lib/mysql",
    usage_timeout=400,
    root_controller="trove.extensions.common.service.DefaultRootController",
    ignore_users=("os_admin", "root"),
    ignore_dbs=("mysql", "information_schema", "performance_schema", "sys", "lost+found", "#mysql50#lost+found"),
    backup_strategy="InnoBackupEx",
    backup_incremental_strategy={"InnoBackupEx": "InnoBackupExIncremental"},
    backup_namespace=f"{datastore.BACKUP}.mysql_impl",
    restore_namespace=f"{datastore.RESTORE}.mysql_impl",
    replication_strategy="MysqlGTIDReplication",
    replication_namespace=f"{datastore.REPLICATION}.mysql_gtid",
    archive_strategy="BinaryLogs",
    archive_namespace=f"{datastore.ARCHIVE}.mysql_impl",
    guest_log_exposed_logs="general,slow_query",
    guest_log_long_query_time=1000,
)

TRAITS = mysql_family.traits(
    manager="trove.guestagent.datastore.mysql.manager.Manager",
    maturity=Maturity.STABLE)
