"""[DEFAULT] options of trove-api: listening, paging, rates, quotas, who is an administrator."""
from oslo_config import cfg

opts = [
    cfg.StrOpt("bind_host", default="0.0.0.0", help="Address on which trove-api listens."),
    cfg.PortOpt("bind_port", default=8779, help="Port on which trove-api listens."),
    cfg.StrOpt("api_paste_config", default="api-paste.ini",
               help="PasteDeploy file of the API's pipeline: absolute, or next to the configuration file."),
    cfg.IntOpt("trove_api_workers", min=1,
               help="Processes that serve the API; unset means one per CPU."),
    cfg.IntOpt("trove_api_threads", default=16, min=1, help="Threads in each API process."),
    cfg.IntOpt("guest_calls_per_tenant", default=4, min=1,
               help="Requests of an API process that may wait for guests of one tenant at the same time. Less than "
                    "trove_api_threads, or guests that do not answer stop the API."),
    cfg.FloatOpt("guest_call_wait", default=2.0, min=0,
                 help="Seconds that a further request waits for one of these to end before it is refused with 503."),
    cfg.FloatOpt("answer_wait", default=5.0, min=0, max=60,
                 help="Seconds that the API waits for the end of a change which clients expect to find done when it is "
                      "answered: of databases, users, grants and attached configuration groups. After them it answers "
                      "that the change goes on in the background (header X-Operation-State). Less than the timeouts of "
                      "clients and proxies. 0: it never waits."),
    cfg.IntOpt("answer_waiters", default=8, min=0,
               help="Requests of an API process that may wait like this at the same time; further ones are answered at "
                    "once. Less than trove_api_threads, or slow guests stop the API."),
    cfg.IntOpt("answer_waiters_per_tenant", default=4, min=0,
               help="The same for the requests of one tenant."),
    cfg.IntOpt("trove_api_drain_timeout", default=30, min=1,
               help="Seconds that requests in progress may take after SIGTERM before the API ends them."),
    cfg.IntOpt("backlog", default=4096, help="Length of the listening socket's queue."),
    cfg.IntOpt("client_socket_timeout", default=60, min=1,
               help="Seconds for which a client may stop in the middle of a request or of an answer, and in which it "
                    "must send all headers of a request. Then its connection is closed."),
    cfg.IntOpt("client_transfer_timeout", default=300, min=1,
               help="Seconds in which a client must send a whole request, or read a whole answer. Then its connection "
                    "is closed, even if it is still sending or reading."),
    cfg.IntOpt("trove_api_connections", default=1000, min=1,
               help="Most open connections of an API process. One more closes the connection that has waited longest "
                    "for its client."),
    cfg.IntOpt("max_connections_per_address", default=100, min=0,
               help="Most open connections of an API process that come from one IP address; one more closes the "
                    "connection of that address that has waited longest for its client. 0 means no limit: set it "
                    "behind a load balancer, whose address all clients share."),
    cfg.IntOpt("max_request_body_size", default=20971520, min=16384,
               help="Longest accepted body of a request in bytes. The contents of a module need up to 16 MiB and "
                    "some room."),
    cfg.IntOpt("max_buffered_bodies", default=256, min=1,
               help="MiB of request bodies that an API process keeps, in memory or temporary files, before it rejects "
                    "bodies of more than 512 KiB with 503."),
    cfg.FloatOpt("tenant_threads_share", default=0.75, min=0.01, max=1.0,
                 help="Share of trove_api_threads that requests of one tenant may hold in an API process, at least one "
                      "thread. Further requests of the tenant are rejected with 503 until one of them ends."),
    cfg.IntOpt("tcp_keepidle", default=600, help="Seconds of silence before TCP keep-alive probes start."),
    cfg.IntOpt("max_header_line", default=16384,
               help="Longest accepted header line in bytes; tokens with large catalogs need more than 8 KiB."),
    cfg.ListOpt("admin_roles", default=["admin"],
                help="Roles, compared in lower case, that make a request an administrator's."),
    cfg.ListOpt("expected_filetype_suffixes", default=["json"],
                help="Suffixes that are taken off a URL as a format name (never from user or database names)."),
    cfg.IntOpt("instances_page_size", default=20, min=1, help="Most instances on a page."),
    cfg.IntOpt("clusters_page_size", default=20, min=1, help="Most clusters on a page."),
    cfg.IntOpt("backups_page_size", default=20, min=1, help="Backups on a page when the request sets no limit."),
    cfg.IntOpt("configurations_page_size", default=20, min=1, help="Most configuration groups on a page."),
    cfg.IntOpt("modules_page_size", default=20, min=1, help="Most modules on a page."),
    cfg.IntOpt("max_modules_per_tenant", default=50, min=-1,
               help="Modules that a tenant may keep, each with up to 12 MB; -1 means unlimited."),
    cfg.IntOpt("max_security_group_rules", default=100, min=1,
               help="Most rules in one security group: all of them count against the service project's quota."),
    cfg.ListOpt("module_types", default=["ping"], help="Types of modules that can be made."),
    cfg.IntOpt("http_get_rate", default=200, help="GET requests per minute, tenant and API process."),
    cfg.IntOpt("http_post_rate", default=200, help="POST requests per minute, tenant and API process."),
    cfg.IntOpt("http_put_rate", default=200, help="PUT requests per minute, tenant and API process."),
    cfg.IntOpt("http_delete_rate", default=200, help="DELETE requests per minute, tenant and API process."),
    cfg.IntOpt("http_mgmt_post_rate", default=200,
               help="POST requests per minute, tenant and API process, to the management API."),
    cfg.IntOpt("max_instances_per_tenant", default=5, deprecated_name="max_instances_per_user",
               help="Default quota: instances of a tenant; -1 means unlimited."),
    cfg.IntOpt("max_volumes_per_tenant", default=20, deprecated_name="max_volumes_per_user",
               help="Default quota: GB of all volumes of a tenant; -1 means unlimited."),
    cfg.IntOpt("max_backups_per_tenant", default=50, deprecated_name="max_backups_per_user",
               help="Default quota: backups of a tenant; -1 means unlimited."),
    cfg.IntOpt("max_accepted_volume_size", default=5, help="Largest volume of one instance in GB."),
    cfg.StrOpt("quota_driver", default="trove.quota.quota.DbQuotaDriver", help="Class that keeps quotas."),
    cfg.StrOpt("default_datastore", help="Datastore (id or name) of a create request that names none."),
    cfg.BoolOpt("hostname_require_valid_ip", default=True,
                help="Whether the host of a database user must look like an IPv4 address with % wildcards."),
    cfg.IntOpt("default_password_length", default=36, min=8, help="Characters of a generated password."),
]


def register_opts(conf):
    """Register this area's options on ``conf``."""
    conf.register_opts(opts)
