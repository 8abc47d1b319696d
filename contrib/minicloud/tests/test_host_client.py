"""HostClient against a daemon that comes late or goes away: a patient one waits, list_guests never does."""

import json
import socket
import threading

import pytest

from minicloud.config import Config, socket_address
from minicloud.host.client import HostClient, HostError


@pytest.fixture
def config(tmp_path):
    return Config(state_dir=tmp_path, driver="fake")


def daemon(config, replies):
    """Answer one connection per reply; None closes it without an answer."""
    listener = socket.socket(socket.AF_UNIX)
    with socket_address(config.socket_path) as address:
        listener.bind(address)
    listener.listen()

    def serve():
        with listener:
            for reply in replies:
                connection, _ = listener.accept()
                with connection:
                    connection.makefile().readline()
                    if reply is not None:
                        connection.sendall(json.dumps(reply).encode() + b"\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_a_patient_client_waits_for_a_daemon_that_is_being_started(config):
    answers = []
    client = threading.Thread(target=lambda: answers.append(HostClient(config, patience=10).facts()), daemon=True)
    client.start()
    client.join(0.2)
    assert answers == [] and client.is_alive()
    daemon(config, [None, {"result": {"version": "1"}}])
    client.join(600)
    assert answers == [{"version": "1"}], "also when the first daemon dies before it answers"


def test_without_patience_and_for_lists_the_absence_is_told_at_once(config):
    for call in (HostClient(config).facts, HostClient(config, patience=60).list_guests):
        with pytest.raises(HostError) as error:
            call()
        assert error.value.code == "failed" and str(config.socket_path) in error.value.message


def test_a_state_directory_may_be_deep(tmp_path):
    """Unix sockets have addresses of at most 107 bytes."""
    deep = Config(state_dir=tmp_path / ("d" * 120), driver="fake")
    deep.state_dir.mkdir()
    daemon(deep, [{"result": {"version": "1"}}])
    assert HostClient(deep).facts() == {"version": "1"}


def test_refusals_are_not_repeated(config):
    served = daemon(config, [{"error": {"code": "conflict", "message": "in use"}}])
    with pytest.raises(HostError) as error:
        HostClient(config, patience=10).delete_volume("v")
    assert (error.value.code, error.value.message) == ("conflict", "in use")
    served.join(5)
    assert not served.is_alive()
