"""[DEFAULT], [upgrade_levels], [guest_bus] and [tls] options of the task manager, the conductor and the bus."""
from oslo_config import cfg

# As the documents have them; one is no UUID.
SERVICE_IDS = {
    "mysql": "2f3ff068-2bfb-4f70-9a9d-a6bb65bc084b",
    "percona": "fd1723f5-68d2-409c-994f-a4a197892a17",
    "pxc": "75a628c3-f81b-4ffb-b10a-4087c26bc854",
    "redis": "b216ffc5-1947-456c-a4cf-70f94c05f7d0",
    "cassandra": "459a230d-4e97-4344-9067-2a54a310b0ed",
    "couchbase": "fa62fe68-74d9-4779-a24e-36f19602c415",
    "mongodb": "c8c907af-7375-456f-b929-b637ff9209ee",
    "postgresql": "ac277e0d-4f21-40aa-b347-1ea31e571720",
    "couchdb": "f0a9ab7b-66f7-4352-93d7-071521d44c7c",
    "vertica": "a8d805ae-a3b2-c4fd-gb23-b62cee5201ae",
    "db2": "e040cd37-263d-4869-aaa6-c62aa97523b5",
    "mariadb": "7a4f82cc-10d2-4bc6-aadc-d9aacc2a3cb5",
}

