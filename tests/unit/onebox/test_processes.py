"""Processes of a set-up are found whatever they do to themselves, and ended; those of another are not touched."""
import os
import socket
import sys
from pathlib import Path

import pytest
from onebox import processes
from onebox.settings import Settings

from tests.waiting import wait_until

CHILD = "import subprocess, time; subprocess.Popen(['/bin/sleep', '60']); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); time.sleep(60)"
RENAMED = "import setproctitle, time; setproctitle.setproctitle('another name ' * 20); time.sleep(60)"


@pytest.fixture
def setup(tmp_path):
    """A set-up without anything; its processes are ended after the test."""
    (tmp_path / "run").mkdir()
    made = Settings(tmp_path / "run", tmp_path / "cache", "tr0000", "10.90.0.0/16", 8779)
    yield made
    processes.stop(made, timeout=1)


def python(setup, name, code):
    """Start a Python process as a service."""
    return processes.start(setup, name, [sys.executable, "-c", code])


def test_children_belong_to_the_service(setup):
    """They are found by name, and the oldest is the main process."""
    pid = python(setup, "parent", CHILD)
    assert wait_until(lambda: len(processes.running(setup, "parent")) == 2)
    assert processes.main_pid(setup, "parent") == pid
    assert processes.running(setup, "other") == {}
    processes.stop(setup, "parent")
    assert processes.running(setup) == {}


def test_a_process_that_ignores_sigterm_is_killed(setup):
    """After the time it was given."""
    python(setup, "stubborn", STUBBORN)
    log = setup.logs / "stubborn.log"
    assert wait_until(lambda: log.exists() and log.read_text())
    processes.stop(setup, timeout=0.3)
    assert processes.running(setup) == {}


def test_a_process_that_renames_itself_is_found(setup):
    """setproctitle writes over the environment that marks our processes, unless it is told not to."""
    pid = python(setup, "renamed", RENAMED)
    assert wait_until(lambda: "another name" in Path(f"/proc/{pid}/cmdline").read_text())
    assert processes.running(setup) == {pid: "renamed"}


def test_the_neighbours_processes_are_not_ours(setup, tmp_path):
    """Also if their directory's name begins with ours."""
    (tmp_path / "run-2").mkdir()
    neighbour = Settings(tmp_path / "run-2", tmp_path / "cache", "tr0001", "10.91.0.0/16", 8780)
    pid = python(neighbour, "sleeper", "import time; time.sleep(60)")
    try:
        assert processes.running(setup) == {}
        processes.stop(setup)
        assert processes.running(neighbour) == {pid: "sleeper"}
    finally:
        processes.stop(neighbour)


def test_who_listens(setup):
    """A port may be a neighbour's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert processes.listens([os.getpid()], port)
        assert not processes.listens([python(setup, "sleeper", "import time; time.sleep(60)")], port)
    assert not processes.listens([os.getpid()], port)


def test_memory_is_that_of_the_process(setup):
    """A Python has more than a megabyte."""
    pid = python(setup, "sleeper", "import time; time.sleep(60)")
    assert wait_until(lambda: processes.memory([pid]) > 1e6)
    assert processes.memory([]) == 0
