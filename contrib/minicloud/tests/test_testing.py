"""FakeCloud as its users see it, and the service as a process of its own that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from minicloud import config as configuration
from minicloud.testing import FakeCloud, free_port


def token_of(base_url, password):
    """(headers with a token, project id) of the administrator."""
    body = {"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": "admin", "domain": {"id": "default"}, "password": password}}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}}  # fmt: skip
    answer = requests.post(f"{base_url}/identity/v3/auth/tokens", json=body, timeout=60)
    return {"X-Auth-Token": answer.headers["X-Subject-Token"]}, answer.json()["token"]["project"]["id"]


def test_a_restart_keeps_guests_tokens_and_accepted_work(tmp_path):
    layer = tmp_path / "layer"
    layer.write_bytes(b"x")
    with FakeCloud(tmp_path / "state") as cloud:
        headers, _ = token_of(cloud.base_url, cloud.admin_password)
        image = requests.post(
            f"{cloud.url('image')}/v2/images",
            json={"name": "i", "minicloud_file": str(layer)},
            headers=headers,
            timeout=60,
        ).json()["id"]
        url = f"{cloud.url('compute')}/v2.1/servers"
        body = {"server": {"name": "s", "imageRef": image, "flavorRef": "1"}}
        server = requests.post(url, json=body, headers=headers, timeout=60).json()["server"]["id"]
        cloud.restart()
        cloud.wait_idle()
        shown = requests.get(f"{url}/{server}", headers=headers, timeout=60).json()["server"]
        assert shown["status"] == "ACTIVE" and cloud.host.guest(server)["state"] == "running"


@pytest.fixture
def process(tmp_path):
    """A function that starts the service as a process and waits until it answers."""
    config = configuration.Config(state_dir=tmp_path, driver="fake", port=free_port())
    config.save()
    password = configuration.ensure_secrets(config)["admin_password"]
    running = []

    def start():
        package = Path(configuration.__file__).parent.parent
        running.append(subprocess.Popen(
            [sys.executable, "-m", "minicloud.api.app", "--state", str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(package)}, stderr=subprocess.DEVNULL))  # fmt: skip
        deadline = time.monotonic() + 600
        while True:
            try:
                requests.get(config.base_url, timeout=60)
                return running[-1], config, password
            except requests.ConnectionError:
                assert time.monotonic() < deadline and running[-1].poll() is None, (
                    "the service does not start"
                )
                time.sleep(0.02)

    yield start
    for one in running:
        one.kill()
        one.wait()


def test_what_was_answered_survives_a_kill(process):
    service, config, password = process()
    headers, project = token_of(config.base_url, password)
    objects = f"{config.url('object-store')}/v1/AUTH_{project}"
    volumes = f"{config.url('volume')}/v3/{project}/volumes"
    assert requests.put(f"{objects}/c", headers=headers, timeout=60).status_code == 201
    assert requests.put(f"{objects}/c/o", data=b"data", headers=headers, timeout=60).status_code == 201
    body = {"volume": {"size": 1, "name": "v"}}
    assert requests.post(volumes, json=body, headers=headers, timeout=60).status_code == 202
    service.send_signal(signal.SIGKILL)
    service.wait()
    service, _, _ = process()
    assert requests.get(f"{objects}/c/o", headers=headers, timeout=60).content == b"data"
    deadline = time.monotonic() + 600
    while True:
        volume = requests.get(f"{volumes}/detail", headers=headers, timeout=60).json()["volumes"][0]
        if volume["status"] == "available":
            break
        assert time.monotonic() < deadline, volume
    service.send_signal(signal.SIGTERM)
    assert service.wait(timeout=600) == 0
