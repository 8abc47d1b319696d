"""The options that every datastore has, built for one group; a datastore's own module states only what differs."""
from oslo_config import cfg

BACKUP = "trove.guestagent.strategies.backup"
RESTORE = "trove.guestagent.strategies.restore"
REPLICATION = "trove.guestagent.strategies.replication"
ARCHIVE = "trove.guestagent.strategies.archive"


def datastore_opts(*, tcp_ports, mount_point, usage_timeout, udp_ports=(), volume_support=True,
                   device_path="/dev/vdb", root_on_create=False, root_controller=None, ignore_users=(),
                   ignore_dbs=(), backup_strategy=None, backup_incremental_strategy=None, backup_namespace=None,
                   restore_namespace=None, replication_strategy=None, replication_namespace=None,
                   archive_strategy=None, archive_namespace=None, guest_log_exposed_logs="",
                   guest_log_long_query_time=None):
    """The option list of one datastore group; the arguments are the defaults of the options of the same names."""
    return [
        cfg.ListOpt("tcp_ports", default=list(tcp_ports), help="TCP ports opened to users: numbers or ranges a-b."),
        cfg.ListOpt("udp_ports", default=list(udp_ports), help="UDP ports opened to users: numbers or ranges a-b."),
        cfg.StrOpt("mount_point", default=mount_point, help="Where the data volume is mounted in the guest."),
        cfg.BoolOpt("volume_support", default=volume_support, help="Whether instances have a data volume."),
        cfg.StrOpt("device_path", default=device_path, help="Device of the data volume in the guest."),
        cfg.IntOpt("usage_timeout", default=usage_timeout, help="Seconds for an instance to be built."),
        cfg.BoolOpt("root_on_create", default=root_on_create,
                    help="Whether root is enabled at creation and its password returned."),
        cfg.StrOpt("root_controller", default=root_controller, help="Class of the controller of root calls."),
        cfg.ListOpt("ignore_users", default=list(ignore_users), help="Users that are hidden and cannot be made."),
        cfg.ListOpt("ignore_dbs", default=list(ignore_dbs), help="Databases that are hidden and cannot be made."),
        cfg.StrOpt("backup_strategy", default=backup_strategy, help="Name of the backup class."),
        cfg.DictOpt("backup_incremental_strategy", default=backup_incremental_strategy or {},
                    help="Name of the full backup class -> name of its incremental class."),
        cfg.StrOpt("backup_namespace", default=backup_namespace, help="Module of the backup classes."),
        cfg.StrOpt("restore_namespace", default=restore_namespace, help="Module of the restore classes."),
        cfg.StrOpt("replication_strategy", default=replication_strategy, help="Name of the replication class."),
        cfg.StrOpt("replication_namespace", default=replication_namespace, help="Module of the replication class."),
        cfg.StrOpt("archive_strategy", default=archive_strategy,
                   help="Name of the class that archives the server's logs, so that backups can be restored to a point "
                        "in time. Empty: logs are not archived. Archives that there are stay as long as their "
                        "backups."),
        cfg.StrOpt("archive_namespace", default=archive_namespace, help="Module of the class that archives logs."),
        cfg.StrOpt("guest_log_exposed_logs", default=guest_log_exposed_logs,
                   help="Logs that users may see, separated by commas."),
        *([] if guest_log_long_query_time is None else [cfg.IntOpt(
            "guest_log_long_query_time", default=guest_log_long_query_time, min=0,
            help="Milliseconds from which a statement is in the log of slow queries, where nobody says otherwise.")]),
    ]