opts = [
    cfg.HostAddressOpt("host", default="0.0.0.0", help="Name of this process's host on the bus and in notifications."),
    cfg.StrOpt("taskmanager_queue", default="taskmanager", help="Topic of the task manager."),
    cfg.StrOpt("conductor_queue", default="trove-conductor", help="Topic of the conductor."),
    cfg.StrOpt("taskmanager_manager", default="trove.taskmanager.manager.Manager", help="Class of the task manager."),
    cfg.StrOpt("conductor_manager", default="trove.conductor.manager.Manager", help="Class of the conductor."),
    cfg.IntOpt("trove_conductor_workers", min=1, help="Conductor processes; unset means one per CPU."),
    cfg.FloatOpt("conductor_guest_rate", default=5.0, min=0.1,
                 help="Reports a second of one guest that one conductor process works on. More wait in the guest's own "
                      "queue, where the oldest are dropped ([guest_bus] report_queue_length)."),
    cfg.IntOpt("conductor_guest_burst", default=30, min=1,
               help="Reports of one guest that one conductor process works on at once after a time of silence."),
    cfg.IntOpt("conductor_guest_prefetch", default=4, min=1,
               help="Reports of one guest that one conductor process holds in memory at most."),
    cfg.IntOpt("conductor_batch_size", default=200, min=1,
               help="Reports, of as many guests as possible, that one conductor process writes at once."),
    cfg.FloatOpt("conductor_batch_interval", default=0.1, min=0,
                 help="Seconds from the beginning of one batch of conductor_batch_size reports to that of the next, "
                      "unless it is full before. More seconds cost the database fewer statements when many guests "
                      "report, and reports come that much later."),
    cfg.IntOpt("conductor_report_max_size", default=262144, min=1024,
               help="Largest report of a guest in bytes; larger ones are dropped."),
    cfg.FloatOpt("conductor_new_guest_interval", default=0.5, min=0.1,
                 help="Seconds between two looks of a conductor for guests that are being built."),
    cfg.FloatOpt("conductor_guest_list_interval", default=60.0, min=1,
                 help="Seconds between two looks of a conductor at the list of all guests."),
    cfg.FloatOpt("conductor_retry_interval", default=1.0, min=0.1,
                 help="Seconds before a conductor tries again to reach the broker, or to write what the database did "
                      "not take."),
    cfg.IntOpt("conductor_drain_timeout", default=20, min=1,
               help="Seconds that a conductor which was told to stop gives to the reports that it works on."),
    cfg.IntOpt("taskmanager_threads", default=24, min=1,
               help="Operations that one task manager works on at once. A step that waits for the answer of a guest "
                    "holds one for up to agent_call_high_timeout seconds, so there should be several times as many as "
                    "the guests of one tenant."),
    cfg.BoolOpt("update_status_on_fail", default=True,
                help="Whether a build that ran into its deadline sets the service status and the task to an error."),
    cfg.IntOpt("report_interval", default=10, min=1,
               help="Seconds between two heartbeats of a guest and between periodic tasks of the services."),
    cfg.IntOpt("rpc_send_retries", default=2, min=0,
               help="How often a message is sent again while the broker does not answer, before that is an error."),
    cfg.IntOpt("bus_message_max_size", default=1024 * 1024, min=64 * 1024,
               help="Bytes of the largest message on the bus. A larger one is not sent, and its receiver rejects it "
                    "before it is decoded. All services and guests must have the same value. The largest message is "
                    "the command to restore a backup: 130 bytes for each object of the backup and of those that it is "
                    "an increment of."),
    cfg.IntOpt("bus_prefetch", default=16, min=1, max=512,
               help="Messages that the broker sends to a process before the process has begun to work on the first of "
                    "them. Together with bus_message_max_size it bounds the memory that waiting messages take."),
    cfg.IntOpt("bus_reply_timeout", default=10, min=1,
               help="Seconds in which the broker must take an answer; after them the answer is dropped. An answer to a "
                    "queue that does not exist is dropped at once."),
    cfg.IntOpt("bus_command_validity", default=120, min=10,
               help="Seconds in which a guest must receive a command, by its own clock: it refuses an older one, and "
                    "one from further in the future. Clocks of guests may differ by less than this. The command to "
                    "prepare a server is valid for usage_timeout seconds, as it waits for the guest to boot."),
    cfg.IntOpt("bus_clock_allowance", default=5, min=0,
               help="Seconds by which the clocks of API and task manager hosts may differ from one another: a command "
                    "to a database server that is older by more than this than one that was obeyed is refused."),
    cfg.IntOpt("agent_call_low_timeout", default=5, help="Seconds for a short call to a guest."),
    cfg.IntOpt("agent_call_high_timeout", default=60, help="Seconds for a long call to a guest."),
    cfg.IntOpt("agent_lock_wait_timeout", default=4, min=1,
               help="Seconds for which a statement of the agent waits for a lock of the database server before the "
                    "command fails and names the session that holds it. Less than agent_call_low_timeout."),
    cfg.IntOpt("agent_replication_snapshot_timeout", default=36000,
               help="Seconds for the snapshot of a source from which its new replicas are made."),
    cfg.IntOpt("replication_time_out", default=600,
               help="Seconds until a replica that is to be promoted must have come near its source; nothing is "
                    "stopped meanwhile."),
    cfg.IntOpt("switchover_time_out", default=60,
               help="Seconds that a source is read-only at most before its replica must have caught up with it; else "
                    "the source goes on."),
    cfg.IntOpt("agent_heartbeat_expiry", default=60, help="Seconds of silence after which a guest counts as dead."),
    cfg.IntOpt("usage_timeout", default=900, help="Seconds for a guest to be built, where its group sets none."),
    cfg.IntOpt("restore_usage_timeout", default=36000, help="Seconds for a guest to be built from a backup."),
    cfg.FloatOpt("usage_sleep_time", default=5.0,
                 help="Longest pause in seconds between two looks at a guest or server that is being built."),
    cfg.FloatOpt("guest_prepare_retry", default=15.0,
                 help="Seconds after which prepare is sent again to a guest that has not reported it."),
    cfg.FloatOpt("operation_lease", default=30.0, min=1,
                 help="Seconds after which the operation of a silent task manager may be taken over by another."),
    cfg.FloatOpt("operation_sweep_interval", default=2.0, min=0.1,
                 help="Seconds between two searches for operations that nobody works on."),
    cfg.FloatOpt("operation_retry_interval", default=2.0,
                 help="Seconds before a step that met a passing error (cloud not reachable) is tried again."),
    cfg.IntOpt("operation_step_attempts", default=5, min=1,
               help="How many task managers may die in one step of an operation before the step fails."),
    cfg.IntOpt("operation_cancel_time_out", default=180,
               help="Seconds until other operations on an instance that is deleted or restarted must have stopped."),
    cfg.IntOpt("operation_drain_timeout", default=30,
               help="Seconds that a task manager which was told to stop gives to the steps it is in."),
    cfg.IntOpt("configuration_time_out", default=1800,
               help="Seconds until an instance whose configuration group changed must have time for it; after them "
                    "it needs a restart."),
    cfg.IntOpt("administration_time_out", default=600,
               help="Seconds in which it must be the turn of a change of databases, users or grants, and after that in "
                    "which the guest must carry it out. It is asked again until then; after them the change fails."),
    cfg.IntOpt("administration_queue_length", default=20, min=1,
               help="Changes of databases, users and grants of one instance that may wait; further ones are refused "
                    "with 422."),
    cfg.IntOpt("guest_bus_time_out", default=60,
               help="Seconds until the broker must have made or removed what a guest needs there."),
    cfg.IntOpt("guest_rotation_time_out", default=600,
               help="Seconds until a guest must have taken new secrets and been heard with them; until then the old "
                    "ones stay valid too."),
    cfg.IntOpt("reconcile_page_size", default=500, min=1, help="Servers in one answer of Nova when looking at all."),
    cfg.FloatOpt("reconcile_interval", default=30.0,
                 help="Seconds between two looks at Nova for the servers of all instances."),
    cfg.IntOpt("server_start_limit", default=3, min=0,
               help="How often within an hour the server of an instance is started again that is shut off although its "
                    "database was not stopped before (a crash of the guest, a start of the host); 0: never."),
    cfg.IntOpt("server_start_source_delay", default=600, min=0,
               help="Seconds after the last report of a source with replicas before its server is started like that: "
                    "until then it can be ejected."),
    cfg.IntOpt("operation_retention", default=7 * 24 * 3600,
               help="Seconds for which ended operations are kept."),
    cfg.MultiStrOpt("operation_key", secret=True, default=[],
                    help="Key (at least 32 characters) with which secrets inside operations are encrypted and from "
                         "which the keys of guests are made; all API, task manager and conductor processes share it. "
                         "`python -c \"import secrets; print(secrets.token_urlsafe(32))\"` makes one. To rotate it, "
                         "put a line with the new key before the line with the old one, in the same file: the first "
                         "encrypts, all decrypt."),
    cfg.IntOpt("message_max_age", default=24 * 3600, min=60,
               help="Seconds by which a guest's message may be older or newer than the conductor's clock. It must "
                    "cover both the longest time without a conductor and guests with a wrong clock."),
    cfg.FloatOpt("security_event_interval", default=2.0, min=0.1,
                 help="Seconds for which a process collects security events before it writes them to the "
                      "infrastructure database."),
    cfg.IntOpt("security_event_retention", default=30 * 24 * 3600, min=3600,
               help="Seconds for which security events are kept in the infrastructure database."),
    cfg.IntOpt("security_event_rows", default=10000, min=100,
               help="Most rows of security events that are kept; the oldest are removed first."),
    cfg.ListOpt("notification_driver", default=[],
                help="Drivers that send notifications, for example messagingv2; the older name of "
                     "[oslo_messaging_notifications] driver. None: nothing is notified."),
    cfg.FloatOpt("notification_send_interval", default=1.0, min=0.1,
                 help="Seconds between two looks of a task manager for notifications that wait to be sent."),
    cfg.StrOpt("exists_notification_transformer",
               help="Class that makes the exists notifications, for example "
                    "trove.extensions.mgmt.instances.models.NovaNotificationTransformer; unset means none."),
    cfg.IntOpt("exists_notification_interval", default=3600, min=1,
               help="Seconds between two exists notifications of an instance."),
    cfg.IntOpt("quota_notification_interval", default=3600, min=1,
               help="Seconds between two notifications of the quota usages that have changed."),
    cfg.DictOpt("notification_service_id", default=SERVICE_IDS,
                help="Datastore manager -> what stands for it in notifications as service_id."),
    cfg.ListOpt("db_plugins", default=[],
                help="Classes that map tables of their own; each is made without arguments and has an attribute "
                     "mapper with a method map(engine)."),
    cfg.StrOpt("db_api_implementation", default="trove.db.sqlalchemy.api", help="Module of the database layer."),
]

