"""minicloud with its fake host, in this process and over real HTTP, with what the task manager needs in it."""
import socket
import time

from keystoneauth1 import session
from keystoneauth1.identity import v3
from minicloud.api.app import Server
from minicloud.config import Config, ensure_secrets

from trove.common import remote
from trove.taskmanager.steps import compute

SERVICE_USER, SERVICE_PASSWORD = "trove", "password-of-the-service-user"


class Cloud:
    """A running cloud: ``server`` (its ``host`` is the FakeHost), ``image_id``; its files are in ``directory``."""

    def __init__(self, directory):
        self.directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = Config(self.directory, driver="fake", port=port)
        self.server = Server(config)
        self.server.start()
        self.auth_url = f"{config.base_url}/identity/v3"
        self._admin = session.Session(v3.Password(
            self.auth_url, username="admin", password=ensure_secrets(config)["admin_password"], project_name="admin",
            user_domain_name="Default", project_domain_name="Default"))
        self._make_service_user()
        self.image_id = self._make_image()

    def stop(self):
        """End it."""
        self.server.stop()

    def configure(self, conf):
        """Point the options of the task manager here."""
        for name, value in (("trove_auth_url", self.auth_url), ("nova_proxy_admin_user", SERVICE_USER),
                            ("nova_proxy_admin_pass", SERVICE_PASSWORD), ("nova_proxy_admin_tenant_name", "service")):
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
        """Remove everything that a test has left. Raises RuntimeError when that does not succeed within seconds."""
        end = time.monotonic() + 20
        while any((found := self.leftovers()).values()):
            if time.monotonic() > end:
                raise RuntimeError(f"the cloud cannot be cleared of {found}")
            for server_id in found["servers"]:
                remote.nova_client().servers.delete(server_id)
            if not found["servers"]:
                for volume_id in found["volumes"]:
                    remote.cinder_client().volumes.force_delete(volume_id)
                for group_id in found["groups"]:
                    remote.neutron_client().delete_security_group(group_id)
            time.sleep(0.02)

    @staticmethod
    def clear_objects():
        """Remove all objects of the service's account."""
        swift = remote.swift_client()
        for container in swift.get_account()[1]:
            for entry in swift.get_container(container["name"])[1]:
                swift.delete_object(container["name"], entry["name"])

    def _make_service_user(self):
        keystone = f"{self.auth_url}"
        projects = self._admin.get(f"{keystone}/projects?name=service").json()["projects"]
        roles = self._admin.get(f"{keystone}/roles?name=admin").json()["roles"]
        user = self._admin.post(f"{keystone}/users", json={"user": {
            "name": SERVICE_USER, "password": SERVICE_PASSWORD}}).json()["user"]
        self._admin.put(f"{keystone}/projects/{projects[0]['id']}/users/{user['id']}/roles/{roles[0]['id']}")

    def _make_image(self):
        file = self.directory / "image.squashfs"
        file.write_bytes(b"an image of a fake guest")
        return self._admin.post(
            f"{self.auth_url.removesuffix('/identity/v3')}/image/v2/images",
            json={"name": "guest", "container_format": "bare", "disk_format": "raw", "visibility": "public",
                  "minicloud_file": str(file)}).json()["id"]
