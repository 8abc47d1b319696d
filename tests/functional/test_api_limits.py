"""trove-api against slow clients, many connections and bodies that never end; and tokens that were revoked."""
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests
from onebox import slow

from tests import waiting
from tests.functional.test_api_process import (  # noqa: F401 - fixtures
    ROOT,
    Process,
    caller,
    cloud,
    get,
    served,
    settings,
)

pytestmark = pytest.mark.slow
# Of another address than what else is sent, so that the server can tell them apart.
SLOW_ADDRESS = "127.0.0.2"


@pytest.fixture
def start(cloud, served, tmp_path):  # noqa: F811
    """Starts a trove-api of one process with other options, on the database of ``served``."""
    started = []

    def run(**changes):
        sections = settings(cloud, tmp_path)
        sections["database"]["connection"] = f"sqlite:///{served.log.parent}/trove.sqlite"
        sections["DEFAULT"].update({"trove_api_workers": 1, **changes})
        started.append(Process(tmp_path, sections))
        started[-1].wait_up()
        return started[-1]
    yield run
    for process in started:
        process.stop()


@contextlib.contextmanager
def crowds(process, count, tenant, token):
    """Slow connections of all kinds while the block runs, moved by a thread; gives the crowds."""
    paths = {slow.HEADERS: "/", slow.BODIES: f"/v1.0/{tenant}/instances", slow.READERS: "/v1.0/openapi.json"}
    made = [slow.Crowd("127.0.0.1", process.port, kind, count, path=path, token=token, source=SLOW_ADDRESS)
            for kind, path in paths.items()]
    for crowd in made:
        crowd.step()
    ended = threading.Event()

    def move():
        number = 1
        while not ended.wait(0.2):
            for crowd in made:
                crowd.step(number)
            number += 1
    mover = threading.Thread(target=move)
    mover.start()
    try:
        yield made
    finally:
        ended.set()
        mover.join()
        for crowd in made:
            crowd.close()