upgrade_opts = [
    cfg.StrOpt(name, default="icehouse", help=f"Highest RPC version sent to the {name}: a release name or a number.")
    for name in ("taskmanager", "guestagent", "conductor")
]

guest_bus_opts = [
    cfg.StrOpt("credentials", default="per_instance", choices=["per_instance", "shared"],
               help="per_instance: every guest gets a broker user limited to its own topic, its replies and the "
                    "conductor's topic. shared: all guests use the transport_url of guest_config."),
    cfg.StrOpt("management_url", help="URL of RabbitMQ's management API, for example http://127.0.0.1:15672."),
    cfg.StrOpt("management_user", help="Broker administrator for the management API."),
    cfg.StrOpt("management_password", secret=True, help="Password of that administrator."),
    cfg.StrOpt("address", help="host:port of the broker as guests reach it."),
    cfg.StrOpt("virtual_host",
               help="Virtual host for guests. One of their own keeps them from the services' queues. The services' "
                    "account needs all permissions there. Unset: that of transport_url."),
    cfg.StrOpt("transport_url", secret=True,
               help="URL by which services reach the guests' broker, if that is another one than their own. Then "
                    "nothing that guests do there can block messages between services. Unset: [DEFAULT] "
                    "transport_url."),
    cfg.BoolOpt("old_agents", default=False,
                help="Whether agents of the release before, which make their queues themselves, are served too, with "
                     "the permissions that they have. They are not kept from filling queues of others. Only without "
                     "a new virtual_host; switch off when the last of them is gone."),
    cfg.StrOpt("management_ca_file",
               help="File (PEM) with the CA certificates that verify an https management_url; unset: those of "
                    "[oslo_messaging_rabbit] ssl_ca_file, and without it those of the system."),
    cfg.IntOpt("timeout", default=10, help="Seconds for one request to the management API."),
    cfg.IntOpt("max_connections", default=6, min=2,
               help="Most connections of one guest to the broker. An agent has two; after a cut of the network the "
                    "broker counts the lost ones for a minute."),
    cfg.IntOpt("max_channels", default=12, min=2, help="Most channels of one guest in all its connections."),
    cfg.IntOpt("report_queue_length", default=100, min=1,
               help="Most reports of one guest that wait for a conductor; its own oldest are dropped."),
    cfg.IntOpt("report_queue_size", default=1048576, min=1024,
               help="Most bytes of the reports of one guest that wait for a conductor; its own oldest are dropped."),
    cfg.IntOpt("command_queue_length", default=1000, min=1,
               help="Most commands that wait for the agent of one guest; the oldest are dropped."),
    cfg.IntOpt("command_queue_size", default=33554432, min=1024,
               help="Most bytes of commands that wait for the agent of one guest; the oldest are dropped."),
    cfg.IntOpt("reply_queue_length", default=10000, min=1,
               help="Most answers of guests that wait for one service process; the oldest are dropped."),
    cfg.IntOpt("reply_queue_size", default=33554432, min=1024,
               help="Most bytes of answers of guests that wait for one service process; the oldest are dropped."),
    cfg.IntOpt("message_ttl", default=24 * 3600, min=60,
               help="Seconds after which the broker drops a message to or from a guest that nobody took."),
    cfg.IntOpt("max_consumers", default=50, min=4,
               help="Most consumers of one guest. RabbitMQ before 3.12 has no limit of its own: a task manager cuts "
                    "the connections of a guest that has more."),
    cfg.IntOpt("max_uncommitted", default=100, min=1,
               help="Most messages in one open transaction of a guest, which the broker keeps in memory without a "
                    "limit: a task manager cuts the connections of a guest that has more."),
    cfg.FloatOpt("watch_interval", default=5.0, min=0.5,
                 help="Seconds between two looks of a task manager for guests beyond max_consumers or "
                      "max_uncommitted. RabbitMQ's figures are up to 5 seconds old as well. A look makes the broker "
                      "list all channels: if that takes long, because there are thousands, the pause grows up to "
                      "12 times as long."),
    cfg.FloatOpt("audit_interval", default=300.0, min=1,
                 help="Seconds between two audits by a task manager: limits and permissions of all guests' accounts "
                      "are set right, foreign queues and exchanges reported."),
    cfg.BoolOpt("remove_foreign_queues", default=False,
                help="Whether an audit removes accounts, queues and exchanges that look like a guest's and belong to "
                     "no instance, or are not among those that a guest gets."),
]

