"""The command line with the fake driver: up, status, env and down as a user without root sees them."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request

import pytest

from minicloud import services
from minicloud.cli import main
from minicloud.testing import free_port


@pytest.fixture
def state(tmp_path):
    directory = tmp_path / "state"
    yield directory
    main(["down", "--state", str(directory)])


@pytest.fixture
def port():
    return free_port()


def test_up_is_repeatable_repairs_and_down_leaves_nothing(state, port, capsys):
    command = ["up", "--state", str(state), "--driver", "fake", "--port", str(port)]
    assert main(command) == 0
    assert "started: api" in capsys.readouterr().out
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/identity/v3", timeout=5).status == 200
    assert main(["up", "--state", str(state)]) == 0
    assert "nothing to do" in capsys.readouterr().out

    killed = services.identity(state, "api")["pid"]
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    assert main(["status", "--state", str(state)]) == 3
    assert "not running" in capsys.readouterr().out
    assert main(["up", "--state", str(state)]) == 0
    assert main(["status", "--state", str(state), "--json"]) == 0
    capsys.readouterr()

    assert main(["down", "--state", str(state)]) == 0
    assert not state.exists()
    assert main(["down", "--state", str(state)]) == 0


def test_options_that_contradict_the_saved_ones_are_refused(state, port, capsys):
    main(["up", "--state", str(state), "--driver", "fake", "--port", str(port)])
    assert main(["up", "--state", str(state), "--driver", "fake", "--port", str(port + 1)]) == 1
    assert f"port: the cloud in {state} has {port}" in capsys.readouterr().err
    assert main(["up", "--state", str(state), "--guest-port", "80"]) == 1
    assert "guest_ports: " in capsys.readouterr().err


def test_env_prints_what_clients_read(state, port, capsys, tmp_path):
    main(["up", "--state", str(state), "--driver", "fake", "--port", str(port)])
    capsys.readouterr()
    assert main(["env", "--state", str(state), "--json"]) == 0
    variables = json.loads(capsys.readouterr().out)
    secrets = json.loads((state / "secrets.json").read_text())
    assert variables["OS_PASSWORD"] == secrets["admin_password"]
    assert variables["OS_AUTH_URL"] == f"http://127.0.0.1:{port}/identity/v3"
    (tmp_path / "password").write_text("it's secret\n")
    other = ["--user", "joe", "--project", "p", "--password-file", str(tmp_path / "password")]
    assert main(["env", "--state", str(state), *other]) == 0
    assert "export OS_PASSWORD='it'\"'\"'s secret'\n" in capsys.readouterr().out
    assert main(["env", "--state", str(state), "--user", "joe"]) == 1
    assert "password-file: needed" in capsys.readouterr().err


def test_a_directory_with_other_files_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis").write_text("x")
    assert main(["up", "--state", str(tmp_path), "--driver", "fake"]) == 1
    assert "holds other files" in capsys.readouterr().err
    assert main(["down", "--state", str(tmp_path)]) == 0
    assert (tmp_path / "thesis").read_text() == "x"


def test_a_refused_cloud_leaves_no_directory(state, capsys):
    assert main(["up", "--state", str(state), "--subnet", "10.0.0.1/8"]) == 1
    assert "subnet: " in capsys.readouterr().err
    assert not state.exists()


def test_a_port_in_use_ends_up_with_the_services_own_words(state, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["up", "--state", str(state), "--driver", "fake", "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert "service api ended" in error
    assert "in use" in error


def test_commands_without_a_cloud_say_so(tmp_path, capsys):
    for command in (["status"], ["env"], ["exec", "g", "true"]):
        assert main([command[0], "--state", str(tmp_path), *command[1:]]) == 1
        assert "run `minicloud up`" in capsys.readouterr().err


def test_doctor_reports_each_check(tmp_path, capsys):
    main(["doctor", "--state", str(tmp_path), "--json"])
    findings = json.loads(capsys.readouterr().out)
    assert {"capabilities", "overlay", "control groups", "packet filter", "disk", "memory"} <= {
        finding["check"] for finding in findings
    }
    assert {finding["level"] for finding in findings} <= {"ok", "warning", "error"}
    assert all(finding["advice"] for finding in findings if finding["level"] == "error")