def receive(connection):
    """All that the server sends until it closes."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while received := connection.recv(65536):
            answer += received
    return answer


def test_slow_clients_keep_nobody_out(cloud, caller, start):  # noqa: F811
    process = start(trove_api_threads=2, max_connections_per_address=0)
    neighbour = cloud.administrator
    with crowds(process, 70, caller.get_project_id(), caller.get_token()) as made:
        time.sleep(2)
        for _ in range(10):
            assert requests.get(process.url, timeout=60).status_code == 200
            answer = get(process, f"{neighbour.get_project_id()}/flavors", neighbour.get_token())
            assert answer.status_code == 200, answer.text
        assert [crowd.closed for crowd in made] == [0, 0, 0]


def test_an_address_has_a_share_of_the_connections(caller, start):  # noqa: F811
    process = start(max_connections_per_address=20)
    with crowds(process, 30, caller.get_project_id(), caller.get_token()) as made:
        time.sleep(1)
        assert requests.get(process.url, timeout=60).status_code == 200
        assert sum(crowd.closed for crowd in made) > 60  # 90 were opened, and those that were closed again and again


def test_when_all_connections_are_taken_the_longest_silent_one_goes(start):
    process = start(trove_api_connections=5, max_connections_per_address=0)
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", process.port), timeout=30))
            silent.sendall(b"GET / HT")
        assert requests.get(process.url, timeout=60).status_code == 200


def closed_after(connection, text):
    """Send one piece; whether the server has closed the connection, which otherwise says nothing."""
    with contextlib.suppress(TimeoutError, BrokenPipeError):
        connection.sendall(text)
        return not connection.recv(1)


@pytest.mark.parametrize("pause", [0.3, 30])
def test_headers_have_a_deadline(start, pause):
    process = start(client_socket_timeout=2)
    with socket.create_connection(("127.0.0.1", process.port), timeout=pause) as connection:
        waiting.wait_until(lambda: closed_after(connection, b"G"), pause=0)


def test_a_body_has_a_deadline(start):
    process = start(client_transfer_timeout=2)
    with socket.create_connection(("127.0.0.1", process.port), timeout=0.3) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
        waiting.wait_until(lambda: closed_after(connection, b"x"), pause=0)


@pytest.mark.parametrize("head", ["Content-Length: 20001", "Transfer-Encoding: chunked"])
def test_a_long_body(start, head):
    process = start(max_request_body_size=20000)
    with socket.create_connection(("127.0.0.1", process.port), timeout=30) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n".encode())
        if "chunked" in head:
            connection.sendall(b"4e21\r\n" + b"x" * 20001)
        head, _, body = receive(connection).decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 413 ")
    fault = json.loads(body)["overLimit"]
    assert "20000 bytes" in fault["message"]
    assert fault["request_id"] in head


def test_bodies_of_many_have_a_bound(start):
    process = start(max_buffered_bodies=1)
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(socket.create_connection(("127.0.0.1", process.port), timeout=30))
        first.sendall(head + b"x" * 800000)
        time.sleep(1)
        second = stack.enter_context(socket.create_connection(("127.0.0.1", process.port), timeout=30))
        with contextlib.suppress(ConnectionError):
            second.sendall(head + b"x" * 800000)
        assert b" 503 " in receive(second).split(b"\r\n")[0]
        assert requests.get(process.url, data=b"x" * 1000, timeout=60).status_code == 200
        first.sendall(b"x" * 100000)
        assert first.recv(100).startswith(b"HTTP/1.1 ")


def test_a_worker_that_died_is_replaced(start):
    process = start()
    [worker] = map(int, subprocess.run(["pgrep", "-P", str(process.process.pid)], capture_output=True, text=True,
                                       check=True).stdout.split())
    os.kill(worker, 9)

    def answers():
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(process.url, timeout=60).status_code == 200
    waiting.wait_until(answers, explain=process.log.read_text)


def test_a_request_that_does_not_end_delays_stopping_for_the_time_of_the_option(start):
    process = start(trove_api_drain_timeout=2)
    with socket.create_connection(("127.0.0.1", process.port), timeout=30) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nx")
        time.sleep(0.5)
        process.process.terminate()
        assert waiting.end_of(process.process) == 0
    assert "trove_api_drain_timeout" in process.log.read_text()


def test_a_port_that_is_taken_is_named(cloud, start, tmp_path):  # noqa: F811
    process = start()
    (tmp_path / "second").mkdir()
    sections = settings(cloud, tmp_path / "second")
    sections["DEFAULT"]["bind_port"] = process.port
    second = Process(tmp_path / "second", sections)
    assert waiting.end_of(second.process) == 1
    assert f"bind_port {process.port}: another process listens there." in second.log.read_text()


REVOKED = """
import functools, json, sys
import requests, webob
from trove.cmd.api import init_application
from trove.common import auth
given = json.load(sys.stdin)
moved = [1000.0]
auth.TokenCache = functools.partial(auth.TokenCache, clock=lambda: moved[0])
application = init_application(given["file"])
def ask():
    request = webob.Request.blank(given["path"], headers={"X-Auth-Token": given["token"]})
    print(request.get_response(application).status_int)
ask()
requests.delete(given["tokens"], headers={"X-Auth-Token": given["token"], "X-Subject-Token": given["token"]},
                timeout=60).raise_for_status()
moved[0] += 59
ask()
moved[0] += 2
ask()
"""


def test_a_revoked_token_works_for_a_minute_at_most(cloud, served):  # noqa: F811
    answer = requests.post(f"{cloud.auth_url}/auth/tokens", timeout=60, json={"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": "trove", "domain": {"name": "Default"}, "password": "password-of-the-service-user"}}},
        "scope": {"project": {"name": "service", "domain": {"name": "Default"}}}}})
    project = answer.json()["token"]["project"]["id"]
    given = {"file": str(served.log.parent / "trove.conf"), "path": f"/v1.0/{project}/flavors",
             "token": answer.headers["X-Subject-Token"], "tokens": f"{cloud.auth_url}/auth/tokens"}
    done = subprocess.run([sys.executable, "-c", REVOKED], env={**os.environ, "PYTHONPATH": str(ROOT)},
                          input=json.dumps(given), capture_output=True, text=True, timeout=60, check=False)
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["200", "200", "401"], done.stderr


@pytest.mark.parametrize(("option", "value", "words"), [
    ("token_cache_time", 300, "token_cache_time is 300"),
    ("memcached_servers", "127.0.0.1:9", "memcached_servers (127.0.0.1:9) answers")])
def test_refusing_to_start(cloud, tmp_path, option, value, words):  # noqa: F811
    sections = settings(cloud, tmp_path)
    sections["keystone_authtoken"][option] = value
    process = Process(tmp_path, sections)
    assert waiting.end_of(process.process) == 1
    last = process.log.read_text().splitlines()[-1]
    assert last.startswith("Cannot start: ")
    assert words in last
