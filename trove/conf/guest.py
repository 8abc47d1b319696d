"""[DEFAULT] options of the guest agent; their values reach a guest through the injected files."""
from oslo_config import cfg

opts = [
    cfg.StrOpt("guest_id", help="Id of the agent's own instance, from guest_info.conf."),
    cfg.StrOpt("datastore_manager", help="Name of the datastore manager, from guest_info.conf."),
    cfg.StrOpt("guest_key", secret=True,
               help="Key of this guest, from guest_info.conf: it proves the agent's reports to the conductor and the "
                    "control plane's commands to the agent."),
    cfg.StrOpt("tenant_id", help="Tenant of the instance, from guest_info.conf."),
    cfg.DictOpt("datastore_registry_ext", default={}, help="Further or other managers: name -> class path."),
    cfg.StrOpt("guest_state_dir", default="/var/lib/trove",
               help="Directory of the agent's own files (prepare markers, credentials)."),
    cfg.IntOpt("state_change_wait_time", default=180, help="Seconds for the database to start or stop."),
    cfg.FloatOpt("state_change_poll_time", default=3.0,
                 help="Longest pause in seconds between two looks while it does."),
    cfg.IntOpt("access_restart_interval", default=600, min=1,
               help="Least seconds between two restarts of the database server that an agent makes to get its own "
                    "account back, which a tenant's root has damaged. It restarts the server only where nothing else "
                    "works; the time doubles while that goes on, up to a day."),
    cfg.IntOpt("num_tries", default=3, help="Tries to find the data device."),
    cfg.StrOpt("volume_fstype", default="ext3", choices=["ext3", "ext4", "xfs"],
               help="File system of data volumes."),
    cfg.StrOpt("format_options", default="-m 5", help="Further arguments of mkfs for ext3 and ext4."),
    cfg.IntOpt("volume_format_timeout", default=120, help="Seconds for making, checking or growing a file system."),
    cfg.StrOpt("mount_options", default="defaults,noatime", help="Mount options of data volumes."),
    cfg.IntOpt("users_page_size", default=20, min=1, help="Most database users on a page."),
    cfg.IntOpt("databases_page_size", default=20, min=1, help="Most databases on a page."),
    cfg.ListOpt("root_grant", default=["ALL"], help="Privileges of an enabled root user."),
    cfg.BoolOpt("root_grant_option", default=True, help="Whether an enabled root user may grant."),
    cfg.BoolOpt("sql_query_logging", default=False, help="Whether the agent logs its SQL (insecure)."),
    cfg.IntOpt("guest_log_limit", default=1000000, min=1000,
               help="Most bytes of one piece in which a log is published."),
    cfg.IntOpt("guest_log_expiry", default=2592000, min=1,
               help="Seconds after which the object store drops a published piece."),
    cfg.IntOpt("host_command_timeout", default=120, help="Seconds for one command of the guest's system."),
    cfg.IntOpt("package_install_timeout", default=900, help="Seconds for the package manager."),
]


def register_opts(conf):
    """Register this area's options on ``conf``."""
    conf.register_opts(opts)
