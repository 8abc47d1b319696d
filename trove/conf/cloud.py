"""[DEFAULT] options with which the API and the task manager reach the cloud, and the deadlines of waits there."""
from oslo_config import cfg


def _endpoint(name, title, service_type):
    return [
        cfg.StrOpt(f"{name}_url", help=f"{title} URL without tenant, to which the tenant id is appended; "
                                       "unset means the catalog."),
        cfg.StrOpt(f"{name}_service_type", default=service_type, help=f"Catalog type of {title}."),
        cfg.StrOpt(f"{name}_endpoint_type", default="publicURL", help=f"Catalog interface of {title}."),
    ]


opts = [
    cfg.StrOpt("trove_auth_url", default="http://0.0.0.0:5000/v2.0",
               help="Keystone URL for the service user; v3 unless the URL ends in v2.0."),
    cfg.StrOpt("nova_proxy_admin_user", default="", help="Service user for calls to the cloud."),
    cfg.StrOpt("nova_proxy_admin_pass", default="", secret=True, help="Password of the service user."),
    cfg.StrOpt("nova_proxy_admin_tenant_name", default="",
               help="Project in which servers, volumes and security groups are made."),
    cfg.StrOpt("nova_proxy_admin_tenant_id", default="", help="The same project by id, if the name is not unique."),
    cfg.StrOpt("nova_proxy_admin_domain_name", default="Default", help="Domain of the service user and its project."),
    cfg.StrOpt("os_region_name", default="RegionOne", help="Region in which endpoints are looked up."),
    cfg.StrOpt("region", default="LOCAL_DEV", help="Region named in notifications and views."),
    cfg.StrOpt("nova_compute_url", help="Nova URL without tenant, to which the tenant id is appended; "
                                        "unset means the catalog."),
    cfg.StrOpt("nova_compute_service_type", default="compute", help="Catalog type of Nova."),
    cfg.StrOpt("nova_compute_endpoint_type", default="publicURL", help="Catalog interface of Nova."),
    cfg.StrOpt("nova_client_version", default="2.12", regex=r"^2(\.\d+)?$",
               help="Compute API microversion, from 2.1 to 2.56: from 2.57 on Nova refuses the files that guests need, "
                    "and trove-taskmanager does not start. Choosing a host for a migration needs 2.56."),
    *_endpoint("neutron", "Neutron", "network"),
    *_endpoint("cinder", "Cinder", "volumev3"),
    *_endpoint("glance", "Glance", "image"),
    *_endpoint("swift", "Swift", "object-store"),
    cfg.StrOpt("swift_user", help="User who keeps backups in the object store; it needs only the right to write into "
                                  "its own project's account. Unset means nova_proxy_admin_user and its project."),
    cfg.StrOpt("swift_password", secret=True, help="Password of swift_user; needed when that is set."),
    cfg.StrOpt("swift_project_name", help="Project of swift_user, in whose account backups lie; needed when swift_user "
                                          "is set."),
    cfg.StrOpt("swift_domain_name", default="Default", help="Domain of swift_user and its project."),
    cfg.IntOpt("cloud_request_timeout", default=30, min=1, help="Seconds for one HTTP request to the cloud."),
    cfg.IntOpt("cloud_request_retries", default=2, min=0,
               help="How often a request that could not connect is repeated."),
    cfg.BoolOpt("trove_volume_support", default=True, help="Global switch for Cinder volumes."),
    cfg.StrOpt("cinder_volume_type", help="Volume type of data volumes; unset means Cinder's default."),
    cfg.StrOpt("device_path", default="/dev/vdb", help="Data device where the datastore's group sets none."),
    cfg.StrOpt("block_device_mapping", default="vdb", help="Device name of the data volume in Nova."),
    cfg.BoolOpt("use_nova_server_config_drive", default=True,
                help="Whether servers get a config drive, which carries the injected files."),
    cfg.StrOpt("network_driver", default="trove.network.neutron.NeutronDriver", help="Class of the network driver."),
    cfg.StrOpt("network_label_regex", default=".*",
               help="Networks, by name, whose addresses are shown to users."),
    cfg.StrOpt("ip_regex", help="If set, only addresses that match are shown."),
    cfg.StrOpt("black_list_regex", help="If set, addresses that match are not shown."),
    cfg.ListOpt("default_neutron_networks", default=[], help="Network ids that every server gets first."),
    cfg.BoolOpt("trove_security_groups_support", default=True, help="Whether instances get a security group."),
    cfg.StrOpt("trove_security_group_name_prefix", default="SecGroup", help="Prefix of security group names."),
    cfg.StrOpt("trove_security_group_rule_cidr", default="0.0.0.0/0",
               help="Network that may connect to instances whose request names none (access.allowed_cidrs)."),
    cfg.IntOpt("server_create_time_out", default=300, help="Seconds until a new server must be ACTIVE."),
    cfg.IntOpt("server_delete_time_out", default=60, help="Seconds until a deleted server must be gone."),
    cfg.IntOpt("volume_time_out", default=60, help="Seconds until a volume must be ready or gone."),
    cfg.IntOpt("security_group_time_out", default=60, help="Seconds until a security group must be made or gone."),
    cfg.IntOpt("reboot_time_out", default=120, help="Seconds until a rebooted server must be ACTIVE."),
    cfg.IntOpt("resize_time_out", default=600,
               help="Seconds for each of: Nova giving a server another flavor, its guest being heard of after that, "
                    "its database starting with new settings, the file system of a volume growing."),
    cfg.IntOpt("revert_time_out", default=600,
               help="Seconds until a server whose resize failed must have its old flavor again."),
    cfg.BoolOpt("volume_resize_attached", default=True,
                help="Whether Cinder is asked to extend volumes while they are attached (Cinder from Pike on, and only "
                     "where its back end and the hypervisors can). What it refuses is done with the volume detached "
                     "and the database stopped."),
    cfg.StrOpt("cloudinit_location", default="/etc/trove/cloudinit",
               help="Directory of <manager>.cloudinit, passed to servers as user data."),
    cfg.StrOpt("injected_config_location", default="/etc/trove/conf.d",
               help="Directory in the guest for the injected files."),
    cfg.StrOpt("guest_config", default="/etc/trove/trove-guestagent.conf",
               help="File that is copied into every guest as trove-guestagent.conf."),
    cfg.StrOpt("guest_info", default="guest_info.conf",
               help="Name of the generated file in the guest; a full path if it contains a slash."),
    cfg.StrOpt("template_path", default="/etc/trove/templates/",
               help="Where configuration templates are looked for before those of the package."),
    cfg.StrOpt("remote_nova_client", default="trove.common.remote.nova_client", help="Factory of Nova clients."),
    cfg.StrOpt("remote_neutron_client", default="trove.common.remote.neutron_client",
               help="Factory of Neutron clients."),
    cfg.StrOpt("remote_tenant_neutron_client", default="trove.common.remote.tenant_neutron_client",
               help="Factory of Neutron clients that act with the token of a request."),
    cfg.StrOpt("remote_cinder_client", default="trove.common.remote.cinder_client", help="Factory of Cinder clients."),
    cfg.StrOpt("remote_glance_client", default="trove.common.remote.glance_client", help="Factory of Glance clients."),
    cfg.StrOpt("remote_swift_client", default="trove.common.remote.swift_client", help="Factory of Swift clients."),
    cfg.StrOpt("remote_guest_client", default="trove.common.remote.guest_client", help="Factory of guest clients."),
    cfg.FloatOpt("flavor_cache_time", default=60.0,
                 help="Seconds for which the API keeps Nova's flavors and availability zones, Cinder's volume types, "
                      "and the lists of projects that may use private ones."),
]


def register_opts(conf):
    """Register this area's options on ``conf``."""
    conf.register_opts(opts)
