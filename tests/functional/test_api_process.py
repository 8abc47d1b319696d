"""trove-api as a process of its own, with the paste file as it is shipped: the real token filter asks minicloud's
Keystone, and flavors are its Nova's.
"""
import configparser
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from keystoneauth1 import session
from keystoneauth1.identity import v3

from tests import waiting
from tests.fakes import cloud as fake_cloud
from tests.functional.conftest import KEYS, SHIPPED
from trove.common import cfg
from trove.common.cfg import CONF
from trove.db import get_db_api
from trove.db.sqlalchemy import tables

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    cloud = fake_cloud.Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def caller(cloud):
    """The session of a tenant."""
    return session.Session(v3.Password(
        cloud.auth_url, username=fake_cloud.SERVICE_USER, password=fake_cloud.SERVICE_PASSWORD, project_name="service",
        user_domain_name="Default", project_domain_name="Default"))


def settings(cloud, directory):
    """The sections of a trove.conf that works."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "DEFAULT": {
            "bind_host": "127.0.0.1", "bind_port": port, "operation_key": "a key for tests, never for a deployment",
            "nova_proxy_admin_user": fake_cloud.SERVICE_USER, "nova_proxy_admin_pass": fake_cloud.SERVICE_PASSWORD,
            "nova_proxy_admin_tenant_name": "service", "trove_auth_url": cloud.auth_url, "transport_url": "fake://",
            "api_paste_config": SHIPPED, "trove_api_workers": 2, "trove_api_threads": 2},
        "database": {"connection": f"sqlite:///{directory}/trove.sqlite"},
        "keystone_authtoken": {
            "auth_url": cloud.auth_url, "www_authenticate_uri": cloud.auth_url, "auth_type": "password",
            "username": fake_cloud.SERVICE_USER, "password": fake_cloud.SERVICE_PASSWORD, "project_name": "service",
            "user_domain_name": "Default", "project_domain_name": "Default", "interface": "public"}}


class Process:
    """A trove-api on its way. log: path of what it writes."""

    def __init__(self, directory, sections):
        parser = configparser.RawConfigParser()
        parser.read_dict({name: dict(section) for name, section in sections.items()})
        file = directory / "trove.conf"
        with open(file, "w") as opened:
            parser.write(opened)
        self.log = directory / "log"
        self.port = sections["DEFAULT"]["bind_port"]
        self.url = f"http://127.0.0.1:{self.port}"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from trove.cmd.api import main; main()", "--config-file", str(file)],
                env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log)

    def wait_up(self):
        """Wait until it answers."""
        def answers():
            try:
                requests.get(self.url, timeout=60)
            except requests.ConnectionError:
                assert self.process.poll() is None, self.log.read_text()
                return False
            return True
        waiting.wait_until(answers, explain=self.log.read_text)

    def stop(self):
        """End it if it has not ended yet."""
        if self.process.poll() is None:
            self.process.terminate()
            waiting.end_of(self.process)


@pytest.fixture(scope="module")
def served(cloud, tmp_path_factory):
    """A running trove-api."""
    directory = tmp_path_factory.mktemp("api")
    sections = settings(cloud, directory)
    cfg.parse_args([], default_config_files=[])
    CONF.set_override("connection", sections["database"]["connection"], group="database")
    get_db_api().dispose()
    tables.metadata.create_all(get_db_api().get_engine())
    get_db_api().dispose()
    CONF.clear_override("connection", group="database")
    process = Process(directory, sections)
    process.wait_up()
    yield process
    process.stop()


def get(served, path, token, **headers):
    return requests.get(f"{served.url}/v1.0/{path}", timeout=60,
                        headers={"X-Auth-Token": token, "Accept": "application/json", **headers})


class TestServing:
    def test_a_token_of_keystone(self, served, caller):
        answer = get(served, f"{caller.get_project_id()}/flavors", caller.get_token())
        assert answer.status_code == 200, answer.text
        assert answer.json()["flavors"]

    @pytest.mark.parametrize("token", ["nonsense", ""])
    def test_1_21_no_valid_token(self, served, caller, token):
        answer = get(served, f"{caller.get_project_id()}/flavors", token)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Keystone uri=")
        assert answer.json() == {"unauthorized": {"code": 401, "message": "Authentication is required.",
                                                  "request_id": answer.headers["x-openstack-request-id"]}}

    def test_1_22_another_tenant(self, served, caller):
        assert get(served, "0" * 32 + "/flavors", caller.get_token()).status_code == 403

    def test_1_14_a_long_header_line(self, served, caller):
        path, token = f"{caller.get_project_id()}/flavors", caller.get_token()
        assert get(served, path, token, **{"X-Long": "a" * 16000}).status_code == 200
        refusal = get(served, path, token, **{"X-Long": "a" * 17000})
        assert (refusal.status_code, list(refusal.json())) == (400, ["badRequest"])
        assert refusal.json()["badRequest"]["request_id"] == refusal.headers["x-openstack-request-id"]
        assert refusal.headers["x-openstack-request-id"] in served.log.read_text()

    @pytest.mark.parametrize("text", [
        b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", b"G<T / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: strange\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n"])
    def test_1_30_what_is_no_http(self, served, text):
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
            connection.sendall(text)
            answer = b""
            while received := connection.recv(65536):
                answer += received
        head, _, body = answer.decode().partition("\r\n\r\n")
        code = int(head.split()[1])
        assert list(json.loads(body)) == [KEYS[code]]
        assert json.loads(body)[KEYS[code]]["code"] == code
        assert code == (501 if b"Transfer" in text else 400)
        assert "Content-Type: application/json" in head

    def test_1_11_a_name_on_the_wire(self, served, caller):
        # The last error is the controller's: the route was found with the name as one word.
        unknown = "99999999-9999-4999-8999-999999999999"
        answer = get(served, f"{caller.get_project_id()}/instances/{unknown}/users/u%2ex%40%25", caller.get_token())
        assert unknown in answer.json()["itemNotFound"]["message"]

    def test_the_request_id_is_in_the_log(self, served, caller):
        answer = get(served, f"{caller.get_project_id()}/flavors", caller.get_token())
        lines = [line for line in served.log.read_text().splitlines()
                 if answer.headers["x-openstack-request-id"] in line]
        assert any("/flavors 200 in" in line for line in lines)
        assert caller.get_token() not in served.log.read_text()


class TestStopping:
    def test_sigterm_lets_requests_end(self, cloud, caller, tmp_path):
        sections = settings(cloud, tmp_path)
        process = Process(tmp_path, sections)
        try:
            process.wait_up()
            body = json.dumps({"instance": {"name": "m1"}}).encode()
            with socket.create_connection(("127.0.0.1", process.port), timeout=30) as connection:
                connection.sendall(
                    f"POST /v1.0/{caller.get_project_id()}/instances HTTP/1.1\r\nHost: x\r\n"
                    f"X-Auth-Token: {caller.get_token()}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
                time.sleep(1)
                process.process.send_signal(signal.SIGTERM)
                time.sleep(0.5)
                connection.sendall(body[5:])
                answer = b""
                while not answer.endswith(b"}}"):
                    received = connection.recv(65536)
                    assert received, answer
                    answer += received
                answer = answer.decode()
            assert answer.startswith("HTTP/1.1 400"), answer  # of the schema: the whole body arrived
            assert "flavorRef" in answer
            assert waiting.end_of(process.process) == 0
        finally:
            process.stop()


def test_clients_that_stop_in_the_middle_keep_nobody_out(cloud, tmp_path):
    sections = settings(cloud, tmp_path)
    sections["DEFAULT"].update(trove_api_workers=1, trove_api_threads=2, client_socket_timeout=1)
    process = Process(tmp_path, sections)
    try:
        process.wait_up()
        with contextlib.ExitStack() as stack:
            for _ in range(5):
                stalled = stack.enter_context(socket.create_connection(("127.0.0.1", process.port), timeout=30))
                stalled.sendall(b"GET / HTTP/1.1\r\nHost:")
            assert requests.get(process.url, timeout=60).status_code in (200, 300)
    finally:
        process.stop()


class TestRefusingToStart:
    @pytest.mark.parametrize(("group", "option", "value", "words"), [
        ("DEFAULT", "operation_key", "changeme", "operation_key"),
        ("DEFAULT", "nova_proxy_admin_pass", "", "nova_proxy_admin_pass"),
        ("keystone_authtoken", "password", "secret", "[keystone_authtoken] password"),
        ("DEFAULT", "transport_url", "rabbit://guest:guest@localhost/", "transport_url"),
        ("DEFAULT", "api_paste_config", "absent.ini", "absent.ini"),
        ("DEFAULT", "db_plugins", "trove.nowhere.Plugin", "db_plugins"),
        ("DEFAULT", "quota_driver", "trove.quota.quota.Usage", "must be a subclass of trove.quota.quota.QuotaDriver"),
    ])
    def test_the_sentence_names_the_option(self, cloud, tmp_path, group, option, value, words):
        sections = settings(cloud, tmp_path)
        sections[group][option] = value
        process = Process(tmp_path, sections)
        assert waiting.end_of(process.process) == 1
        last = process.log.read_text().splitlines()[-1]
        assert last.startswith("Cannot start: ")
        assert words in last
        assert "Traceback" not in process.log.read_text()


def test_another_wsgi_server_gets_the_application_from_a_factory(served):
    """The factory is called with the path of the configuration and nothing else."""
    program = (
        "import sys, webob\n"
        "from trove.cmd.api import init_application\n"
        "application = init_application(sys.argv[1])\n"
        "for path in ('/', '/v1.0/t/flavors'):\n"
        "    print(webob.Request.blank(path).get_response(application).status_int)\n")
    done = subprocess.run([sys.executable, "-c", program, str(served.log.parent / "trove.conf")], check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["200", "401"]


@pytest.mark.parametrize(("name", "words"), [("a #b", None), ("100%", "percent sign")])
def test_characters_in_the_path_of_the_paste_file(cloud, tmp_path, name, words):
    directory = tmp_path / name
    directory.mkdir()
    sections = settings(cloud, directory)
    sections["DEFAULT"]["api_paste_config"] = shutil.copy(sections["DEFAULT"]["api_paste_config"], directory)
    process = Process(directory, sections)
    try:
        if words is None:
            process.wait_up()
        else:
            assert waiting.end_of(process.process) == 1
            assert words in process.log.read_text().splitlines()[-1]
    finally:
        process.stop()


def test_every_key_of_the_contract_is_known():
    """The table of the tests is the product's."""
    from trove.common import wsgi
    assert KEYS == wsgi.FAULT_KEYS
