"""minicloud with its fake host, in this process and over real HTTP, with what the task manager needs in it."""
import contextlib
import uuid

from keystoneauth1 import session
from keystoneauth1.identity import v3
from minicloud.api.app import Server
from minicloud.config import Config, ensure_secrets
from minicloud.testing import free_port
from novaclient import exceptions as nova_exceptions

from tests import waiting
from trove.common import remote
from trove.taskmanager.steps import compute

SERVICE_USER, SERVICE_PASSWORD = "trove", "password-of-the-service-user"
SWIFT_USER, SWIFT_PASSWORD, SWIFT_PROJECT = "trove-backups", "password-of-the-user-for-backups", "backups"


class Cloud:
    """A running cloud: ``server`` (its ``host`` is the FakeHost), ``image_id``; its files are in ``directory``.

    admin: a session of the administrator (keystoneauth1).
    """

    def __init__(self, directory):
        self.directory = directory
        config = Config(self.directory, driver="fake", port=free_port())
        self.server = Server(config)
        self.server.start()
        self.auth_url = f"{config.base_url}/identity/v3"
        self._image_url = config.url("image")
        self.admin = session.Session(v3.Password(
            self.auth_url, username="admin", password=ensure_secrets(config)["admin_password"], project_name="admin",
            user_domain_name="Default", project_domain_name="Default"))
        self._make_users()
        self.image_id = self._make_image()

    @property
    def administrator(self):
        """The session of the cloud's administrator, in a project of its own."""
        return self.admin

    def stop(self):
        """End it."""
        self.server.stop()

    def configure(self, conf):
        """Point the options of the task manager here."""
        for name, value in (("trove_auth_url", self.auth_url), ("nova_proxy_admin_user", SERVICE_USER),
                            ("nova_proxy_admin_pass", SERVICE_PASSWORD), ("nova_proxy_admin_tenant_name", "service"),
                            ("swift_user", SWIFT_USER), ("swift_password", SWIFT_PASSWORD),
                            ("swift_project_name", SWIFT_PROJECT)):
            conf.set_override(name, value)
        remote.reset()

    def leftovers(self):
        """What exists in the service's project, by kind; the default security group is not counted."""
        neutron = remote.neutron_client()
        groups = [group["id"] for group in neutron.list_security_groups()["security_groups"]
                  if group["name"] != "default"]
        return {"servers": [server.id for server in compute.all_servers(remote.nova_client())],
                "volumes": [volume.id for volume in remote.cinder_client().volumes.list()],
                "ports": [port["id"] for port in neutron.list_ports()["ports"]],
                "groups": groups,
                "guests": self.server.host.list_guests()}

    def clear(self):
        """Remove everything that a test has left. Raises AssertionError when that does not succeed."""
        def cleared():
            found = self.leftovers()
            for server_id in found["servers"]:
                with contextlib.suppress(nova_exceptions.NotFound):  # one that was being deleted is gone meanwhile
                    remote.nova_client().servers.delete(server_id)
            if not found["servers"]:
                for volume_id in found["volumes"]:
                    remote.cinder_client().volumes.force_delete(volume_id)
                for group_id in found["groups"]:
                    remote.neutron_client().delete_security_group(group_id)
            return not any(found.values())
        waiting.wait_until(cleared, pause=0.02, explain=lambda: str(self.leftovers()))

    @staticmethod
    def clear_objects():
        """Remove all containers, with their objects, of the account in which backups are kept."""
        swift = remote.swift_client()
        for container in swift.get_account()[1]:
            for entry in swift.get_container(container["name"])[1]:
                swift.delete_object(container["name"], entry["name"])
            swift.delete_container(container["name"])

    def _make_users(self):
        """The service user, an administrator, and the one for backups, who has a project of its own and no more."""
        keystone = self.auth_url
        self.admin.post(f"{keystone}/projects", json={"project": {"name": SWIFT_PROJECT}})
        for name, password, project, role in ((SERVICE_USER, SERVICE_PASSWORD, "service", "admin"),
                                              (SWIFT_USER, SWIFT_PASSWORD, SWIFT_PROJECT, "member")):
            project_id = self.admin.get(f"{keystone}/projects?name={project}").json()["projects"][0]["id"]
            role_id = self.admin.get(f"{keystone}/roles?name={role}").json()["roles"][0]["id"]
            user = self.admin.post(f"{keystone}/users", json={"user": {"name": name, "password": password}}).json()
            self.admin.put(f"{keystone}/projects/{project_id}/users/{user['user']['id']}/roles/{role_id}")

    def make_tenant(self, role="member"):
        """Make a project with a user. Returns a session of it (keystoneauth1)."""
        name, password = f"tenant-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
        project = self.admin.post(f"{self.auth_url}/projects", json={"project": {"name": name}}).json()["project"]
        user = self.admin.post(f"{self.auth_url}/users", json={"user": {
            "name": name, "password": password}}).json()["user"]
        role_id = self.admin.get(f"{self.auth_url}/roles?name={role}").json()["roles"][0]["id"]
        self.admin.put(f"{self.auth_url}/projects/{project['id']}/users/{user['id']}/roles/{role_id}")
        return session.Session(v3.Password(self.auth_url, username=name, password=password, project_name=name,
                                           user_domain_name="Default", project_domain_name="Default"))

    def _make_image(self):
        file = self.directory / "image.squashfs"
        file.write_bytes(b"an image of a fake guest")
        return self.admin.post(
            f"{self._image_url}/v2/images",
            json={"name": "guest", "container_format": "bare", "disk_format": "raw", "visibility": "public",
                  "minicloud_file": str(file)}).json()["id"]