# The bus itself has oslo.messaging's options: [oslo_messaging_rabbit] ssl, ssl_ca_file, ssl_cert_file, ssl_key_file.
tls_opts = [
    cfg.StrOpt("ca_file", help="Certificate (PEM) of the CA that signs the certificates of guests; "
                               "`trove-manage ca_create` makes one. Unset: guests get no certificates."),
    cfg.StrOpt("ca_key_file", help="Key (PEM, without a passphrase) of ca_file. Only the task manager reads it, and "
                                   "nobody else should be able to."),
    cfg.IntOpt("guest_certificate_days", default=90, min=1,
               help="Days for which the certificate of a guest is valid. A guest that is off for longer cannot come "
                    "back to a broker that wants certificates."),
    cfg.IntOpt("guest_certificate_renew_days", default=60, min=0,
               help="Days before its end at which the certificate of a guest is replaced, with its other secrets."),
    cfg.IntOpt("expiry_warning_days", default=30, min=0,
               help="Days before the end of a certificate in the configuration from which on services log a warning."),
    cfg.IntOpt("rotation_interval", default=600, min=1,
               help="Seconds between two searches for guests whose certificate must be replaced or whose rotation did "
                    "not come to its end; also the shortest time between two attempts for one guest."),
    cfg.IntOpt("rotation_limit", default=10, min=1,
               help="Rotations of guests' secrets that such a search lets be under way at once."),
]


def register_opts(conf):
    """Register this area's options on ``conf``."""
    conf.register_opts(opts)
    conf.register_opts(upgrade_opts, group="upgrade_levels")
    conf.register_opts(guest_bus_opts, group="guest_bus")
    conf.register_opts(tls_opts, group="tls")
