"""The configuration files of the control plane of a set-up, made from its settings; pure but for the writing."""
import configparser
import io

from onebox import broker, certificates, cloud, datastores
from onebox.settings import CHECKOUT, secret, write

CONTROL_PLANE, GUEST = "trove.conf", "trove-guestagent.conf"


def write_all(settings):
    """Write the files of the services and of the guests into the state directory."""
    write(settings.etc / CONTROL_PLANE, text(control_plane(settings, cloud.service_environment(settings))), mode=0o600)
    write(settings.etc / GUEST, text(guest(settings)), mode=0o600)


def control_plane(settings, service):
    """The options of trove-api, trove-taskmanager and trove-conductor, by group.

    service: OS_* variables of the service user.
    """
    return {
        "DEFAULT": {
            "bind_host": "127.0.0.1",
            "bind_port": settings.api_port,
            "api_paste_config": CHECKOUT / "etc/trove/api-paste.ini",
            "trove_api_workers": 1,
            # One process and one tenant: its share holds 24 requests at the same time.
            "trove_api_threads": 32,
            "trove_conductor_workers": 1,
            "transport_url": broker.transport_url(settings),
            "operation_key": secret(settings, "operation_key"),
            "backup_encryption_key": secret(settings, "backup_encryption_key"),
            "trove_auth_url": service["OS_AUTH_URL"],
            "region": service["OS_REGION_NAME"],
            "nova_proxy_admin_user": service["OS_USERNAME"],
            "nova_proxy_admin_pass": service["OS_PASSWORD"],
            "nova_proxy_admin_tenant_name": service["OS_PROJECT_NAME"],
            "swift_user": cloud.BACKUP_USER,
            "swift_password": secret(settings, cloud.BACKUP_USER),
            "swift_project_name": cloud.BACKUP_PROJECT,
            "default_datastore": datastores.find(settings.datastores[0]).datastore,
            "guest_config": settings.etc / GUEST,
            "cloudinit_location": settings.etc / "cloudinit",
            "template_path": settings.etc / "templates",
            # One machine: looking often is cheap, and people and scripts who wait for their instance do it too. There
            # is one task manager: when it was killed, the next one need not wait long before it takes over.
            "usage_sleep_time": 0.5,
            "operation_lease": 10,
            "http_get_rate": 6000,
            "http_post_rate": 6000,
            "http_put_rate": 6000,
            "http_delete_rate": 6000,
        },
        "database": {"connection": f"sqlite:///{settings.state / 'trove.sqlite'}"},
        # The default needs Percona XtraBackup, which Debian does not have.
        "mysql": {"backup_strategy": "MySQLClone"},
        "oslo_messaging_rabbit": {
            "ssl": True,
            "ssl_ca_file": certificates.ca_file(settings),
            "ssl_cert_file": certificates.services_file(settings),
            "ssl_key_file": certificates.services_file(settings),
        },
        "tls": {"ca_file": certificates.ca_file(settings), "ca_key_file": certificates.ca_key_file(settings)},
        "guest_bus": {
            "management_url": broker.management_url(settings),
            "management_user": broker.ADMINISTRATOR,
            "management_password": secret(settings, broker.ADMINISTRATOR),
            "address": f"{settings.gateway}:{broker.AMQP_PORT}",
            "virtual_host": broker.GUESTS_HOST,
        },
        "keystone_authtoken": {
            "www_authenticate_uri": service["OS_AUTH_URL"],
            "auth_url": service["OS_AUTH_URL"],
            "auth_type": "password",
            "username": cloud.TOKEN_USER,
            "password": secret(settings, cloud.TOKEN_USER),
            "project_name": service["OS_PROJECT_NAME"],
            "user_domain_name": service["OS_USER_DOMAIN_NAME"],
            "project_domain_name": service["OS_PROJECT_DOMAIN_NAME"],
            "interface": "public",
            "region_name": service["OS_REGION_NAME"],
        },
    }


def guest(settings):
    """The options of every guest agent: what is the same for all guests (their own bus account comes separately)."""
    return {"DEFAULT": {
        "volume_fstype": "ext4",  # formats ten times as fast as the default, ext3
        "state_change_poll_time": 0.2,
        "use_stderr": True,  # the journal of the guest
        # What users may read as the log "guest".
        "log_dir": "/var/log/trove", "log_file": "trove-guestagent.log",
        "log_rotation_type": "size", "max_logfile_size_mb": 10, "max_logfile_count": 1,
    }}


def text(groups):
    """An INI file with ``{group: {option: value}}``; a dollar sign is doubled, as it would begin a substitution."""
    parser = configparser.RawConfigParser(default_section=None)
    parser.optionxform = str
    for group, options in groups.items():
        parser[group] = {name: str(value).replace("$", "$$") for name, value in options.items()}
    out = io.StringIO()
    parser.write(out)
    return out.getvalue()
