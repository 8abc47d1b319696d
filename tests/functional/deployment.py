"""The four programs of the product as real processes on one real broker and one cloud: what one request does in each.

The guest's agent is given the datastore ``tests.fakes.stone``; the cloud is minicloud with its fake host.
"""
import base64
import configparser
import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import requests
from keystoneauth1 import session
from keystoneauth1.identity import v3

from tests import waiting
from tests.fakes import cloud as fake_cloud
from tests.functional.conftest import SHIPPED
from trove.common import crypto
from trove.common.cfg import CONF
from trove.datastore.models import DBDatastore, DBDatastoreVersion
from trove.instance.models import DBInstance

ROOT = Path(__file__).parents[2]
SERVICES = ("api", "taskmanager", "conductor")
AGENT = "from trove.cmd import guest; guest.main()"


class Deployment:
    """Processes that see the database of the test.

    more: {group: {option: value}} for the services of the control plane, over what they are given anyway.
    """

    def __init__(self, db, cloud, node, directory, more=()):
        self.db, self.node, self.directory, self._running = db, node, directory, {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        keystone = {"auth_url": cloud.auth_url, "www_authenticate_uri": cloud.auth_url, "auth_type": "password",
                    "username": fake_cloud.SERVICE_USER, "password": fake_cloud.SERVICE_PASSWORD,
                    "project_name": "service", "user_domain_name": "Default", "project_domain_name": "Default",
                    "interface": "public"}
        self.sections = {
            "DEFAULT": {
                "bind_host": "127.0.0.1", "bind_port": self.port, "operation_key": CONF.operation_key[0],
                "trove_auth_url": cloud.auth_url, "nova_proxy_admin_user": fake_cloud.SERVICE_USER,
                "nova_proxy_admin_pass": fake_cloud.SERVICE_PASSWORD, "nova_proxy_admin_tenant_name": "service",
                "transport_url": node.transport_url, "api_paste_config": SHIPPED, "trove_api_workers": 1,
                "trove_conductor_workers": 1, "operation_lease": 2, "operation_sweep_interval": 0.3, "host": "here",
                "usage_sleep_time": 0.2, "guest_config": directory / "absent"},
            "database": {"connection": CONF.database.connection, "sqlite_synchronous": "false"},
            "guest_bus": {"credentials": "shared", "address": node.address},
            "keystone_authtoken": keystone}
        for group, options in dict(more).items():
            self.sections.setdefault(group, {}).update(options)
        self.session = session.Session(v3.Password(
            cloud.auth_url, username=fake_cloud.SERVICE_USER, password=fake_cloud.SERVICE_PASSWORD,
            project_name="service", user_domain_name="Default", project_domain_name="Default"))
        self._register(cloud.image_id)

    def _register(self, image_id):
        with self.db.writer() as session_:
            datastore = DBDatastore(name="mariadb")
            session_.add(datastore)
            session_.flush()
            version = DBDatastoreVersion(datastore_id=datastore.id, name="10.11", manager="mariadb", active=True,
                                         image_id=image_id, packages="")
            session_.add(version)
            session_.flush()
            datastore.default_version_id = version.id

    def start(self, *names):
        """Start services of the control plane and wait until they serve."""
        path = self._write("trove.conf", self.sections)
        for name in names or SERVICES:
            self._spawn(name, f"from trove.cmd.{name} import main; main()", "--config-file", path)
        for name in names or SERVICES:
            if name == "api":
                self.eventually(self._api_answers)
            else:
                self.eventually(lambda name=name: "serves the topic" in self.log(name))

    def _api_answers(self):
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"http://127.0.0.1:{self.port}/", timeout=60).ok

    def start_agent(self, instance_id):
        """Start the agent of an instance."""
        options = {"guest_id": instance_id, "datastore_manager": "mariadb", "guest_key": crypto.guest_key(instance_id),
                   "transport_url": self.node.transport_url, "report_interval": 1,
                   "guest_state_dir": self.directory / "state",
                   "datastore_registry_ext": "mariadb:tests.fakes.stone.Manager"}
        self._spawn("guestagent", AGENT, "--config-file", self._write("agent.conf", {
            "DEFAULT": options, "guest_bus": {"credentials": "shared"}}))

    def start_injected_agent(self, instance_id, cloud):
        """Start the agent of an instance with the very files that it was given when its server was made.

        ``injected_config_location`` must be a directory of the test.
        """
        with self.db.reader() as session_:
            server_id = DBInstance.get(session_, instance_id).compute_instance_id
        for file in cloud.server.host.guest(server_id)["files"]:
            path = Path(file["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(file["content"]))
        self.restart_injected_agent(path.parent)

    def restart_injected_agent(self, directory):
        """Start an agent with what lies in its configuration directory."""
        self._spawn("guestagent", AGENT, "--config-dir", str(directory))

    def pid(self, name):
        """The id of a process."""
        return self._running[name].pid

    def kill(self, name):
        """End a process as a power cut would; its log is kept aside and a fresh one is begun. Returns the old one."""
        process = self._running.pop(name)
        process.kill()
        process.wait()
        text = self.log(name)
        (self.directory / f"{name}.log").unlink()
        return text

    def stop(self):
        """End all."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            with contextlib.suppress(AssertionError):
                waiting.end_of(process, 15)
            process.kill()
            process.wait()
        self._running.clear()

    def log(self, name):
        """What a process has written so far."""
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def eventually(self, condition, pause=0.05):
        """The first true value of ``condition()``, asked every ``pause`` s; fails with the ends of all logs."""
        return waiting.wait_until(condition, pause=pause, explain=lambda: "\n".join(
            f"--- {name}\n{self.log(name)[-3000:]}" for name in self._running))

    def request(self, method, path, **more):
        """A request of the tenant; the requests.Response."""
        url = f"http://127.0.0.1:{self.port}/v1.0/{self.session.get_project_id()}{path}"
        return self.session.request(url, method, raise_exc=False, **more)

    def create(self, headers=None):
        """Ask for an instance; the response."""
        flavor = self.request("GET", "/flavors").json()["flavors"][0]
        answer = self.request("POST", "/instances", headers=headers or {}, json={"instance": {
            "name": "m1", "flavorRef": str(flavor["id"]), "volume": {"size": 1},
            "datastore": {"type": "mariadb"}}})
        assert answer.status_code == 200, answer.text
        return answer

    def wait_active(self, instance_id):
        """Return when an instance is ACTIVE."""
        path = f"/instances/{instance_id}"

        def active():
            answer = self.request("GET", path)
            assert answer.status_code == 200, answer.text
            return answer.json()["instance"]["status"] == "ACTIVE"
        self.eventually(active, pause=0.5)  # the API limits how often one may look

    def _write(self, name, sections):
        parser = configparser.RawConfigParser(default_section=None)
        parser.read_dict({group: {option: str(value) for option, value in options.items()}
                          for group, options in sections.items()})
        path = self.directory / name
        with path.open("w") as file:
            parser.write(file)
        return str(path)

    def _spawn(self, name, program, *arguments):
        with open(self.directory / f"{name}.log", "ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", program, *arguments], cwd=ROOT, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)})
