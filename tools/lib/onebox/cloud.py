"""The cloud of a set-up: minicloud up and down, and what the control plane and the tenant need in it.

Everything is looked for before it is made, so it may be repeated. Runs in the environment of the control plane.
"""
import json
import shlex
import sys
from pathlib import Path

from glanceclient.v2.client import Client as Glance
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session
from keystoneclient.v3.client import Client as Keystone

from onebox import broker
from onebox.command import run
from onebox.settings import secret, write

MINICLOUD = str(Path(sys.executable).with_name("minicloud"))
SERVICE_USER, SERVICE_PROJECT = "trove", "service"
# The user that only checks tokens, and the user that keeps backups in a project of its own.
TOKEN_USER, BACKUP_USER, BACKUP_PROJECT = "trove-tokens", "trove-backups", "trove-backups"
TENANT = "demo"  # the name of the user and of its project
REGION = "RegionOne"
REQUEST_TIMEOUT = 60


def up(settings):
    """Start what is missing of minicloud."""
    run([MINICLOUD, "up", "--state", str(settings.cloud_state), "--prefix", settings.prefix,
         "--subnet", settings.subnet, "--guest-port", str(broker.AMQP_PORT)], timeout=180)


def down(settings):
    """Remove minicloud with all guests and volumes; also what is left of it when its state is lost."""
    run([MINICLOUD, "down", "--state", str(settings.cloud_state), "--prefix", settings.prefix], timeout=180)


def status(settings):
    """What `minicloud status --json` reports, or None when there is no cloud."""
    if not (settings.cloud_state / "minicloud.json").exists():
        return None
    command = [MINICLOUD, "status", "--json", "--state", str(settings.cloud_state)]
    # A cloud of which a service is down reports that with exit status 3.
    return json.loads(run(command, timeout=60, accept=(0, 3)))


def execute(settings, server_id, command, timeout=60):
    """Run a command (argument list) inside a guest; returns its output. Raises SetupError when it fails."""
    return run([MINICLOUD, "exec", "--state", str(settings.cloud_state), "--timeout", str(timeout), server_id,
                *command], timeout=timeout + 30)


def admin_environment(settings):
    """The OS_* variables of the cloud's administrator."""
    return json.loads(run([MINICLOUD, "env", "--json", "--state", str(settings.cloud_state)], timeout=60))


def tenant_environment(settings):
    """The OS_* variables of the tenant."""
    return {**admin_environment(settings), "OS_USERNAME": TENANT, "OS_PROJECT_NAME": TENANT,
            "OS_PASSWORD": secret(settings, TENANT)}


def service_environment(settings):
    """The OS_* variables of the control plane's service user."""
    return {**admin_environment(settings), "OS_USERNAME": SERVICE_USER, "OS_PROJECT_NAME": SERVICE_PROJECT,
            "OS_PASSWORD": secret(settings, "service")}


def backup_environment(settings):
    """The OS_* variables of the user who keeps backups."""
    return {**admin_environment(settings), "OS_USERNAME": BACKUP_USER, "OS_PROJECT_NAME": BACKUP_PROJECT,
            "OS_PASSWORD": secret(settings, BACKUP_USER)}


def session(environment):
    """An authenticated session for OS_* variables."""
    auth = Password(auth_url=environment["OS_AUTH_URL"], username=environment["OS_USERNAME"],
                    password=environment["OS_PASSWORD"], project_name=environment["OS_PROJECT_NAME"],
                    user_domain_name=environment["OS_USER_DOMAIN_NAME"],
                    project_domain_name=environment["OS_PROJECT_DOMAIN_NAME"])
    return Session(auth, timeout=REQUEST_TIMEOUT)


def write_openrc(settings):
    """Write the openrc files of the tenant and of the administrator (0600: they hold passwords)."""
    for path, environment in ((settings.state / "openrc", tenant_environment(settings)),
                              (settings.state / "admin-openrc", admin_environment(settings))):
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
        write(path, "".join(lines), mode=0o600)


def ensure_accounts(settings):
    """The users of the control plane, the tenant and the catalog entry of trove-api."""
    keystone = Keystone(session=session(admin_environment(settings)), interface="public", region_name=REGION)
    for project, user, password, roles in (
            (SERVICE_PROJECT, SERVICE_USER, secret(settings, "service"), ("admin",)),
            (SERVICE_PROJECT, TOKEN_USER, secret(settings, TOKEN_USER), ("service",)),
            (BACKUP_PROJECT, BACKUP_USER, secret(settings, BACKUP_USER), ("member",)),
            (TENANT, TENANT, secret(settings, TENANT), ("member",))):
        project = _ensure(keystone.projects.list(name=project),
                          lambda name=project: keystone.projects.create(name, domain="default"))
        user = _ensure(keystone.users.list(name=user), lambda name=user, secret=password, home=project:
                       keystone.users.create(name, domain="default", password=secret, default_project=home))
        for role in roles:
            keystone.roles.grant(keystone.roles.list(name=role)[0], user=user, project=project)
    url = f"{settings.api_url}/v1.0/$(project_id)s"
    service = _ensure(keystone.services.list(type="database"),
                      lambda: keystone.services.create("trove", type="database", description="Database as a Service"))
    for interface in ("public", "internal", "admin"):
        found = keystone.endpoints.list(service=service, interface=interface)
        if not found:
            keystone.endpoints.create(service, url, interface=interface, region=REGION)
        elif found[0].url != url:
            keystone.endpoints.update(found[0], url=url)


def ensure_image(settings, root, agent, binds):
    """The id of the image of guests: the layer ``agent`` on the system ``root``, both used where they lie."""
    glance = Glance(session=session(admin_environment(settings)), interface="public", region_name=REGION)
    base = _image(glance, root, {})
    extra = {"minicloud_binds": json.dumps(binds)} if binds else {}
    return _image(glance, agent, {"minicloud_base": base, **extra})


def _image(glance, path, properties):
    """Images are known by their file's name, which holds a checksum; a new file is a new image."""
    name = f"trove-{path.stem}"
    for image in glance.images.list(filters={"name": name}):
        if image.status == "active":
            return image.id
    return glance.images.create(name=name, visibility="public", disk_format="raw", container_format="bare",
                                minicloud_file=str(path), **properties).id


def _ensure(found, create):
    return found[0] if found else create()
