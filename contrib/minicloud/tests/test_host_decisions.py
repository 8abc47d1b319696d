"""Decisions of the root helper that need no root: states, checks of arguments, the protocol's door."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from minicloud.config import Config
from minicloud.host import guest, personalise, power, process
from minicloud.host.client import HostClient, HostError
from minicloud.host.daemon import Verbs, answer


@pytest.mark.parametrize(
    ("running", "status", "wanted", "state"),
    [
        (True, None, False, "running"),
        (True, 137, True, "running"),
        (False, guest.POWER_OFF, False, "stopped"),
        (False, 137, True, "stopped"),
        (False, 137, False, "crashed"),
        (False, 1, False, "crashed"),
        (False, None, False, "crashed"),
        (False, None, True, "stopped"),
    ],
)
def test_state_of_a_guest(running, status, wanted, state):
    assert guest.state_of(running, status, wanted) == state


def test_meminfo_is_what_programs_parse():
    lines = dict(line.split(":") for line in power.meminfo(512).splitlines())
    assert lines["MemTotal"].split() == [str(512 * 1024), "kB"]
    assert int(lines["MemAvailable"].split()[0]) < 512 * 1024


def test_a_process_is_known_by_its_start_too():
    child = subprocess.Popen(["sleep", "60"])
    found = process.identify(child.pid)
    assert process.alive(found)
    assert not process.alive(found | {"start_time": found["start_time"] - 1})
    assert not process.kill(found | {"start_time": found["start_time"] - 1})
    assert process.kill(found)
    child.wait()
    assert not process.alive(found)
    assert not process.kill(found)
    assert not process.alive(None)
    assert process.alive(process.identify(os.getpid()))


def test_owners_are_looked_up_in_the_image(tmp_path, monkeypatch):
    passwd = tmp_path / "passwd"
    passwd.write_text("root:x:0:0::/:/bin/sh\nmysql:x:101:102::/:/bin/false\n")
    group = tmp_path / "group"
    group.write_text("root:x:0:\nmail:x:8:\n")
    monkeypatch.setattr(personalise, "USERS", str(passwd))
    monkeypatch.setattr(personalise, "GROUPS", str(group))
    assert personalise.lookup_owner("mysql") == (101, 102)
    assert personalise.lookup_owner("mysql:mail") == (101, 8)
    assert personalise.lookup_owner("7:9") == (7, 9)
    with pytest.raises(ValueError, match="^owner: 'nobody'"):
        personalise.lookup_owner("nobody")


@pytest.fixture
def verbs(tmp_path):
    config = Config(tmp_path)
    config.guests_dir.mkdir()
    config.volumes_dir.mkdir()
    return Verbs(config)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"not json", "bad_request"),
        (b"[]", "bad_request"),
        (b'{"verb": "facts"}', "bad_request"),
        (b'{"verb": "_locked", "arguments": {"name": "x"}}', "bad_request"),
        (b'{"verb": "no_such_verb", "arguments": {}}', "bad_request"),
        (b'{"verb": "facts", "arguments": {"extra": 1}}', "bad_request"),
        (b'{"verb": "start_guest", "arguments": {"guest_id": "../../etc"}}', "bad_request"),
        (b'{"verb": "start_guest", "arguments": {"guest_id": 7}}', "bad_request"),
        (b'{"verb": "create_volume", "arguments": {"volume_id": "v", "size_gb": 0}}', "bad_request"),
        (b'{"verb": "create_volume", "arguments": {"volume_id": "v", "size_gb": "1"}}', "bad_request"),
        (b'{"verb": "start_guest", "arguments": {"guest_id": "absent"}}', "not_found"),
        (b'{"verb": "grow_volume", "arguments": {"volume_id": "absent", "size_gb": 1}}', "not_found"),
    ],
)
def test_the_door_answers_every_request(verbs, line, code):
    assert answer(verbs, line)["error"]["code"] == code


def test_volumes_are_files_until_somebody_attaches_them(verbs):
    verbs.create_volume("v1", 2)
    verbs.create_volume("v1", 2)
    with pytest.raises(HostError, match="conflict"):
        verbs.create_volume("v1", 3)
    verbs.grow_volume("v1", 3)
    assert verbs.list_volumes() == [{"volume_id": "v1", "size_gb": 3, "guest_id": None, "device": None}]
    with pytest.raises(HostError, match="bad_request"):
        verbs.grow_volume("v1", 2)
    with pytest.raises(HostError, match="not_found"):
        verbs.attach_volume("v1", "absent", "/dev/vdb")
    verbs.delete_volume("v1")
    verbs.delete_volume("v1")
    assert verbs.list_volumes() == []


def test_a_bug_is_answered_and_logged(verbs, monkeypatch, caplog):
    def explode():
        raise RuntimeError("bug")

    monkeypatch.setattr(verbs, "list_guests", explode)
    reply = answer(verbs, json.dumps({"verb": "list_guests", "arguments": {}}).encode())
    assert reply["error"]["code"] == "failed"
    assert "RuntimeError: bug" in caplog.text


def test_a_client_without_daemon_says_so(tmp_path):
    with pytest.raises(HostError, match="^failed: facts: no answer from the host daemon"):
        HostClient(Config(tmp_path)).facts()
